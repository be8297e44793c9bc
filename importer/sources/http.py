"""Images on web servers (RFC 9110): read once from the start, or looked at by ranges.

Bytes are taken as they travel: nothing is decoded, so lengths and checksums hold. Redirects are
followed by hand, each checked by the guard; credentials stay with the host they were given for.
Raises AddressRefused, SourceError (the server says no), SourceUnavailable (it does not answer, or
says later), SourceTruncated (it hung up early).
"""

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from importer import __version__
from importer.config import Url
from importer.errors import (
    AddressRefused,
    CallerError,
    ImporterError,
    SourceError,
    SourceTruncated,
    SourceUnavailable,
)
from importer.model import Readable
from importer.sources import Opened
from importer.sources.guard import Guard
from importer.sources.secrets import parse, shown
from importer.stream.pipe import Chunks
from importer.units import MiB

HEAD = MiB
"""Bytes that the first request for an inspection asks for."""

_READ_BUFFER = MiB
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LATER = frozenset({408, 425, 429})  # and every 5xx
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)\Z")
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"image-importer/{__version__}"}


@dataclass(frozen=True, slots=True)
class Probe:
    """What the first MiB of a remote file told."""

    head: bytes
    size: int | None
    """Bytes in the file, or None where the server does not say."""

    readable: Readable | None
    """The file, where the server can send any part of it."""


class Web:
    """All web servers: one pool of connections behind one guard."""

    def __init__(self, settings: Url) -> None:
        self._settings = settings
        self._guard = Guard(settings)
        self._ssl = _ssl_context(settings.ca_bundle)
        self._session: aiohttp.ClientSession | None = None

    def source(self, url: str) -> "HttpSource":
        """Return the file at *url* as a source."""
        return HttpSource(self, url)

    async def probe(self, url: str) -> Probe:
        """Look at the first MiB of the file at *url*; the connection ends there."""
        async with self.get(url, {"Range": f"bytes=0-{HEAD - 1}"}, (200, 206, 416)) as response:
            if response.status == 416:
                return Probe(b"", 0, None)
            head = await _at_most(response, HEAD)
            size = _whole_size(response)
            if response.status == 200 or size is None:
                return Probe(head, size, None)
            return Probe(head, size, HttpReadable(self, url, head, size, _validator(response)))

    async def close(self) -> None:
        """Close every connection."""
        if self._session:
            await self._session.close()

    @asynccontextmanager
    async def get(
        self, url: str, headers: dict[str, str], wanted: tuple[int, ...]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """GET *url* through its redirects; the connection is closed unless the body was read."""
        response = await self.follow(url, headers)
        try:
            if response.status not in wanted:
                raise _refusal(response)
            yield response
        finally:
            response.close()

    async def follow(self, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Return the first answer to a GET of *url* that is no redirect, its body unread."""
        at = parse(url)
        for _ in range(self._settings.redirects + 1):
            response = await self._asked(at, headers)
            if response.status not in _REDIRECTS:
                return response
            response.close()
            at = _next(at, response.headers.get("Location"))
        raise SourceError(
            f"{shown(url)}: more than {self._settings.redirects} redirects ([url] redirects)"
        )

    async def _asked(self, url: URL, headers: dict[str, str]) -> aiohttp.ClientResponse:
        self._guard.check_url(url)
        try:
            return await self._opened().get(url, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise _translated(exc, url) from exc

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                socket_factory=self._guard.socket, ssl=self._ssl, limit=0, ttl_dns_cache=0
            )
            self._session = aiohttp.ClientSession(
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
        return self._session


class HttpSource:
    """A file that is read from its first byte to its last over one connection."""

    rereadable = True

    def __init__(self, web: Web, url: str) -> None:
        self._web = web
        self._url = url
        self._response: aiohttp.ClientResponse | None = None

    async def open(self) -> Opened:
        """Ask for the file; its bytes come when they are asked for."""
        self._response = response = await self._web.follow(self._url, {})
        if response.status != 200:
            response.close()
            raise _refusal(response)
        return Opened(self._chunks(response), response.content_length, _is_coded(response))

    async def close(self) -> None:
        """Close the connection."""
        if self._response:
            self._response.close()

    async def _chunks(self, response: aiohttp.ClientResponse) -> Chunks:
        size = 0
        try:
            while chunk := await response.content.readany():
                size += len(chunk)
                yield chunk
        except aiohttp.ClientPayloadError as exc:
            raise _truncated(response, size) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise SourceUnavailable(
                f"{shown(str(response.url))} broke after {size} bytes: {_text(exc)}"
            ) from exc
        finally:
            response.close()
        if response.content_length not in (None, size):
            raise _truncated(response, size)


class HttpReadable:
    """A file whose server sends any part of it, for as long as it does not change."""

    def __init__(self, web: Web, url: str, head: bytes, size: int, validator: str | None) -> None:
        self._web = web
        self._url = url
        self._head = head
        self._size = size
        self._validator = validator

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    async def read_at(self, offset: int, length: int) -> bytes:
        """Return ``[offset, offset + length)``; the head is at hand already."""
        end = min(offset + length, self._size)
        if end <= len(self._head):
            return self._head[offset:end]
        headers = {"Range": f"bytes={offset}-{end - 1}"}
        if self._validator:
            headers["If-Range"] = self._validator
        async with self._web.get(self._url, headers, (200, 206)) as response:
            whole = f"bytes {offset}-{end - 1}/{self._size}"
            if response.status != 206 or response.headers.get("Content-Range") != whole:
                raise SourceError(f"{shown(self._url)} changed while it was looked at; try again")
            data = await _at_most(response, end - offset)
        if len(data) != end - offset:
            raise _truncated(response, len(data))
        return data


def _is_coded(response: aiohttp.ClientResponse) -> bool:
    """Say whether the server wrapped the file once more: as a content or a transfer coding."""
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    transfer = response.headers.get("Transfer-Encoding", "chunked").strip().lower()
    return coding != "identity" or transfer != "chunked"


async def _at_most(response: aiohttp.ClientResponse, size: int) -> bytes:
    parts: list[bytes] = []
    try:
        while size > 0 and (part := await response.content.read(size)):
            parts.append(part)
            size -= len(part)
    except (aiohttp.ClientError, OSError) as exc:
        raise SourceUnavailable(f"{shown(str(response.url))}: {_text(exc)}") from exc
    return b"".join(parts)


def _whole_size(response: aiohttp.ClientResponse) -> int | None:
    if response.status == 200:
        return response.content_length
    found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if not found or int(found[1]) != 0:
        raise SourceError(f"{shown(str(response.url))} answers a range with another one")
    return None if found[3] == "*" else int(found[3])


def _validator(response: aiohttp.ClientResponse) -> str | None:
    """Return what proves the file unchanged (RFC 9110 section 13.1.5: no weak ETag will do)."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _next(at: URL, location: str | None) -> URL:
    if not location:
        raise SourceError(f"{shown(str(at))} redirects to nowhere")
    try:
        return parse(str(at.join(URL(location))))
    except AddressRefused:
        raise
    except (CallerError, ValueError) as exc:
        raise AddressRefused(
            f"{shown(str(at))} redirects to where nothing is fetched: {exc}"
        ) from exc


def _refusal(response: aiohttp.ClientResponse) -> ImporterError:
    what = f"{shown(str(response.url))} answers {response.status} {response.reason or ''}".rstrip()
    if response.status in _LATER or response.status >= 500:
        return SourceUnavailable(what)
    return SourceError(f"{what}; check the URL and who may read it")


def _truncated(response: aiohttp.ClientResponse, size: int) -> SourceTruncated:
    return SourceTruncated(
        f"{shown(str(response.url))} hung up after {size} of "
        f"{response.content_length or 'unknown'} bytes"
    )


def _translated(exc: BaseException, url: URL) -> ImporterError:
    """Return what a failed request means; the guard's refusal may be deep inside."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ImporterError):
            return cause
        cause = cause.__cause__ or cause.__context__
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return SourceError(
            f"{shown(str(url))}: certificate not trusted ({_text(exc.certificate_error)}); "
            "[url] ca_bundle names more authorities"
        )
    return SourceUnavailable(f"{shown(str(url))}: {_text(exc)}")


def _text(exc: BaseException) -> str:
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


def _ssl_context(ca_bundle: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_bundle:
        try:
            context.load_verify_locations(cafile=ca_bundle)
        except (OSError, ssl.SSLError) as exc:
            raise CallerError(f"[url] ca_bundle {ca_bundle}: {exc}") from exc
    return context
