"""A body that is read in pieces, each from wherever the service stands."""

import asyncio
from contextlib import aclosing

from importer.cli.body import Body
from importer.stream.pipe import Chunks


class Reader:
    """Goes on where the last piece ended, and begins elsewhere only when it has to."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._chunks: Chunks | None = None
        self._rest = b""
        self.at = 0
        """Where the next byte comes from: all before it was handed out."""

        self._turn = asyncio.Lock()
        self.total = body.size
        """Bytes of the whole; None until the end was seen where only that tells."""

    async def piece(self, start: int, most: int | None) -> Chunks:
        """Yield the bytes from *start* on, *most* of them at most. Raises what the body does."""
        # Who reads for a request that broke may not have left yet.
        async with self._turn:
            chunks = await self._from(start)
            left = most
            while left != 0 and (self._rest or await self._more(chunks)):
                part, self._rest = self._rest[:left], self._rest[len(self._rest[:left]) :]
                self.at += len(part)
                left = None if left is None else left - len(part)
                yield part

    async def close(self) -> None:
        """Let go of the file."""
        async with self._turn:
            await self._stop()
            await self._body.close()

    async def _from(self, start: int) -> Chunks:
        if self._chunks is None or start != self.at:
            await self._stop()
            self._chunks, self.at = self._body.chunks(start), start
        return self._chunks

    async def _more(self, chunks: Chunks) -> bool:
        try:
            self._rest = await anext(chunks, b"")
        except BaseException:
            await self._stop()
            raise
        if not self._rest:
            self.total = self.at
        return bool(self._rest)

    async def _stop(self) -> None:
        if self._chunks:
            async with aclosing(self._chunks):
                self._chunks, self._rest = None, b""
