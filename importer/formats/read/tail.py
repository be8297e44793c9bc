"""A file that passes once: what comes next of it, and where in the file that is.

Until it is told to forget, it keeps what has passed, so that all of it can be read again.
Raises ImageNotInOrder when it would have to keep more than its window.
"""

from contextlib import aclosing

from importer.formats.read.reorder import not_in_order
from importer.stream.pipe import Chunks
from importer.stream.rechunk import rechunk
from importer.units import CHUNK


class Tail:
    """The part of a file that has not passed yet. Who made the chunks closes them."""

    def __init__(self, chunks: Chunks, window: int) -> None:
        self._source = rechunk(chunks)
        self._window = window
        self._kept: list[bytes] | None = []
        self._kept_size = 0
        self._chunk = b""
        self._used = 0
        self.at = 0
        """Offset in the file of what comes next."""

    async def some(self, most: int) -> bytes:
        """Return what comes next: not empty but at the end, and at most *most* bytes.

        A chunk that is wanted as a whole is not copied.
        """
        if self._used == len(self._chunk):
            self._chunk, self._used = await self._next(), 0
        there = len(self._chunk) - self._used
        length = min(there, most) if there <= 2 * CHUNK else min(CHUNK, most)
        data = self._chunk[self._used : self._used + length]
        self.skip(length)
        return data

    async def peek(self, length: int) -> memoryview:
        """Return the next *length* bytes, fewer only at the end, and leave them there."""
        if len(self._chunk) - self._used < length:
            parts = [memoryview(self._chunk)[self._used :]]
            missing = length - len(parts[0])
            while missing > 0 and (chunk := await self._next()):
                parts.append(memoryview(chunk))
                missing -= len(chunk)
            self._chunk, self._used = b"".join(parts), 0
        return memoryview(self._chunk)[self._used : self._used + length]

    def skip(self, length: int) -> None:
        """Go past *length* bytes that have been looked at."""
        self._used += length
        self.at += length

    async def _next(self) -> bytes:
        chunk = await anext(self._source, b"")
        if self._kept is not None and chunk:
            self._kept.append(chunk)
            self._kept_size += len(chunk)
            if self._kept_size > self._window:
                raise not_in_order(
                    f"its first {self._kept_size} bytes tell too little of where its data is"
                )
        return chunk

    def forget(self) -> None:
        """Keep nothing any more."""
        self._kept = None

    async def again(self) -> Chunks:
        """Yield all of the file from its start; nothing has been forgotten."""
        async with aclosing(self._source):
            for chunk in self._kept or ():
                yield chunk
            self._kept = None
            async for chunk in self._source:
                yield chunk

    async def close(self) -> None:
        """Take no more chunks, unless what has passed may still be asked for again."""
        if self._kept is None:
            await self._source.aclose()
