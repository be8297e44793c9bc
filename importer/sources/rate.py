"""Bytes per second, at most."""

import asyncio


class Bucket:
    """A token bucket: what is taken beyond the rate is waited for, by whoever takes next too.

    It holds a quarter of a second's bytes, so that one who was kept waiting may catch up a little.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        """Bytes per second. 0: no limit."""

        self._free_at = 0.0
        """Time of the loop at which all that was taken has been paid for."""

    async def take(self, size: int) -> None:
        """Return when *size* more bytes are within the rate."""
        if self._rate <= 0:
            return
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - 0.25) + size / self._rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)
