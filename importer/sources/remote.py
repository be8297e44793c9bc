"""One file on a web server: what its first MiB tells, and any part of it after that.

The first request asks for the first MiB: size, ranges, version and head come in one round trip.
Where redirects led is remembered, so later requests go there at once; an address that expires is
asked for anew. Every later answer must be of the same version, or it is SourceChanged.
"""

from collections.abc import Sequence

import aiohttp
from yarl import URL

from importer.errors import ImporterError, SourceChanged, SourceError, SourceUnavailable
from importer.sources.answers import (
    Span,
    Version,
    file_name,
    is_coded,
    refusal,
    span,
    version,
)
from importer.sources.body import Body
from importer.sources.origin import Origin
from importer.sources.rate import Bucket
from importer.sources.secrets import shown
from importer.sources.session import Session
from importer.units import KiB, MiB

HEAD = MiB
"""Bytes that the first request asks for."""

_WORDS = 16 * KiB
"""Bytes that are read of a refusal, for an origin that understands them."""

_EXPIRED = frozenset({400, 401, 403, 404, 410})
"""What signed addresses answer when their time is over; 400 is S3's for an expired token."""


class Remote:
    """A file, once `look` has seen it."""

    def __init__(self, session: Session, origin: Origin, buckets: Sequence[Bucket] = ()) -> None:
        self._session = session
        self._origin = origin
        self._buckets = buckets
        self._at: URL | None = None
        self.version = Version("", "", None)
        self.coded = False
        """Wrapped once more for the road: what comes is not the file itself."""

        self.ranged = False
        """Any part of it can be asked for, and its size is known."""

        self.name: str | None = None
        """What the server calls the file."""

    @property
    def size(self) -> int | None:
        """Bytes of the file as it comes; None where the server does not say."""
        return self.version.size

    @property
    def shown(self) -> str:
        """Its address as it may be shown."""
        return shown(str(self._origin.url))

    async def look(self) -> Body:
        """Ask for the first bytes; the body begins at 0 and ends anywhere.

        Raises AddressRefused, SourceError, SourceUnavailable.
        """
        response = await self._get({"Range": f"bytes=0-{HEAD - 1}"})
        seen = span(response)
        if response.status == 416 and _is_of_none(response):
            response.close()
            self.version = version(response, 0)
            return Body(response, 0, 0)
        if not _is_start(response, seen):
            response.close()
            response = await self._get({})
            seen = span(response)
        return self._seen(response, seen)

    async def body(self, start: int, end: int | None) -> Body:
        """Ask for ``[start, end)``. The answer of a server without ranges begins at 0 instead.

        A file of unknown size is asked for whole: of a part nobody could say whether it is the end.
        Raises SourceChanged, SourceError, SourceUnavailable.
        """
        headers: dict[str, str] = {}
        if self.size is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            headers.update({"If-Range": self.version.proof} if self.version.proof else {})
        response = await self._get(headers)
        try:
            return self._part(response, start, end)
        except BaseException:
            response.close()
            raise

    async def _get(self, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Ask where redirects led before; when that is over, the first URL again.

        Where nobody answers there any more, the next try is at the first URL as well.
        """
        before = self._at
        try:
            response, at = await self._session.get(self._origin, headers, before)
        except SourceUnavailable:
            self._at = None
            raise
        if response.status in _EXPIRED and before not in (None, self._origin.url):
            response.close()
            response, at = await self._session.get(self._origin, headers)
        if response.status not in (200, 206, 416):
            raise await self._refusal(response)
        self._at = at
        return response

    async def _refusal(self, response: aiohttp.ClientResponse) -> ImporterError:
        try:
            said = await response.content.read(_WORDS)
        except (aiohttp.ClientError, OSError):
            said = b""
        response.close()
        found = self._origin.refusal(response.status, response.headers, said)
        return found or refusal(response)

    def _seen(self, response: aiohttp.ClientResponse, seen: Span | None) -> Body:
        if seen is None or not _is_start(response, seen):
            response.close()
            raise SourceError(f"{self.shown} answers {response.status} to a request for all of it")
        self.coded = is_coded(response)
        self.version = version(response, seen.size)
        self.ranged = response.status == 206
        self.name = file_name(response)
        return Body(response, 0, seen.end, self._buckets)

    def _part(self, response: aiohttp.ClientResponse, start: int, end: int | None) -> Body:
        if response.status == 416:
            raise SourceChanged(f"{self.shown} ends before byte {start}; import it again")
        seen = span(response)
        if seen is None or (response.status == 206 and not _is_within(seen, start, end)):
            got = response.headers.get("Content-Range", "nothing")[:80]
            raise SourceError(f"{self.shown} was asked for bytes from {start} and sends {got!r}")
        if is_coded(response) != self.coded:
            raise SourceChanged(f"{self.shown} is sent in another coding than before")
        self._refuse_other(version(response, seen.size))
        if response.status == 200 and self.ranged and start:
            raise SourceUnavailable(f"{self.shown} sends all of it when asked for a part")
        until = seen.end if end is None else min(end, seen.end or end)
        return Body(response, seen.start, until, self._buckets)

    def _refuse_other(self, later: Version) -> None:
        if change := self.version.change(later):
            raise SourceChanged(
                f"{self.shown} changed while it was read: {change}; import it again"
            )


def _is_start(response: aiohttp.ClientResponse, seen: Span | None) -> bool:
    """Say whether an answer to the first request can be built upon.

    A range of a coded body could be of any coding, and of a file of unknown size nobody could say
    where it ends: both are asked for whole.
    """
    if response.status != 206:
        return response.status == 200
    return seen is not None and seen.start == 0 and seen.size is not None and not is_coded(response)


def _is_within(seen: Span, start: int, end: int | None) -> bool:
    """A server may send less than it is asked for (RFC 9110 section 15.3.7), but no other part."""
    return seen.start == start and (end is None or (seen.end or 0) <= end)


def _is_of_none(response: aiohttp.ClientResponse) -> bool:
    return response.headers.get("Content-Range", "").replace(" ", "") == "bytes*/0"
