"""An application on a socket of its own, and answers as Go's ``net/http`` words them."""

import socket
import ssl
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

PLAIN = "text/plain; charset=utf-8"
CONTINUED = web.RequestKey("continued", bool)
"""Whether the body was asked for with ``100 Continue``."""


@dataclass
class Listening:
    """Serves *app* while the block lasts."""

    app: web.Application
    host: str = "127.0.0.1"
    port: int = 0
    tls: ssl.SSLContext | None = None
    _runner: web.AppRunner | None = field(default=None, repr=False)

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        listener = socket.create_server((self.host, self.port))
        self.port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener, ssl_context=self.tls).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Refuse connections from now on, and drop those there are."""
        runner, self._runner = self._runner, None
        if runner:
            await runner.cleanup()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"


def application() -> web.Application:
    """Return an application that takes bodies of any length."""
    return web.Application(client_max_size=1 << 50)


async def no_continue(request: web.Request) -> None:
    """Do not ask for the body yet: Go sends ``100 Continue`` with a handler's first read."""


def wants_body(request: web.Request) -> None:
    """Ask for the body, as Go does when a handler first reads of it."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request[CONTINUED] = True


def plain(status: int, text: str) -> web.Response:
    """Return *text* as ``fmt.Fprint`` of a handler sends it."""
    return web.Response(status=status, body=text.encode(), headers={"Content-Type": PLAIN})


def error(status: int, text: str) -> web.Response:
    """Return what ``http.Error`` sends: the text, a line's end, and ``nosniff``."""
    response = plain(status, text + "\n")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def empty(status: int = 200) -> web.Response:
    """Return an answer without a body and without a type."""
    return web.Response(status=status)


def hang_up(request: web.Request) -> web.Response:
    """Break the connection without an answer, as a handler that panics does."""
    if request.transport:
        request.transport.abort()
    return empty(500)


async def not_found(request: web.Request) -> web.Response:
    """Answer as Go's router does to what it does not know."""
    return error(404, "404 page not found")
