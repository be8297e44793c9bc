"""Requests to web servers: each behind the guard, redirects followed by hand, errors by name.

Bytes are taken as they travel: nothing is decoded, so lengths and checksums hold. Raises
AddressRefused, SourceError (a redirect or certificate that will not do), SourceUnavailable (no
answer).
"""

import ssl
from collections.abc import Mapping

import aiohttp
from yarl import URL

from importer import __version__
from importer.config import Url
from importer.errors import (
    AddressRefused,
    CallerError,
    ImporterError,
    SourceError,
    SourceUnavailable,
)
from importer.sources.guard import Guard
from importer.sources.origin import Origin, Request
from importer.sources.secrets import parse, shown
from importer.units import KiB

_READ_BUFFER = 512 * KiB
"""aiohttp keeps twice that before it stops reading: for each of 16 connections at once, say."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"image-importer/{__version__}"}


class Session:
    """Connections of one import; closing it leaves none."""

    def __init__(self, settings: Url, guard: Guard, trust: ssl.SSLContext) -> None:
        self._settings = settings
        self._guard = guard
        self._trust = trust
        self._direct: aiohttp.ClientSession | None = None
        self._proxied: aiohttp.ClientSession | None = None

    async def get(
        self, origin: Origin, headers: Mapping[str, str], at: URL | None = None
    ) -> tuple[aiohttp.ClientResponse, URL]:
        """Return the first answer to a GET that is no redirect, its body unread, and where it was.

        *at*: where to ask, when an earlier answer led there; the origin's own URL otherwise.
        """
        at = at or origin.url
        for _ in range(self._settings.redirects + 1):
            response = await self._ask(await origin.request(at, headers))
            if response.status not in _REDIRECTS or not response.headers.get("Location"):
                return response, at
            response.close()
            at = _next(at, response.headers["Location"])
        raise SourceError(
            f"{shown(str(origin.url))}: more than {self._settings.redirects} redirects "
            "([url] redirects)"
        )

    async def close(self) -> None:
        """Close every connection."""
        for session in (self._direct, self._proxied):
            if session:
                await session.close()
        self._direct = self._proxied = None

    async def _ask(self, request: Request) -> aiohttp.ClientResponse:
        self._guard.check_url(request.url)
        if request.proxy:
            self._guard.check_proxied(request.url)
        try:
            return await self._opened(request).get(
                request.url,
                headers=request.headers,
                ssl=request.trust or self._trust,
                proxy=request.proxy,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise translated(exc, request.url) from exc

    def _opened(self, request: Request) -> aiohttp.ClientSession:
        if request.proxy:
            # The address that is connected to is the proxy's, which the configuration named.
            self._proxied = self._proxied or self._made(aiohttp.TCPConnector(limit=0))
            return self._proxied
        self._direct = self._direct or self._made(
            aiohttp.TCPConnector(socket_factory=self._guard.socket, limit=0, ttl_dns_cache=0)
        )
        return self._direct

    def _made(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            headers=_HEADERS,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_BUFFER,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=self._settings.connect,
                sock_read=self._settings.stall,
            ),
        )


def _next(at: URL, location: str) -> URL:
    try:
        return parse(str(at.join(URL(location))))
    except AddressRefused:
        raise
    except (CallerError, ValueError) as exc:
        raise AddressRefused(
            f"{shown(str(at))} redirects to where nothing is fetched: {exc}"
        ) from exc


def translated(exc: BaseException, url: URL) -> ImporterError:
    """Return what a failed request means; the guard's refusal may be deep inside."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ImporterError):
            return cause
        cause = cause.__cause__ or cause.__context__
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return SourceError(
            f"{shown(str(url))}: certificate not trusted ({text(exc.certificate_error)}); "
            "[url] ca_bundle names more authorities, or the import's own ca"
        )
    return SourceUnavailable(f"{shown(str(url))}: {text(exc)}")


def text(exc: BaseException) -> str:
    """Return the error's own words: aiohttp puts whole URLs, secrets and all, into some of them."""
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return f"the name {exc.host} is not known"
    if isinstance(exc, aiohttp.ClientConnectorError):
        return exc.os_error.strerror or type(exc.os_error).__name__
    if isinstance(exc, TimeoutError):
        return "no byte came in time ([url] connect, [url] stall)"
    if isinstance(exc, (aiohttp.InvalidURL, aiohttp.ClientResponseError)):
        return type(exc).__name__
    return str(exc) or type(exc).__name__
