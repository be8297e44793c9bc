"""How long an upload whose way is broken is tried again: until too long no byte has arrived."""

import asyncio
import random

from importer.cli.exits import Refused
from importer.model import Problem

PATIENCE = 300.0
"""Seconds without a new byte at the service; as long as it keeps an upload by itself
([upload] away)."""

SHORTEST, LONGEST = 0.4, 15.0
"""Seconds between two tries: they double, with jitter, so that many clients of one service do not
come back in the same moment."""


class Patience:
    """Of one upload, over all its connections."""

    def __init__(self, seconds: float = PATIENCE) -> None:
        self._seconds = seconds
        self._since: float | None = None
        self.tries = 0
        """In a row, without a byte between them."""

    def progress(self) -> None:
        """A byte arrived."""
        self._since, self.tries = None, 0

    async def again(self, fault: Refused) -> None:
        """Wait until it is time to try again. Raises Refused when patience is over."""
        now = asyncio.get_running_loop().time()
        self._since = now if self._since is None else self._since
        if now - self._since >= self._seconds:
            raise _over(fault, now - self._since) from fault
        longest = min(SHORTEST * 2.0**self.tries, LONGEST)
        self.tries += 1
        await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311  # jitter, no secret


def _over(fault: Refused, seconds: float) -> Refused:
    message = (
        f"{fault.problem.message}; no byte arrived for {seconds:.0f} s. The same command again "
        "goes on where the service stands"
    )
    return Refused(Problem(slug="unreachable", side="internal", retryable=True, message=message))
