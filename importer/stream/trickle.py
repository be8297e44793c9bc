"""A stream that is never silent: a little is held back, and passed on while nothing comes.

Longhorn gives up an upload after 30 seconds without a byte (backing-image-manager:
pkg/types/types.go, HTTPTimeout), while a source may rightly take a minute to be taken up again
where it broke. The pieces are larger than the buffers on the way (4 KiB in each of Go's proxies),
so each arrives.
Raises SourceUnavailable when the source is silent for longer than what is held back lasts.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from importer.errors import SourceUnavailable
from importer.stream.pipe import Chunks, Stage
from importer.units import KiB, MiB

HELD = MiB
"""Bytes that are held back, once so many have come: 21 minutes of silence."""

PIECE = 8 * KiB
"""Bytes that break a silence."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Seconds of silence that are allowed."""

    first: float = 50.0
    """Until the first chunk comes."""

    pause: float = 10.0
    """Until a little of what is held back is passed on."""

    last: float = 20.0
    """When nothing is held back any more."""


def trickled(allowed: Silence) -> Stage:
    """Return a stage that is never silent for longer than *allowed*."""
    return lambda chunks: _trickled(chunks, allowed)


async def _trickled(chunks: Chunks, allowed: Silence) -> Chunks:
    held = _Held()
    coming = _next(chunks)
    limit = allowed.first
    try:
        while True:
            await asyncio.wait({coming}, timeout=limit)
            if not coming.done():
                yield held.little(limit)
            elif (chunk := coming.result()) is not None:
                coming = _next(chunks)
                for piece in held.more(chunk):
                    yield piece
            else:
                break
            limit = allowed.pause if held.size else allowed.last
        for piece in held.chunks:
            yield piece
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await coming


def _next(chunks: Chunks) -> asyncio.Future[bytes | None]:
    return asyncio.ensure_future(anext(chunks, None))


class _Held:
    """What is held back, oldest first."""

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.size = 0

    def more(self, chunk: bytes) -> Iterator[bytes]:
        """Take *chunk* in, and give what need not be held any more."""
        self.chunks.append(chunk)
        self.size += len(chunk)
        while self.size - len(self.chunks[0]) >= HELD:
            yield self._taken()

    def little(self, waited: float) -> bytes:
        """Give the next PIECE, after *waited* seconds without a chunk."""
        if not self.size:
            raise SourceUnavailable(
                f"the source sends nothing: after {waited:g} s without a byte, and nothing left "
                "that was held back, the target would give up"
            )
        first = self._taken()
        if len(first) > PIECE:
            self.chunks.appendleft(first[PIECE:])
            self.size += len(first) - PIECE
        return first[:PIECE]

    def _taken(self) -> bytes:
        first = self.chunks.popleft()
        self.size -= len(first)
        return first
