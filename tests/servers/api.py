"""A stand-in for the service, for what cannot be provoked from the real one.

Speaks just enough of the API for one upload or import of one image; its faults are fields.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from importer.cli.plan import built_in

CREATED = "2026-01-02T03:04:05Z"


def image(name: str, phase: str, **status: Any) -> dict[str, Any]:
    """Return an image as the API shows it."""
    return {
        "name": name,
        "namespace": "default",
        "uid": "u1",
        "createdAt": CREATED,
        "spec": {"source": {"type": "upload"}, "storageClass": "local"},
        "status": {"phase": phase, "attempt": 1, **status},
    }


def error(slug: str, side: str, message: str) -> dict[str, Any]:
    """Return an error as the API shows it."""
    return {"slug": slug, "side": side, "retryable": False, "message": message}


@dataclass
class FakeApi:
    """What the service was asked, and the faults it should show."""

    refuse: dict[str, Any] | None = None
    """The error that an upload gets before its body was read."""

    hang_up: bool = False
    """Close the connection after that refusal, with the body still coming."""

    asks_first: bool = True
    """Wait with ``100 Continue`` until the body is wanted, as the service does."""

    deaf: bool = False
    """Take an upload's first bytes and no more, and never answer a request to end it."""

    silent: bool = False
    """Take an upload's first bytes, and no more in that request; all in the next one."""

    cut_streams: int = 0
    """Streams of events that break off after their first event."""

    events: list[dict[str, Any]] = field(default_factory=list)
    """What streams of events show."""

    calls: list[str] = field(default_factory=list)
    received: int = 0
    size: int = 0
    tokens: set[str] = field(default_factory=set)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> web.Application:
        """Return it as an application."""
        app = web.Application(client_max_size=1 << 40)
        one = "/v1/images/{name}"
        expect = {"expect_handler": self._expect}
        app.router.add_post("/v1/uploads", self._create)
        app.router.add_head("/v1/uploads/{id}", self._stands)
        app.router.add_patch("/v1/uploads/{id}", self._upload, **expect)
        app.router.add_get(one, self._one)
        app.router.add_get("/v1/images", self._list)
        app.router.add_post("/v1/images", self._import)
        app.router.add_get("/v1/storageclasses", self._classes)
        app.router.add_post(one + "/cancel", self._cancel)
        app.router.add_get(one + "/events", self._events)
        return app

    def release(self) -> None:
        """Let what hangs go on."""
        self._released.set()

    async def _expect(self, request: web.Request) -> None:
        if not self.asks_first and request.transport:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _note(self, request: web.Request) -> None:
        self.calls.append(f"{request.method} {request.path}")
        self.tokens.add(request.headers.get("Authorization", ""))

    async def _import(self, request: web.Request) -> web.Response:
        self._note(request)
        self.begun.set()
        return web.json_response(self.events[0], status=201)

    async def _create(self, request: web.Request) -> web.Response:
        self._note(request)
        self.size = int(request.headers["Upload-Length"])
        return web.Response(status=201, headers={"Location": "uploads/u1"})

    async def _stands(self, request: web.Request) -> web.Response:
        self._note(request)
        headers = {"Upload-Offset": str(self.received), "Upload-Length": str(self.size)}
        return web.Response(headers=headers)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        if self.refuse:
            return await self._refused(request, self.refuse)
        if self.asks_first and request.transport:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        call = self.calls[-1]
        async for chunk in request.content.iter_any():
            self.received += len(chunk)
            self.begun.set()
            if self.deaf or (self.silent and self.calls.count(call) == 1):
                await self._released.wait()
                break
        return web.Response(status=204, headers={"Upload-Offset": str(self.received)})

    async def _refused(self, request: web.Request, refuse: dict[str, Any]) -> web.StreamResponse:
        response = web.json_response({"error": refuse}, status=409)
        await response.prepare(request)
        await response.write_eof()
        if self.hang_up and request.transport:
            request.transport.close()
        return response

    async def _one(self, request: web.Request) -> web.Response:
        self._note(request)
        if self.begun.is_set():
            return web.json_response(self.events[0])
        body = {"error": error("not-found", "caller", "no image has this name")}
        return web.json_response(body, status=404)

    async def _list(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.json_response({"items": self.events})

    async def _classes(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.json_response({"items": [msgspec.to_builtins(built_in())]})

    async def _cancel(self, request: web.Request) -> web.Response:
        self._note(request)
        self.cancelled.set()
        if self.deaf:
            await self._released.wait()
        return web.json_response(image(request.match_info["name"], "Cancelled"))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        cut = self.cut_streams > 0
        self.cut_streams -= cut
        for event in self.events[:1] if cut else self.events:
            await response.write(f"event: image\ndata: {json.dumps(event)}\n\n".encode())
        if cut and request.transport:
            request.transport.abort()
        return response


@asynccontextmanager
async def serving(api: FakeApi) -> AsyncIterator[str]:
    """Serve *api* and give its address."""
    runner = web.AppRunner(api.app(), shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        api.release()
        await runner.cleanup()
