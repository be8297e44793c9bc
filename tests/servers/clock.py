"""Time for servers that wait: the real one, or one that a test moves by hand."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable


class Clock:
    """The machine's time."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def call_later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Call that after *seconds*; what is returned takes it back."""
        return asyncio.get_running_loop().call_later(seconds, call).cancel

    async def sleep(self, seconds: float) -> None:
        """Return after *seconds*."""
        done = asyncio.Event()
        take_back = self.call_later(seconds, done.set)
        try:
            await done.wait()
        finally:
            take_back()


class HandClock(Clock):
    """Time that stands still until `advance`."""

    def __init__(self) -> None:
        self._now = float(int(time.time()))  # sums of whole seconds stay exact
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._gone: set[int] = set()

    def now(self) -> float:
        return self._now

    def call_later(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        number = next(self._count)
        heapq.heappush(self._calls, (self._now + seconds, number, call))
        return lambda: self._gone.add(number)

    @property
    def waiting(self) -> bool:
        """Whether anything waits for this clock."""
        return any(number not in self._gone for _, number, _ in self._calls)

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass, and do what falls due in them, in order."""
        until = self._now + seconds
        while self._calls and self._calls[0][0] <= until:
            self._now, number, call = heapq.heappop(self._calls)
            if number not in self._gone:
                call()
        self._now = until
