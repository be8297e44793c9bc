"""Copies of volumes on the cluster: which run, how far they are, and what all of them came to.

Read by the API, the command line and the page. Nothing here waits.
"""

from contextlib import AbstractContextManager

from importer.model import Copy, CopyTotals
from importer.news import Listener, News


class Copies:
    """All copies that are known of."""

    def __init__(self) -> None:
        self._news = News[Copy](lambda copy: copy.uid)

    def running(self) -> list[Copy]:
        """Return those that run, oldest first, as they are at this moment."""
        return []

    def recent(self, limit: int = 100) -> list[Copy]:
        """Return the last *limit* that are over, newest first; a bounded number is kept."""
        return []

    def report(self) -> list[CopyTotals]:
        """Return what all came to, by storage class and strategy; those without any too."""
        return []

    def watching(self) -> dict[str, bool]:
        """Return whether each kind of object can be looked at just now, by its name."""
        return {}

    def listener(self) -> AbstractContextManager[Listener[Copy]]:
        """Return a listener that hears of every change until the block ends."""
        return self._news.listener()
