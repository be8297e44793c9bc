"""What a proxy on the way answers instead of the server: an HTML page."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from tests.servers.listening import wants_body


@dataclass
class Page:
    """An answer of an ingress, after some bytes of the body."""

    status: int
    """413: body too large for it; 502, 503, 504: what is behind it is away or slow."""

    after: int | None = 0
    """Bytes of the body that are read before; None reads them all, as a buffering proxy does."""

    reaches: bool = False
    """Whether the server behind got the request all the same: a timeout while it worked."""

    def html(self) -> str:
        """Return the page as ingress-nginx words it."""
        title = f"{self.status} {HTTPStatus(self.status).phrase}"
        return "\r\n".join(
            [
                f"<html>\r\n<head><title>{title}</title></head>\r\n<body>",
                f"<center><h1>{title}</h1></center>",
                "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
            ]
        )

    async def answer(
        self,
        request: web.Request,
        behind: Callable[[web.Request], Awaitable[web.Response]],
    ) -> web.Response:
        """Return the page, as late as it is due."""
        if self.reaches:
            await behind(request)
        elif self.after != 0:
            await self._read(request)
        response = web.Response(status=self.status, text=self.html(), content_type="text/html")
        response.force_close()
        return response

    async def _read(self, request: web.Request) -> None:
        wants_body(request)
        seen = 0
        while chunk := await request.content.readany():
            seen += len(chunk)
            if self.after is not None and seen >= self.after:
                return
