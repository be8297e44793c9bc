"""How long and how often something that may pass is tried again."""

import asyncio
import random
from dataclasses import dataclass, field

FIRST = 0.05
"""Seconds of the first pause; doubled each time."""

LONGEST = 10.0
"""Seconds of one pause at most, also when the server asks for more."""


@dataclass(slots=True)
class Patience:
    """Pauses between tries, until *seconds* have passed without success."""

    seconds: float
    _began: float | None = None
    _tries: int = field(default=0)

    @property
    def waited(self) -> float:
        """Seconds since the first failure."""
        return 0.0 if self._began is None else _now() - self._began

    async def pause(self, asked: float | None = None) -> bool:
        """Wait before the next try, *asked* seconds at least; False when it was enough."""
        if self._began is None:
            self._began = _now()
        pause = min(FIRST * 2**self._tries, LONGEST)
        # Half is jitter: a hundred clients of a server that comes back do not come at once.
        pause = random.uniform(pause / 2, pause)  # noqa: S311
        pause = min(max(pause, asked or 0.0), LONGEST)
        self._tries += 1
        if self.waited + pause > self.seconds:
            return False
        await asyncio.sleep(pause)
        return True

    def renew(self) -> None:
        """Forget the failures: something went well."""
        self._began, self._tries = None, 0


def _now() -> float:
    return asyncio.get_running_loop().time()
