"""Who runs next: a bounded number of workers, and lanes that take turns.

Images of one namespace and kind of source wait in one lane, first come, first served; the lanes
take turns. A hundred queued URLs of one team therefore delay an upload by one import, not by all.
A worker can be lent while its import has nothing to do; whoever lent one is the next to get one.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

_Place = asyncio.Future[None]


class Turn:
    """A worker that somebody has."""

    def __init__(self, queue: "FairQueue") -> None:
        self._queue = queue
        self.held = True
        """False while it is lent."""

    def lend(self) -> None:
        """Let the next in the queue have the worker for now."""
        if self.held:
            self.held = False
            self._queue.release()

    async def take_back(self) -> None:
        """Wait for a worker again, before all who have not begun."""
        if not self.held:
            await self._queue.acquire_first()
            self.held = True


class FairQueue:
    """Hands out turns, at most *workers* at a time."""

    def __init__(self, workers: int) -> None:
        self._free = workers
        self._first: deque[_Place] = deque()
        self._lanes: dict[Hashable, deque[_Place]] = {}

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._first) + sum(len(lane) for lane in self._lanes.values())

    @asynccontextmanager
    async def turn(self, lane: Hashable) -> AsyncIterator[Turn]:
        """Wait for a worker, and keep it, unless it is lent, until the block ends."""
        await self._acquire(lane)
        turn = Turn(self)
        try:
            yield turn
        finally:
            turn.lend()

    async def acquire_first(self) -> None:
        """Wait for a worker before all who have not begun."""
        if self._free:
            self._free -= 1
            return
        await self._wait_in(self._first)

    def release(self) -> None:
        """Hand a worker to the next one."""
        if place := self._next():
            place.set_result(None)
        else:
            self._free += 1

    async def _acquire(self, lane: Hashable) -> None:
        if self._free:
            self._free -= 1
            return
        await self._wait_in(self._lanes.setdefault(lane, deque()))

    async def _wait_in(self, places: deque[_Place]) -> None:
        place = asyncio.get_running_loop().create_future()
        places.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place in places:
                places.remove(place)
                self._lanes = {lane: left for lane, left in self._lanes.items() if left}
            elif not place.cancelled():  # the turn came in the same moment
                self.release()
            raise

    def _next(self) -> _Place | None:
        """Take the next place of somebody who still waits out of its line."""
        while self._first:
            if not (place := self._first.popleft()).done():
                return place
        while self._lanes:
            lane, places = next(iter(self._lanes.items()))
            del self._lanes[lane]
            place = places.popleft()
            if places:
                self._lanes[lane] = places  # to the back: the other lanes come first
            if not place.done():
                return place
        return None
