"""Guest data as a qcow2 that is written from its first byte to its last, without going back.

Format: QEMU docs/interop/qcow2.txt, version 3. Clusters of 64 KiB in this order: header, L1 table,
refcount table, refcount blocks, L2 tables, data in guest order. The runs say beforehand which
clusters exist, so every offset, and the size, is known before the first byte.

It is as plain as can be, because Longhorn's engine reads it through libqcow and not QEMU: no
feature bit is set, and zeros are left unallocated rather than flagged (libqcow 20201213 returns
wrong bytes for the flag). Without a backing file, both read as zeros.

Sizes and offsets are bytes; a span is a range ``[first, end)`` of cluster or table numbers.
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

from importer.errors import SizeMismatch, SourceError, UnsupportedImage
from importer.formats.encode.raw import zeros
from importer.stream.extent import Data, Extent, Extents, Runs, Zero
from importer.stream.pipe import Chunks
from importer.units import SECTOR, KiB, MiB, human, round_up

CLUSTER = 64 * KiB

_ENTRIES = CLUSTER // 8
"""Entries of 8 bytes in one cluster of a table: an L2 table maps 512 MiB."""

_REFCOUNTS = CLUSTER // 2
"""Refcounts of 16 bits in one refcount block: it covers 2 GiB of the file."""

MOST = 32 * MiB // 8 * _ENTRIES * CLUSTER
"""Largest virtual size: QEMU refuses an L1 table above 32 MiB (block/qcow2.h, QCOW_MAX_L1_SIZE)."""

_COPIED = 1 << 63
"""The refcount is exactly one; stands in every L1 and L2 entry that points somewhere."""

_NO_MORE = (sys.maxsize, sys.maxsize)

_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")

Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Layout:
    """What lies where; the counts are clusters, each part begins where the one before ends."""

    virtual_size: int
    data: "_Spans"
    """Guest clusters that are allocated."""

    regions: "_Spans"
    """L2 tables that are, by number: entries of the L1 table."""

    l1: int
    refcount_table: int
    refcount_blocks: int

    @property
    def l2_start(self) -> int:
        """First cluster of the L2 tables."""
        return 1 + self.l1 + self.refcount_table + self.refcount_blocks

    @property
    def data_start(self) -> int:
        """First cluster of data."""
        return self.l2_start + _count(self.regions)

    @property
    def clusters(self) -> int:
        """Clusters of the whole file."""
        return self.data_start + _count(self.data)


def qcow2_size(runs: Runs, virtual_size: int) -> int:
    """Return the bytes of the qcow2, a multiple of the cluster size.

    Raises UnsupportedImage when *virtual_size* is above MOST, SizeMismatch when *runs* do not end
    there.
    """
    return _layout(runs, virtual_size).clusters * CLUSTER


def qcow2_at(runs: Runs, virtual_size: int, offset: int) -> tuple[int, int]:
    """Return where the disk is to be read from, and where in the file what `qcow2` makes of it
    goes, to have the file from *offset* on. Both are 0 where the tables are needed too.
    """
    layout = _layout(runs, virtual_size)
    missing = offset // CLUSTER - layout.data_start
    at = offset // CLUSTER * CLUSTER
    if missing <= 0:
        return 0, 0
    for first, end in layout.data:
        if missing < end - first:
            return (first + missing) * CLUSTER, at
        missing -= end - first
    return virtual_size, at


async def qcow2(runs: Runs, extents: Extents, virtual_size: int, start: int = 0) -> Chunks:
    """Yield the qcow2 whose disk of *virtual_size* bytes holds *extents*, as *runs* foretold.

    From a *start* on that `qcow2_at` told, which *extents* begin at, only data comes.

    Where *runs* has data, zeros may come. A virtual size that is no multiple of 512 is rounded up
    with zeros, as qemu-img does.

    Raises SourceError when data comes where *runs* has zeros,
    SizeMismatch when *runs* or *extents* are more or fewer bytes, UnsupportedImage above MOST.
    """
    layout = _layout(runs, virtual_size)
    for chunk in () if start else _metadata(layout):
        yield chunk
    async with aclosing(_clusters(extents, layout, start)) as clusters:
        async for chunk in clusters:
            yield chunk


def _layout(runs: Runs, virtual_size: int) -> _Layout:
    """Lay out the file for the clusters that hold any byte of data."""
    if virtual_size > MOST:
        raise UnsupportedImage(
            f"the disk has {human(virtual_size)}, a qcow2 with clusters of 64 KiB holds at most "
            f"{human(MOST)}: use raw"
        )
    covered = runs[-1].end if runs else 0
    if covered != virtual_size:
        raise SizeMismatch(virtual_size, covered)
    data = _touched(((run.offset, run.end) for run in runs if not run.is_zero), CLUSTER)
    regions = _touched(data, _ENTRIES)
    l1 = max(1, -(-virtual_size // (CLUSTER * _ENTRIES * _ENTRIES)))
    rest = 1 + l1 + _count(regions) + _count(data)
    table, blocks = _refcounts(rest)
    return _Layout(virtual_size, data, regions, l1, table, blocks)


def _refcounts(rest: int) -> tuple[int, int]:
    """Return the clusters of refcount table and blocks, counting *rest* and themselves."""
    table = blocks = 0
    while True:
        needed = -(-(rest + table + blocks) // _REFCOUNTS)
        tables = -(-needed // _ENTRIES)
        if (tables, needed) == (table, blocks):
            return table, blocks
        table, blocks = tables, needed


class _Spans:
    """Ascending spans; a disk has up to half a million, and as tuples each would be 120 bytes."""

    def __init__(self) -> None:
        self._firsts, self._ends = array("Q"), array("Q")

    def __iter__(self) -> Iterator[Span]:
        return zip(self._firsts, self._ends, strict=True)

    def add(self, first: int, end: int) -> None:
        """Append a span, joined with the last one where they meet."""
        if self._ends and first <= self._ends[-1]:
            self._ends[-1] = max(end, self._ends[-1])
        else:
            self._firsts.append(first)
            self._ends.append(end)


def _touched(spans: Iterable[Span], unit: int) -> _Spans:
    """Return which units of *unit* the ascending *spans* touch, neighbours joined."""
    touched = _Spans()
    for first, end in spans:
        touched.add(first // unit, -(-end // unit))
    return touched


def _count(spans: Iterable[Span]) -> int:
    return sum(end - first for first, end in spans)


def _metadata(layout: _Layout) -> Iterator[bytes]:
    """Yield all that stands before the data, cluster by cluster."""
    yield _header(layout).ljust(CLUSTER, b"\0")
    yield from _l1_table(layout)
    table_end = 1 + layout.l1 + layout.refcount_table
    for _, table in _tables([(0, layout.refcount_blocks)], table_end):
        yield table
    for block in range(layout.refcount_blocks):
        ones = min(_REFCOUNTS, layout.clusters - block * _REFCOUNTS)
        yield (b"\0\1" * ones).ljust(CLUSTER, b"\0")
    for _, table in _tables(layout.data, layout.data_start, _COPIED):
        yield table


def _header(layout: _Layout) -> bytes:
    """Return the header of version 3; the zeros behind it end its list of extensions."""
    return _HEADER.pack(
        b"QFI\xfb",
        3,
        0,  # backing file: offset and length
        0,
        CLUSTER.bit_length() - 1,
        round_up(layout.virtual_size, SECTOR),
        0,  # encryption
        max(1, -(-layout.virtual_size // (CLUSTER * _ENTRIES))),
        CLUSTER,
        (1 + layout.l1) * CLUSTER,
        layout.refcount_table,
        0,  # snapshots: number and offset
        0,
        0,  # features: incompatible, compatible, autoclear
        0,
        0,
        4,  # refcounts of 2 ** 4 bits
        _HEADER.size,
    )


def _l1_table(layout: _Layout) -> Iterator[bytes]:
    """Yield all clusters of the L1 table, those too that point nowhere."""
    done = 0
    for number, table in _tables(layout.regions, layout.l2_start, _COPIED):
        yield from zeros((number - done) * CLUSTER)
        yield table
        done = number + 1
    yield from zeros((layout.l1 - done) * CLUSTER)


def _tables(spans: Iterable[Span], cluster: int, flag: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the tables, with their numbers, whose entries *spans* point to clusters.

    The first entry points to *cluster*, the next to the one behind it, and so on.
    """
    for number, parts in groupby(_split(spans), lambda span: span[0] // _ENTRIES):
        table = array("Q", bytes(CLUSTER))
        for first, end in parts:
            stop = cluster + end - first
            slot = first % _ENTRIES
            table[slot : slot + end - first] = array(
                "Q", range(flag | cluster * CLUSTER, flag | stop * CLUSTER, CLUSTER)
            )
            cluster = stop
        if sys.byteorder == "little":
            table.byteswap()
        yield number, table.tobytes()


def _split(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield *spans* cut where one table of entries ends and the next begins."""
    for first, end in spans:
        while first < end:
            stop = min(end, round_up(first + 1, _ENTRIES))
            yield first, stop
            first = stop


async def _clusters(extents: Extents, layout: _Layout, position: int) -> Chunks:
    """Yield the bytes of all allocated guest clusters from *position* on.

    The last one is filled with zeros.
    """
    spans = (
        (max(first * CLUSTER, position), end * CLUSTER)
        for first, end in layout.data
        if end * CLUSTER > position
    )
    first, end = next(spans, _NO_MORE)
    async for extent in extents:
        start, stop = position, position + extent.length
        if stop > layout.virtual_size:
            raise SizeMismatch(layout.virtual_size, stop)
        while start < stop:
            if start < first:
                cut = min(first, stop)
                _expect_zeros(extent, position, start, cut)
            else:
                cut = min(end, stop)
                for piece in _part(extent, start - position, cut - position):
                    yield piece
            if cut == end:
                first, end = next(spans, _NO_MORE)
            start = cut
        position = stop
    if position != layout.virtual_size:
        raise SizeMismatch(layout.virtual_size, position)
    if first < position:
        yield bytes(end - position)


def _part(extent: Extent, start: int, stop: int) -> Iterable[bytes]:
    if isinstance(extent, Data):
        return (extent.data[start:stop],)
    return zeros(stop - start)


def _expect_zeros(extent: Extent, position: int, start: int, stop: int) -> None:
    """Raise SourceError when *extent*, which begins at *position*, has data in the map's hole."""
    if isinstance(extent, Zero):
        return
    if extent.data[start - position : stop - position] != bytes(stop - start):
        raise SourceError(
            f"bytes {start} to {stop} of the disk hold data where its map has none: "
            "the source changed while it was read"
        )
