"""What tables say of a file's parts, in the order in which the file has them.

A table's claims are few bytes each, in sorted arrays, which are merged as they are asked for: a
disk that was long in use has a claim for nearly every cluster.
"""

from __future__ import annotations  # array[int] is no type at run time before Python 3.12

import heapq
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import NamedTuple, TypeAlias

from importer.formats.qcow2 import Header
from importer.formats.read.entries import places
from importer.formats.read.place import Hole, Stored

_ROW = 3
_ARRAY = 300
"""Bytes that an array costs besides its rows: small clusters make many small tables."""

Rows: TypeAlias = "array[int]"
"""Sorted triples: where a part begins in the file, where it ends, and its guest offset."""


class Kind(IntEnum):
    """What a part of the file is."""

    TABLE = 0
    """An L2 table; its guest offset is that of its first entry."""

    STORED = 1
    PACKED = 2


class Claim(NamedTuple):
    """A part of the file, and what it is."""

    offset: int
    end: int
    guest: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Told:
    """What a part of a table tells."""

    holes: list[tuple[int, int]]
    """Guest offset and length."""

    stored: Rows
    packed: Rows


def rows(triples: Iterable[tuple[int, int, int]]) -> Rows:
    """Return *triples*, sorted."""
    return array("Q", chain.from_iterable(sorted(triples)))


def told(entries: array[int], header: Header, guest: int) -> Told:
    """Return what the L2 *entries* say of the guest's bytes from *guest* on."""
    holes, stored, packed = [], [], []
    for place in places(entries, header, guest):
        if isinstance(place, Hole):
            holes.append((guest, place.length))
        elif isinstance(place, Stored):
            stored.append((place.offset, place.offset + place.length, guest))
        else:
            packed.append((place.offset, place.end, guest))
        guest += place.length
    return Told(holes, rows(stored), rows(packed))


def _cost(rows: Rows) -> int:
    """Return the bytes of memory that *rows* take, with what is known of them."""
    return _ARRAY + len(rows) * rows.itemsize


class Claims:
    """All claims that have not been met yet."""

    def __init__(self) -> None:
        self._next: list[tuple[int, int]] = []
        """A heap: offset of the first claim of each array, and the array's number."""

        self._rows: dict[int, tuple[Kind, Rows, int]] = {}
        """By number: what the array claims, the array, and where in it the first claim is."""

        self._made = 0
        self.size = 0
        """Bytes of memory."""

    def add(self, kind: Kind, rows: Rows) -> None:
        """Take the claims of *rows* too."""
        if rows:
            self._made += 1
            self._rows[self._made] = kind, rows, 0
            heapq.heappush(self._next, (rows[0], self._made))
            self.size += _cost(rows)

    def first(self) -> Claim | None:
        """Return the claim that comes first in the file, and leave it there."""
        if not self._next:
            return None
        kind, rows, at = self._rows[self._next[0][1]]
        return Claim(rows[at], rows[at + 1], rows[at + 2], kind)

    def drop(self) -> None:
        """Remove the first claim."""
        _, number = self._next[0]
        kind, rows, at = self._rows[number]
        at += _ROW
        if at < len(rows):
            self._rows[number] = kind, rows, at
            heapq.heapreplace(self._next, (rows[at], number))
        else:
            del self._rows[number]
            heapq.heappop(self._next)
            self.size -= _cost(rows)
