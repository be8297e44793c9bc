"""Server-Sent Events (WHATWG HTML section 9.2): images at every change, at most four a second.

``event: image`` carries an image, ``event: deleted`` its uid, namespace and name. A stream of all
images begins with each of them and ``event: synced``; that of one ends when the image is over.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import msgspec
from aiohttp import web

from importer import errors
from importer.api.routes import Route, name_of, read_query
from importer.jobs.events import Event, Hub, Listener
from importer.jobs.images import Images
from importer.model import OVER, Image, Name

INTERVAL = 0.25
"""Seconds between two batches at least."""

PING = 15.0
"""Seconds of silence after which a comment keeps proxies from closing the stream."""

_NAMESPACE = {"namespace": Name}
_STREAM = "text/event-stream"

Emit = Callable[[str, object], Awaitable[None]]


class Gone(msgspec.Struct, frozen=True):
    """An image that is there no more."""

    uid: str
    namespace: str
    name: str


class EventRoutes:
    """The handlers."""

    def __init__(self, images: Images, hub: Hub) -> None:
        self._images = images
        self._hub = hub
        self._closing = asyncio.Event()

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("GET", "/v1/events", self.all, {200: _STREAM}, query=_NAMESPACE),
            Route(
                "GET",
                "/v1/images/{name}/events",
                self.one,
                {200: _STREAM},
                (errors.NotFound,),
                query=_NAMESPACE,
            ),
        ]

    async def close(self, _: web.Application) -> None:
        """End every stream: the service is stopping."""
        self._closing.set()

    async def all(self, request: web.Request) -> web.StreamResponse:
        """Stream all images, or those of one namespace, at every change."""
        namespace = read_query(request, _NAMESPACE)["namespace"]
        with self._hub.listener() as listener:
            response = await _started(request)
            with suppress(ConnectionResetError):  # the client has left
                for image in await self._images.list(namespace):
                    await _send(response, "image", image)
                await _send(response, "synced", {})
                async for event in self._news(listener, response):
                    if namespace in (None, event.image.namespace):
                        await _tell(response, event)
        return response

    async def one(self, request: web.Request) -> web.StreamResponse:
        """Stream one image at every change, until it is over."""
        query = read_query(request, _NAMESPACE)
        with self._hub.listener() as listener:
            image = await self._images.get(query["namespace"] or "default", name_of(request))
            response = await _started(request)
            with suppress(ConnectionResetError):  # the client has left
                await _send(response, "image", image)
                if image.phase not in OVER:
                    await self._follow(image, listener, response)
        return response

    async def _follow(self, image: Image, listener: Listener, response: web.StreamResponse) -> None:
        async for event in self._news(listener, response):
            if event.image.uid == image.uid:
                await _tell(response, event)
                if event.deleted or event.image.phase in OVER:
                    return

    async def _news(self, listener: Listener, response: web.StreamResponse) -> AsyncIterator[Event]:
        """Yield events until the service stops; keep the stream alive in between."""
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            while not closing.done():
                batch = asyncio.ensure_future(listener.batch())
                await asyncio.wait({batch, closing}, timeout=PING, return_when="FIRST_COMPLETED")
                if batch.done():
                    for event in batch.result():
                        yield event
                    await asyncio.wait({closing}, timeout=INTERVAL)
                else:
                    batch.cancel()
                    await response.write(b": ping\n\n")
        finally:
            closing.cancel()


async def _started(request: web.Request) -> web.StreamResponse:
    headers = {"Content-Type": _STREAM, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    return response


async def _tell(response: web.StreamResponse, event: Event) -> None:
    if event.deleted:
        image: Image = event.image
        await _send(response, "deleted", Gone(image.uid, image.namespace, image.name))
    else:
        await _send(response, "image", event.image)


async def _send(response: web.StreamResponse, kind: str, value: object) -> None:
    await response.write(f"event: {kind}\ndata: ".encode() + msgspec.json.encode(value) + b"\n\n")
