"""How long a transfer that broke is taken up again: until too long no byte has come.

Waits double with each try in a row, with jitter, so that many clients of one server that fell do
not all come back in the same moment. A server that names a time (``Retry-After``) gets it, as far
as patience reaches.
"""

import asyncio
from collections.abc import Callable

import structlog

from importer.config import Url
from importer.errors import SourceTruncated, SourceUnavailable

log = structlog.get_logger()

Passing = SourceUnavailable | SourceTruncated
"""What may be over at the next try."""

PASSING = (SourceUnavailable, SourceTruncated)


class Patience:
    """Of one transfer, over all its connections."""

    def __init__(self, settings: Url, jitter: Callable[[], float]) -> None:
        self._settings = settings
        self._jitter = jitter
        """Returns a number in [0, 1)."""

        self._last: float | None = None
        """Time of the loop at which the last byte came; None before the first fault in a row."""

        self.faults = 0
        """Faults that were waited out."""

    def progress(self) -> None:
        """A byte came."""
        self._last = None

    async def again(self, fault: Passing, tries: int, since: float) -> None:
        """Wait until it is time to try again, for the *tries*-th time in a row.

        *since*: time of the loop from which on a byte was waited for. Raises SourceUnavailable when
        patience is over.
        """
        now = asyncio.get_running_loop().time()
        self._last = since if self._last is None else self._last
        left = self._last + self._settings.patience - now
        if left <= 0:
            raise SourceUnavailable(
                f"{fault}; no byte came in {now - self._last:.0f} s and {tries} tries "
                "([url] patience)"
            ) from fault
        self.faults += 1
        wait = min(max(self._wait(tries), _asked(fault)), left)
        log.info("connection broke", error=str(fault), tries=tries, wait=round(wait, 3))
        await asyncio.sleep(wait)

    def _wait(self, tries: int) -> float:
        longest = min(
            self._settings.backoff * 2.0 ** min(tries - 1, 30), self._settings.backoff_most
        )
        return longest * (1 + self._jitter()) / 2


def _asked(fault: Passing) -> float:
    return getattr(fault, "retry_after", None) or 0.0
