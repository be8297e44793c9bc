"""Server-Sent Events (WHATWG HTML section 9.2): images at every change, at most four a second.

``event: image`` carries an image, ``event: deleted`` its uid, namespace and name. A stream of all
images begins with each of them and ``event: synced``; that of one ends when the image is over.
The end of that one is told at once, without its turn in four a second.
``event: copy`` carries a copy of a volume, in streams of every namespace: those that run and the
last that are over at the beginning, then each at every change.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any

import msgspec
from aiohttp import web

from importer import errors
from importer.api.routes import Route, name_of, read_query
from importer.copies import Copies
from importer.jobs.events import Event, Hub
from importer.jobs.images import Images
from importer.model import OVER, Copy, Image, Name
from importer.news import Listener

INTERVAL = 0.25
"""Seconds between two batches at least."""

PING = 15.0
"""Seconds of silence after which a comment keeps proxies from closing the stream."""

RECENT = 50
"""Copies that are over and told at the beginning of a stream."""

_NAMESPACE = {"namespace": Name}
_FIRST = asyncio.FIRST_COMPLETED
_STREAM = "text/event-stream"

Emit = Callable[[str, object], Awaitable[None]]


class Gone(msgspec.Struct, frozen=True):
    """An image that is there no more."""

    uid: str
    namespace: str
    name: str


class EventRoutes:
    """The handlers."""

    def __init__(self, images: Images, hub: Hub, copies: Copies) -> None:
        self._images = images
        self._hub = hub
        self._copies = copies
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
        """Stream all images and copies, or the images of one namespace, at every change."""
        namespace = read_query(request, _NAMESPACE)["namespace"]
        with ExitStack() as stack:
            listeners: list[Listener[Any]] = [stack.enter_context(self._hub.listener())]
            if namespace is None:
                listeners.append(stack.enter_context(self._copies.listener()))
            response = await _started(request)
            with suppress(ConnectionResetError):  # the client has left
                await self._begin(response, namespace)
                async for news in self._news(response, *listeners):
                    if isinstance(news, Copy):
                        await _send(response, "copy", news)
                    elif namespace in (None, news.image.namespace):
                        await _tell(response, news)
        return response

    async def _begin(self, response: web.StreamResponse, namespace: str | None) -> None:
        for image in await self._images.list(namespace):
            await _send(response, "image", image)
        if namespace is None:
            for copy in (*reversed(self._copies.recent(RECENT)), *self._copies.running()):
                await _send(response, "copy", copy)
        await _send(response, "synced", {})

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

    async def _follow(
        self, image: Image, listener: Listener[Event], response: web.StreamResponse
    ) -> None:
        over = asyncio.ensure_future(listener.last_of(image.uid))
        try:
            async for event in self._news(response, listener, hurry=over):
                if event.image.uid == image.uid:
                    await _tell(response, event)
                    if event.is_last:
                        return
        finally:
            over.cancel()

    async def _news(
        self,
        response: web.StreamResponse,
        *listeners: Listener[Any],
        hurry: asyncio.Future[None] | None = None,
    ) -> AsyncIterator[Any]:
        """Yield news until the service stops; keep the stream alive in between.

        Once *hurry* is done, no interval is kept: who waits for an end hears of it at once.
        """
        closing: asyncio.Future[Any] = asyncio.ensure_future(self._closing.wait())
        sooner = {closing, hurry} if hurry else {closing}
        batches: dict[asyncio.Future[Any], Listener[Any]] = {}
        try:
            while not closing.done():
                for listener in set(listeners) - set(batches.values()):
                    batches[asyncio.ensure_future(listener.batch())] = listener
                done, _ = await asyncio.wait({closing, *batches}, timeout=PING, return_when=_FIRST)
                for batch in [one for one in batches if one in done]:
                    del batches[batch]
                    for news in batch.result():
                        yield news
                if done:
                    await asyncio.wait(sooner, timeout=INTERVAL, return_when=_FIRST)
                else:
                    await response.write(b": ping\n\n")
        finally:
            for future in [closing, *batches]:
                future.cancel()


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
