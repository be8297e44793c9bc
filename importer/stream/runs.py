"""Where a disk has data and where zeros: its map, without any of the bytes.

For whatever must be known before the first byte: sizes, tables, a plan. Offsets and lengths are
bytes of guest data. A map takes 8 bytes a run and at most 8 MiB: with more than MOST runs it grows
coarse, and calls short runs of zeros data. Nobody reads wrong bytes for that: data may be zeros.
"""

from __future__ import annotations  # array[int] is no type at run time before Python 3.12

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

from importer.units import KiB, MiB

MOST = MiB
"""Runs in one map: of a disk of 16 TiB, one for each 16 MiB."""


@dataclass(frozen=True, slots=True)
class Run:
    """Guest bytes ``[offset, offset + length)``, all data or all zeros; at least one."""

    offset: int
    length: int
    is_zero: bool

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + self.length


Runs: TypeAlias = Sequence[Run]
"""Each begins where the one before ends, the first at 0."""


class Map(Sequence[Run]):
    """Runs that take turns: data, zeros, data, and so on.

    >>> Map([Run(0, 5, False), Run(5, 1, False), Run(6, 2, True)])
    [Run(offset=0, length=6, is_zero=False), Run(offset=6, length=2, is_zero=True)]
    """

    __slots__ = ("_ends", "_is_first_zero", "_most", "coarse")

    def __init__(self, runs: Iterable[Run] = (), most: int = MOST) -> None:
        self._ends = array("Q")
        self._is_first_zero = False
        self._most = most
        self.coarse = 0
        """Zeros of fewer bytes than this may have been called data; 0: none were."""
        for run in runs:
            self.add(run.length, is_zero=run.is_zero)

    def add(self, length: int, *, is_zero: bool) -> None:
        """Append *length* bytes. None, or more of the last run's kind, are no run of their own."""
        ends = self._ends
        if not length:
            return
        if not ends:
            self._is_first_zero = is_zero
            ends.append(length)
        elif self._is_zero(len(ends) - 1) == is_zero:
            ends[-1] += length
        else:
            ends.append(ends[-1] + length)
            if len(ends) > self._most:
                self._coarsen()

    def _coarsen(self) -> None:
        """Call the shortest zeros data, and no more of them than makes some room."""
        room = self._most // 4
        self.coarse = self.coarse or KiB
        while (wanted := len(self._ends) - self._most + room) > 0:
            if not self._joined(wanted):
                self.coarse *= 2

    def _joined(self, wanted: int) -> bool:
        """Call zeros shorter than `coarse` data until *wanted* runs fewer are left, if so many."""
        ends, last = array("Q"), 0
        first = 1 if self._is_first_zero else 2  # of data that has zeros and data before it
        for number, end in enumerate(self._ends):
            is_data = (number - first) % 2 == 0
            if wanted > 0 and is_data and len(ends) > 1 and last - ends[-2] < self.coarse:
                ends.pop()
                ends[-1] = end
                wanted -= 2
            else:
                ends.append(end)
            last = end
        self._ends = ends
        return wanted <= 0

    def _is_zero(self, number: int) -> bool:
        return self._is_first_zero != number & 1

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[Run]:
        start, is_zero = 0, bool(self._is_first_zero)
        for end in self._ends:
            yield Run(start, end - start, is_zero)
            start, is_zero = end, not is_zero

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Run]: ...
    def __getitem__(self, index: int | slice) -> Run | Sequence[Run]:
        numbers = range(len(self._ends))[index]
        return self._run(numbers) if isinstance(numbers, int) else [self._run(n) for n in numbers]

    def _run(self, number: int) -> Run:
        start = self._ends[number - 1] if number else 0
        return Run(start, self._ends[number] - start, self._is_zero(number))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return repr(list(self))


def merged(runs: Iterable[Run]) -> Map:
    """Return *runs* with neighbours of one kind joined, and none that is empty."""
    return Map(runs)
