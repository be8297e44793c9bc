"""How long nothing has moved: of a connection that looks alive, nothing else tells."""

import asyncio

from importer.model import Image, Progress


class Stillness:
    """How long no byte was taken from *at* on."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._since = asyncio.get_running_loop().time()
        self._progress: Progress | None = None
        self.moved = False

    def seconds(self, at: int) -> float:
        """Return since when, now that bytes up to *at* were taken."""
        if at != self._at:
            self._at, self.moved = at, True
            self._since = asyncio.get_running_loop().time()
        return asyncio.get_running_loop().time() - self._since

    def excused(self, image: Image) -> bool:
        """Say whether the service took some of what it has, and begin to count anew."""
        before, self._progress = self._progress, image.status.progress
        self._since = asyncio.get_running_loop().time()
        return before != self._progress
