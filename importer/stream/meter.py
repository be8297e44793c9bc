"""Counts what passes and who was waited for."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from importer.stream.extent import Data, Layout
from importer.stream.pipe import Chunks, Stage

Waited = Callable[[float], None]
"""Hears of seconds as they pass."""


def _unheard(_: float) -> None:
    """Tell nobody."""


class Meter:
    """What passed one point of a path.

    *passed* hears of bytes, *awaited* and *held* of the seconds that the source's and the target's
    side took, each as soon as it is over.
    """

    def __init__(
        self,
        passed: Callable[[int], None] = _unheard,
        awaited: Waited = _unheard,
        held: Waited = _unheard,
    ) -> None:
        self.size = 0
        """Bytes that passed."""

        self.upstream = 0.0
        """Seconds that were spent waiting for the source's side."""

        self.downstream = 0.0
        """Seconds that were spent waiting for the target's side."""

        self._passed = passed
        self._awaited = awaited
        self._held = held
        self._since = 0.0

    async def metered(self, chunks: Chunks) -> Chunks:
        """Let *chunks* pass."""
        self._since = time.monotonic()
        try:
            async for chunk in chunks:
                self._came(len(chunk))
                with self._going():
                    yield chunk
        finally:
            self._came(0)

    async def laid(self, layout: Layout) -> Layout:
        """Let *layout* pass; its zeros are no bytes."""
        self._since = time.monotonic()
        try:
            async for located in layout:
                self._came(located.extent.length if isinstance(located.extent, Data) else 0)
                with self._going():
                    yield located
        finally:
            self._came(0)

    def left(self) -> None:
        """All that came so far has been dealt with on the target's side."""
        seconds = self._passing()
        self.downstream += seconds
        self._held(seconds)

    @contextmanager
    def _going(self) -> Iterator[None]:
        try:
            yield
        finally:  # also when the path is closed meanwhile: the target's side had failed
            self.left()

    def _came(self, size: int) -> None:
        seconds = self._passing()
        self.upstream += seconds
        self._awaited(seconds)
        self.size += size
        self._passed(size)

    def _passing(self) -> float:
        since, self._since = self._since, time.monotonic()
        return self._since - since


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
