"""The bytes of one answer, as they come over one connection."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import aiohttp

from importer.errors import SourceTruncated, SourceUnavailable
from importer.sources.rate import Bucket
from importer.sources.secrets import shown
from importer.sources.session import text


class Body:
    """Bytes ``[at, end)`` of a file. Raises SourceTruncated, SourceUnavailable."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        start: int,
        end: int | None,
        buckets: Sequence[Bucket] = (),
    ) -> None:
        self._response = response
        self._buckets = buckets
        self.at = start
        """Offset in the file of the byte that comes next."""

        self.end = end
        """None: wherever the server closes."""

        self.since = 0.0
        """Time of the loop from which on the last byte was waited for."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def read(self) -> bytes:
        """Return what has come, at least a byte; nothing at the end."""
        if self.at == self.end:
            return b""
        self.since = asyncio.get_running_loop().time()
        try:
            chunk = await self._next()
        except aiohttp.ClientPayloadError as exc:
            raise self._truncated() from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise SourceUnavailable(f"{self._name()} broke at byte {self.at}: {text(exc)}") from exc
        if self.end is not None and len(chunk) > self.end - self.at:
            chunk = chunk[: self.end - self.at]  # more than it announced
        if not chunk and self.end not in (None, self.at):
            raise self._truncated()
        self.at += len(chunk)
        for bucket in self._buckets:
            await bucket.take(len(chunk))
        return chunk

    async def _next(self) -> bytes:
        """Return a chunk as it came: whoever takes several joins them once only."""
        content = self._response.content
        while True:
            chunk, _ = await content.readchunk()
            if chunk or content.at_eof():
                return chunk  # an empty one before the end only ends an HTTP chunk

    def close(self) -> None:
        """Close the connection, unless all was read: then the next request may have it."""
        self._response.close()

    def _name(self) -> str:
        return shown(str(self._response.url))

    def _truncated(self) -> SourceTruncated:
        end = "unknown" if self.end is None else self.end
        return SourceTruncated(f"{self._name()} hung up after {self.at} of {end} bytes")
