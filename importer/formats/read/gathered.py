"""Guest data put together from parts of any size: pieces worth a thread hop, zeros joined.

Data is copied once, when it becomes a piece. Zeros shorter than a block of a file system are not
worth an extent between two pieces of data and become bytes again.
"""

from collections import deque

from importer.stream import zeros
from importer.stream.extent import Data, Extent, Zero
from importer.units import CHUNK, KiB

PIECE = 512 * KiB
"""Data that becomes one extent. From 1 MiB on, each would come from fresh pages (glibc's mmap
threshold), and those cost more than the copy."""

_SCRAP = 512
"""Parts up to this size are copied at once: a view of one takes 180 bytes itself."""

_MANY = 4096
"""Extents that are handed on together, at most: a hostile file makes tiny ones."""


class Gathered:
    """Takes parts, gives extents, and remembers the last bytes of what it gave."""

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = []
        self._size = 0  # of the parts together
        self._owned = 0  # parts that are bytes of our own, not views of a chunk
        self._zeros = 0  # behind the parts
        self._ready: list[Extent] = []
        self._ready_size = 0  # bytes of data in them
        self._last: deque[Extent] = deque()
        self._remembered = 0
        self.memory = 0
        """Bytes that `last` can be asked for."""

    @property
    def is_full(self) -> bool:
        """Enough has been gathered for one step; a hostile file could make any number."""
        return len(self._ready) >= _MANY or self._ready_size >= CHUNK

    def data(self, part: memoryview) -> None:
        """Add *part*, which is read no later than at the next call of `taken`."""
        self._settle_zeros()
        self._parts.append(part if len(part) > _SCRAP else bytes(part))
        self._size += len(part)
        if self._size >= PIECE:
            self._settle_parts()

    def zeros(self, length: int) -> None:
        """Add zeros."""
        self._zeros += length

    def sifted(self, data: bytes) -> None:
        """Add *data*, of which nobody has said where it is zeros."""
        view = memoryview(data)
        for is_data, start, end in zeros.runs(data):
            if is_data:
                self.data(view[start:end])
            else:
                self.zeros(end - start)

    def taken(self) -> list[Extent]:
        """Return what is ready; the rest no longer needs what it was given from."""
        if self._size >= PIECE // 2:
            self._settle_parts()
        self._parts[self._owned :] = map(bytes, self._parts[self._owned :])
        self._owned = len(self._parts)
        ready, self._ready, self._ready_size = self._ready, [], 0
        return ready

    def settle(self) -> None:
        """Make everything ready, however small."""
        self._settle_parts()
        if self._zeros:
            self._give(Zero(self._zeros))
            self._zeros = 0

    def last(self, size: int) -> bytes:
        """Return the last *size* bytes, at most `memory`, of what was added."""
        self.settle()
        parts: list[bytes] = []
        for extent in reversed(self._last):
            length = min(size, extent.length)
            size -= length
            whole = isinstance(extent, Data)
            parts.append(
                extent.data[-length:] if isinstance(extent, Data) and whole else bytes(length)
            )
            if not size:
                break
        return b"".join(reversed(parts))

    def _settle_zeros(self) -> None:
        if not self._zeros:
            return
        if self._zeros < zeros.BLOCK:
            self._parts.append(bytes(self._zeros))
            self._size += self._zeros
            self._zeros = 0
        else:
            self.settle()

    def _settle_parts(self) -> None:
        if self._parts:
            self._give(Data(b"".join(self._parts)))
            self._ready_size += self._size
            self._parts, self._size, self._owned = [], 0, 0

    def _give(self, extent: Extent) -> None:
        self._ready.append(extent)
        self._last.append(extent)
        self._remembered += extent.length
        while self._last and self._remembered - self._last[0].length >= self.memory:
            self._remembered -= self._last.popleft().length
