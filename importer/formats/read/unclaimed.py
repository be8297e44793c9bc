"""Parts of a file that no table has claimed, kept while a table may still come that does."""

from bisect import bisect_right
from collections.abc import Iterator

from importer.units import KiB

_LARGEST = 64 * KiB
"""Bytes of a part at most when something is taken out of its middle, which copies the rest."""

_PART = 200
"""Bytes that a part costs besides its data."""


class Unclaimed:
    """Bytes by where they are in the file."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._parts: dict[int, bytes] = {}
        self.size = 0
        """Bytes of memory."""

    def put(self, offset: int, data: bytes) -> None:
        """Keep *data*, which lies behind all that is kept; it is not copied."""
        self._starts.append(offset)
        self._parts[offset] = data
        self.size += len(data) + _PART

    def take(self, offset: int, end: int) -> Iterator[bytes]:
        """Yield and forget what is kept of ``[offset, end)``, as far as there is no gap in it."""
        while offset < end:
            index, start = self._part_at(offset)
            data = self._parts.get(start, b"")
            if len(data) > _LARGEST and (offset > start or end < start + len(data)):
                self._split(index, start)
                continue
            found = data[offset - start : end - start]
            if not found:
                return
            self._replace(index, start, offset, offset + len(found))
            yield found
            offset += len(found)

    def look(self, offset: int, end: int) -> bytes:
        """Return what is kept of ``[offset, end)``, as far as there is no gap in it."""
        found: list[bytes] = []
        while offset < end:
            _, start = self._part_at(offset)
            if not (data := self._parts.get(start, b"")[offset - start : end - start]):
                break
            found.append(data)
            offset += len(data)
        return b"".join(found)

    def _part_at(self, offset: int) -> tuple[int, int]:
        """Return number and start of the part that *offset* is in, if it is in any."""
        index = bisect_right(self._starts, offset) - 1
        return index, self._starts[index] if index >= 0 else offset

    def _split(self, index: int, start: int) -> None:
        data = self._parts.pop(start)
        starts = range(start, start + len(data), _LARGEST)
        self._parts.update((at, data[at - start : at - start + _LARGEST]) for at in starts)
        self._starts[index : index + 1] = starts
        self.size += (len(starts) - 1) * _PART

    def _replace(self, index: int, start: int, offset: int, end: int) -> None:
        """Put what is left of the part *index* without ``[offset, end)`` in its place."""
        data = self._parts.pop(start)
        left = ((start, data[: offset - start]), (end, data[end - start :]))
        rest = [(at, part) for at, part in left if part]
        self._parts.update(rest)
        self._starts[index : index + 1] = [at for at, _ in rest]
        self.size += sum(len(part) + _PART for _, part in rest) - len(data) - _PART

    def clear(self) -> None:
        """Forget everything."""
        self._starts.clear()
        self._parts.clear()
        self.size = 0
