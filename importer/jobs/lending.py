"""An upload whose client is away lends its worker to others, and takes one back when it returns."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from importer.jobs.queue import Turn
from importer.sources import Opened, Source
from importer.stream.pipe import Chunks


@dataclass(frozen=True, slots=True)
class Lending:
    """*source*, whose reader has *turn* while bytes come."""

    source: Source
    turn: Turn
    rest: float
    """Seconds without a byte until the worker is lent."""

    tell: Callable[[bool], None]
    """Hears that the client is away, and that it is back."""

    @property
    def rereadable(self) -> bool:
        """As the source's."""
        return self.source.rereadable

    async def open(self) -> Opened:
        """Return what the source opens to."""
        opened = await self.source.open()
        return replace(opened, chunks=self._lending(opened.chunks))

    async def close(self) -> None:
        """Close the source."""
        await self.source.close()

    async def _lending(self, chunks: Chunks) -> Chunks:
        async with aclosing(chunks):
            while (chunk := await self._next(chunks)) is not None:
                yield chunk

    async def _next(self, chunks: Chunks) -> bytes | None:
        # A timer costs 1 us, a task for each chunk would cost 50.
        timer = asyncio.get_running_loop().call_later(self.rest, self._away)
        try:
            chunk = await anext(chunks, None)
        finally:
            timer.cancel()
        if not self.turn.held:
            await self.turn.take_back()
            self.tell(False)
        return chunk

    def _away(self) -> None:
        self.turn.lend()
        self.tell(True)
