"""Parts of a file that no table has claimed, kept while a table may still come that does.

Zeros cost nothing but their place: what a guest gave back is a hole in its file, and arrives as
zeros.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import TypeAlias

from importer.units import CHUNK, KiB

_LARGEST = 64 * KiB
"""Bytes of a part at most when something is taken out of its middle, which copies the rest."""

_PART = 200
"""Bytes that a part costs besides its data."""

_ZEROS = bytes(2 * CHUNK)

_Part: TypeAlias = bytes | memoryview
"""A view is one of _ZEROS."""


def _cost(part: _Part) -> int:
    return _PART + (len(part) if isinstance(part, bytes) else 0)


def _cut(data: bytes) -> Iterator[_Part]:
    """Yield *data* in parts; it is not copied, but for what has zeros beside it."""
    starts = range(0, len(data), _LARGEST)
    if _ZEROS.startswith(data):
        yield memoryview(_ZEROS)[: len(data)]
    elif any(_ZEROS.startswith(data[at : at + _LARGEST]) for at in starts):
        for at in starts:
            piece = data[at : at + _LARGEST]
            yield memoryview(_ZEROS)[: len(piece)] if _ZEROS.startswith(piece) else piece
    else:
        yield data


class Unclaimed:
    """Bytes by where they are in the file."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._parts: dict[int, _Part] = {}
        self.size = 0
        """Bytes of memory."""

    def put(self, offset: int, data: bytes) -> None:
        """Keep *data*, at most 2 MiB, which lie behind all that is kept."""
        for part in _cut(data):
            self._starts.append(offset)
            self._parts[offset] = part
            self.size += _cost(part)
            offset += len(part)

    def take(self, offset: int, end: int) -> Iterator[bytes]:
        """Yield and forget what is kept of ``[offset, end)``, as far as there is no gap in it."""
        while offset < end:
            index, start = self._part_at(offset)
            data = self._parts.get(start, b"")
            if len(data) > _LARGEST and (offset > start or end < start + len(data)):
                self._split(index, start)
                continue
            found = bytes(data[offset - start : end - start])
            if not found:
                return
            self._replace(index, start, offset, offset + len(found))
            yield found
            offset += len(found)

    def look(self, offset: int, end: int) -> bytes:
        """Return what is kept of ``[offset, end)``, as far as there is no gap in it."""
        found: list[_Part] = []
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
        data = self._parts[start]
        steps = range(0, len(data), _LARGEST)
        self._exchange(index, start, [(start + at, data[at : at + _LARGEST]) for at in steps])

    def _replace(self, index: int, start: int, offset: int, end: int) -> None:
        """Put what is left of the part *index* without ``[offset, end)`` in its place."""
        data = self._parts[start]
        left = ((start, data[: offset - start]), (end, data[end - start :]))
        self._exchange(index, start, [(at, part) for at, part in left if part])

    def _exchange(self, index: int, start: int, parts: list[tuple[int, _Part]]) -> None:
        self.size -= _cost(self._parts.pop(start))
        self._starts[index : index + 1] = [at for at, _ in parts]
        self._parts.update(parts)
        self.size += sum(_cost(part) for _, part in parts)

    def clear(self) -> None:
        """Forget everything."""
        self._starts.clear()
        self._parts.clear()
        self.size = 0
