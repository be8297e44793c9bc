"""Counts what passes and who was waited for."""

import time
from collections.abc import Callable

from importer.stream.pipe import Chunks, Stage


class Meter:
    """What passed one point of a path."""

    def __init__(self, passed: Callable[[int], None] = lambda size: None) -> None:
        self.size = 0
        """Bytes that passed."""

        self.upstream = 0.0
        """Seconds that were spent waiting for the source's side."""

        self.downstream = 0.0
        """Seconds that were spent waiting for the target's side."""

        self._passed = passed

    async def metered(self, chunks: Chunks) -> Chunks:
        """Let *chunks* pass."""
        since = time.monotonic()
        async for chunk in chunks:
            came = time.monotonic()
            self.upstream += came - since
            self.size += len(chunk)
            self._passed(len(chunk))
            yield chunk
            since = time.monotonic()
            self.downstream += since - came


def limited(most: int, refusal: Callable[[int], Exception]) -> Stage:
    """Return a stage that raises ``refusal(size so far)`` once more than *most* bytes passed."""

    async def within(chunks: Chunks) -> Chunks:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise refusal(size)
            yield chunk

    return within
