"""Who runs next: a bounded number of workers, and lanes that take turns.

Images of one namespace and kind of source wait in one lane, first come, first served; the lanes
take turns. A hundred queued URLs of one team therefore delay an upload by one import, not by all.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager


class FairQueue:
    """Hands out turns, at most *workers* at a time."""

    def __init__(self, workers: int) -> None:
        self._free = workers
        self._lanes: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return sum(len(lane) for lane in self._lanes.values())

    @asynccontextmanager
    async def turn(self, lane: Hashable) -> AsyncIterator[None]:
        """Wait for a worker, and keep it until the block ends."""
        await self._acquire(lane)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, lane: Hashable) -> None:
        if self._free and not self._lanes:
            self._free -= 1
            return
        place = asyncio.get_running_loop().create_future()
        self._lanes.setdefault(lane, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled() or not place.done():
                self._drop(lane, place)
            else:  # the turn came in the same moment
                self._release()
            raise

    def _release(self) -> None:
        if not self._lanes:
            self._free += 1
            return
        lane, places = next(iter(self._lanes.items()))
        del self._lanes[lane]
        places.popleft().set_result(None)
        if places:
            self._lanes[lane] = places  # to the back: the other lanes come first

    def _drop(self, lane: Hashable, place: asyncio.Future[None]) -> None:
        places = self._lanes[lane]
        places.remove(place)
        if not places:
            del self._lanes[lane]
