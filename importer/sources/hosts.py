"""A bounded number of imports from one host at a time; the others wait, first come first served."""

import asyncio
from collections import Counter


class Hosts:
    """Turns, by host."""

    def __init__(self, most: int) -> None:
        self._most = most
        """Turns that one host has. 0: any number."""

        self._turns: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()

    async def enter(self, host: str) -> None:
        """Return when it is the caller's turn at *host*; `leave` ends it."""
        if not self._most:
            return
        self._users[host] += 1
        turns = self._turns.setdefault(host, asyncio.Semaphore(self._most))
        try:
            await turns.acquire()
        except asyncio.CancelledError:
            self._forget(host)
            raise

    def leave(self, host: str) -> None:
        """Let the next one in."""
        if self._most:
            self._turns[host].release()
            self._forget(host)

    def _forget(self, host: str) -> None:
        self._users[host] -= 1
        if not self._users[host]:
            del self._users[host], self._turns[host]
