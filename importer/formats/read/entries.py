"""The entries of qcow2 L2 tables, each turned into the place of its guest data.

Source: QEMU's docs/interop/qcow2.txt, "L2 table entry", "Standard Cluster Descriptor", "Compressed
Clusters Descriptor" and "Extended L2 Entries"; what it leaves open is read as block/qcow2.c (7.2)
does. Raises CorruptImage for entries that cannot be.
"""

from __future__ import annotations  # array[int] is no type at run time before Python 3.12

import sys
from array import array
from collections.abc import Iterator
from itertools import groupby

from importer.errors import CorruptImage
from importer.formats.inflate import place as packed_place
from importer.formats.qcow2 import Header
from importer.formats.read.place import Hole, Packed, Place, Stored, joined

OFFSET = 0x00FFFFFFFFFFFE00
"""Bits 9 to 55 of an L1 or L2 entry: offset in the file."""

_COMPRESSED, _ZERO = 1 << 62, 1
_RESERVED = 0x3F000000000001FE
_SUBCLUSTERS = 32


def words(data: bytes | memoryview) -> array[int]:
    """Return the entries of a table whose bytes are *data*."""
    numbers = array("Q")
    numbers.frombytes(data)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def same(entries: array[int]) -> Iterator[tuple[int, int]]:
    """Yield (entry, how many of it in a row): of millions, most are 0."""
    for entry, alike in groupby(entries):
        yield entry, sum(1 for _ in alike)


def places(entries: array[int], header: Header, start: int) -> list[Place]:
    """Return where the guest's bytes from *start* on are, as the L2 *entries* say; joined.

    What the entries say of bytes behind the disk's end is left out.
    """
    found: list[Place] = []
    for place in _clipped(_each(entries, header), header.virtual_size - start):
        if found and (both := joined(found[-1], place)):
            found[-1] = both
        else:
            found.append(place)
    return found


def _clipped(found: Iterator[Place], room: int) -> Iterator[Place]:
    for place in found:
        if room <= 0:
            return
        yield place if place.length <= room else _cut(place, room)
        room -= place.length


def _cut(place: Place, length: int) -> Place:
    if isinstance(place, Stored):
        return Stored(place.offset, length)
    if isinstance(place, Packed):
        return Packed(place.offset, place.end, length)
    return Hole(length, place.flagged)


def _each(entries: array[int], header: Header) -> Iterator[Place]:
    if header.extended:
        for entry, bitmap in zip(entries[::2], entries[1::2], strict=True):
            yield from _extended(entry, bitmap, header)
        return
    for entry, count in _rows(entries, header.cluster):
        yield _standard(entry, count * header.cluster, header)


def _rows(entries: array[int], cluster: int) -> Iterator[tuple[int, int]]:
    """Yield (entry, how many such in a row): holes, or clusters end to end.

    Large disks have millions of entries and few rows; this loop is what reading a map costs.
    """
    first = step = count = 0
    expected = -1
    for entry in entries:
        if entry == expected:
            count += 1
            expected += step
            continue
        if count:
            yield first, count
        first, count = entry, 1
        step = cluster if entry & OFFSET and not entry & _ZERO else 0
        expected = -1 if entry & _COMPRESSED else entry + step
    if count:
        yield first, count


def _standard(entry: int, length: int, header: Header) -> Place:
    if entry & _COMPRESSED:
        return Packed(*packed_place(entry, header), length)
    offset = _aligned(entry, header)
    if entry & _ZERO:
        if header.version < 3:  # block/qcow2-cluster.c refuses it too: v2 knows no such flag.
            raise CorruptImage(f"qcow2 version 2 image has a zero cluster: entry {entry:#x}")
        return Hole(length, flagged=True)
    return Stored(offset, length) if offset else Hole(length)


def _aligned(entry: int, header: Header) -> int:
    if entry & _RESERVED:  # `qemu-img check` calls it damage; some readers take it for an offset.
        raise CorruptImage(f"a qcow2 L2 entry sets reserved bits: {entry:#x}")
    offset = entry & OFFSET
    if offset % header.cluster:
        raise CorruptImage(
            f"a qcow2 cluster is at {offset:#x}, not a multiple of {header.cluster} bytes"
        )
    return offset


def _extended(entry: int, bitmap: int, header: Header) -> Iterator[Place]:
    """Yield the subclusters of one entry: bit x says stored, bit 32 + x zeros."""
    if entry & _COMPRESSED:
        yield Packed(*packed_place(entry, header), header.cluster)
        return
    offset = _aligned(entry, header)
    stored, zeros = bitmap & 0xFFFFFFFF, bitmap >> 32
    if stored & zeros or (stored and not offset):
        raise CorruptImage(
            f"a qcow2 extended L2 entry contradicts itself: {entry:#x}, bitmap {bitmap:#x}"
        )
    if not stored or stored == 0xFFFFFFFF:
        yield Stored(offset, header.cluster) if stored else Hole(header.cluster)
        return
    length = header.cluster // _SUBCLUSTERS
    for index in range(_SUBCLUSTERS):
        yield Stored(offset + index * length, length) if stored >> index & 1 else Hole(length)
