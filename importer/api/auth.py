"""Who may ask: a bearer token, and no page of another site.

``/``, static files and the health checks are open; ``/metrics`` takes the scrape token too.
"""

import hmac
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware
from yarl import URL

from importer.api.problems import Handler
from importer.config import Service
from importer.errors import OriginRefused, Unauthorized

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_OPEN = frozenset({"/", "/healthz", "/readyz", "/favicon.ico"})


def token_of(service: Service, data: Path) -> str:
    """Return the API's token: the configured one, or that of ``DATA/token``, made when missing."""
    if service.token:
        return service.token
    path = data / "token"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if token := path.read_text().strip():
            return token
        path.unlink()  # a first start was cut off before it wrote
        return token_of(service, data)
    with os.fdopen(fd, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
        file.flush()
        os.fsync(fd)
    return token_of(service, data)


class Door:
    """Lets requests in."""

    def __init__(
        self,
        token: str | None,
        scrape_token: str,
        origins: Sequence[str],
        elsewhere: Callable[[web.Request], bool] = lambda _: False,
    ) -> None:
        """*elsewhere* says of a request that somebody else authorises it."""
        self._token = token
        self._scrape_token = scrape_token
        self._elsewhere = elsewhere
        self.origins = frozenset(origins)
        """Origins beside the service's own whose pages may ask."""

    @property
    def middleware(self) -> Middleware:
        """The middleware that asks."""

        @web.middleware
        async def asks(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._refuse_foreign(request)
            is_open = request.path in _OPEN or request.path.startswith("/static/")
            if not is_open and not self._elsewhere(request):
                self._refuse_unknown(request)
            return await handler(request)

        return asks

    def _refuse_unknown(self, request: web.Request) -> None:
        if self._token is None:
            self._refuse_rebound(request)
            return
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        given = given.strip() if kind.lower() == "bearer" else ""
        if _same(given, self._token):
            return
        if request.path == "/metrics" and self._scrape_token and _same(given, self._scrape_token):
            return
        raise Unauthorized("the bearer token is missing or wrong; the right one is in DATA/token")

    def _refuse_rebound(self, request: web.Request) -> None:
        """Without a token, refuse a name that another site has bound to this machine."""
        if request.url.host not in _LOOPBACK:
            raise OriginRefused(
                f"without a token only loopback's own names are served, not {request.url.host}"
            )

    def _refuse_foreign(self, request: web.Request) -> None:
        """Refuse what another site's page sends: browsers name it in ``Origin``."""
        origin = request.headers.get("Origin")
        if origin is None or origin in self.origins:
            return
        if _authority(origin) != request.headers.get("Host", "").lower():
            raise OriginRefused(
                f"a page of {origin[:200]} sent this; [service] origins may allow it"
            )


def _authority(origin: str) -> str | None:
    try:
        return URL(origin).raw_authority.lower()
    except ValueError:
        return None


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
