"""What a web server's answer says of the file: which bytes come, how many there are, which version.

RFC 9110: ranges (section 14), validators (8.8), codings (8.4), Retry-After (10.2.3).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath

import aiohttp

from importer.errors import ImporterError, SourceError, SourceUnavailable
from importer.sources.secrets import shown

_LATER = frozenset({408, 425, 429})  # and every 5xx
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)\Z")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``[start, end)`` of a file of *size* bytes, where they are known."""

    start: int
    end: int | None
    size: int | None


@dataclass(frozen=True, slots=True)
class Version:
    """What proves a file unchanged."""

    etag: str
    modified: str
    size: int | None

    @property
    def proof(self) -> str | None:
        """What ``If-Range`` may ask for (RFC 9110 section 13.1.5: no weak ETag will do)."""
        return self.etag if self.etag.startswith('"') else self.modified or None

    def change(self, later: "Version") -> str | None:
        """Say what differs in a *later* answer; what either leaves out differs in nothing.

        Two servers behind one name may have dates of their own for one file: a strong ETag counts
        more.
        """
        is_proved = self.etag.startswith('"') and self.etag == later.etag
        pairs = (
            ("ETag", self.etag.removeprefix("W/"), later.etag.removeprefix("W/")),
            ("Last-Modified", "" if is_proved else self.modified, later.modified),
            ("size", self.size, later.size),
        )
        for name, old, new in pairs:
            if old not in (None, "") and new not in (None, "") and old != new:
                return f"its {name} was {old} and is {new}"
        return None


def span(response: aiohttp.ClientResponse) -> Span | None:
    """Return which bytes come. None: a 206 that does not say so, or says nonsense."""
    if response.status != 206:
        size = length(response)
        return Span(0, size, size)
    found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if not found:
        return None
    start, end, size = int(found[1]), int(found[2]) + 1, None if found[3] == "*" else int(found[3])
    is_sane = start < end and (size is None or end <= size)
    return Span(start, end, size) if is_sane else None


def length(response: aiohttp.ClientResponse) -> int | None:
    """Return the bytes of a whole file.

    Google's storage names them in a header of its own where it leaves Content-Length out; they
    are not what comes when it undoes a stored gzip on the way.
    """
    if response.content_length is not None:
        return response.content_length
    stored = response.headers.get("x-goog-stored-content-length", "")
    coding = response.headers.get("x-goog-stored-content-encoding", "identity")
    return int(stored) if stored.isascii() and stored.isdigit() and coding == "identity" else None


def version(response: aiohttp.ClientResponse, size: int | None) -> Version:
    """Return which version of the file answers."""
    headers = response.headers
    return Version(headers.get("ETag", ""), headers.get("Last-Modified", ""), size)


def is_coded(response: aiohttp.ClientResponse) -> bool:
    """Say whether the server wrapped the file once more: as a content or a transfer coding."""
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    transfer = response.headers.get("Transfer-Encoding", "chunked").strip().lower()
    return coding not in ("identity", "") or transfer != "chunked"


def file_name(response: aiohttp.ClientResponse) -> str | None:
    """Return the name that the server gives the file (RFC 6266), without any directory."""
    given = response.content_disposition
    name = PurePosixPath(((given and given.filename) or "").replace("\\", "/")).name
    return name[:255] if name.isprintable() and name else None


def refusal(response: aiohttp.ClientResponse) -> ImporterError:
    """Return what an answer without a file means: no, or not now."""
    what = f"{shown(str(response.url))} answers {response.status} {response.reason or ''}".rstrip()
    if response.status in _LATER or response.status >= 500:
        return SourceUnavailable(what, retry_after(response.headers.get("Retry-After", "")))
    return SourceError(f"{what}; check the URL and who may read it")


def retry_after(text: str) -> float | None:
    """Return the seconds that ``Retry-After`` means: a number, or a date."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
