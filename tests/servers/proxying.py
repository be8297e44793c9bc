"""A reverse proxy before the service, with the limits and the failures that proxies have.

It keeps each body until it is whole, as nginx does, and passes nothing on of one that breaks off.
"""

import io
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

PAGE = "<html><head><title>Sorry</title></head></html>"


@dataclass
class Proxy:
    """Passes requests on to *base*."""

    base: str
    most: int | None = None
    """Bytes of a request's body; for more the answer is 413, at once where its length is told."""

    patience: int | None = None
    """Bytes of a request after which it has taken too long: 504."""

    continues: bool = True
    """Without it, nobody answers ``Expect: 100-continue``."""

    faults: list[int] = field(default_factory=list)
    """Statuses that the next uploads' requests are answered with, by nobody but the proxy."""

    asked: Counter[str] = field(default_factory=Counter)
    ways: set[object] = field(default_factory=set)
    """Connections that brought parts of uploads."""

    bodies: list[int] = field(default_factory=list)
    """Bytes of the bodies that were passed on."""

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Answer *request*."""
        self.asked[request.method] += 1
        if request.method == "PATCH" and request.transport:
            self.ways.add(request.transport.get_extra_info("peername"))
        if self.faults and request.method in ("PATCH", "HEAD"):
            return web.Response(status=self.faults.pop(0), text=PAGE, content_type="text/html")
        if self.most is not None and (request.content_length or 0) > self.most:
            return web.Response(status=413, text=PAGE, content_type="text/html")
        if self.continues and request.headers.get("Expect") and request.transport:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            body = b"".join([part async for part in self._read(request)])
        except _TooMuchError as exc:
            return web.Response(status=exc.status, text=PAGE, content_type="text/html")
        self.bodies.append(len(body))
        return await self._answer(request, body)

    async def _read(self, request: web.Request) -> AsyncIterator[bytes]:
        size = 0
        async for part in request.content.iter_any():
            size += len(part)
            if self.most is not None and size > self.most:
                raise _TooMuchError(413)
            if self.patience is not None and size > self.patience:
                raise _TooMuchError(504)
            yield part

    async def _answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        headers = {
            key: value
            for key, value in request.headers.items()
            if key.lower() not in ("host", "expect", "content-length", "transfer-encoding")
        }
        async with (
            aiohttp.ClientSession(auto_decompress=False) as http,
            http.request(
                request.method, self.base + request.path_qs, headers=headers, data=io.BytesIO(body)
            ) as answer,
        ):
            response = web.StreamResponse(status=answer.status, headers=answer.headers)
            await response.prepare(request)
            with suppress(ConnectionError):  # The client is gone.
                async for part in answer.content.iter_any():
                    await response.write(part)
                await response.write_eof()
            return response


class _TooMuchError(Exception):
    def __init__(self, status: int) -> None:
        self.status = status


@asynccontextmanager
async def proxying(proxy: Proxy) -> AsyncIterator[str]:
    """Run *proxy* and give its address."""

    async def nothing(_: web.Request) -> None:
        return None

    app = web.Application(client_max_size=1 << 40)
    app.router.add_route("*", "/{path:.*}", proxy.pass_on, expect_handler=nothing)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
