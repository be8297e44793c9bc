"""Walks the L1 and L2 tables of a qcow2 file in guest order, with bounded memory.

Source: QEMU's docs/interop/qcow2.txt, "Cluster mapping". Only the active L1 table is looked at, so
internal snapshots do not matter. Raises CorruptImage.
"""

from __future__ import annotations  # array[int] is no type at run time before Python 3.12

from array import array
from collections.abc import AsyncGenerator
from contextlib import aclosing

from importer.errors import CorruptImage
from importer.formats.qcow2 import Header
from importer.formats.read.entries import OFFSET, places, same, words
from importer.formats.read.place import Hole, Packed, Place, Stored, joined
from importer.formats.whole import refuse_short
from importer.model import Readable
from importer.stream.threads import in_thread
from importer.units import SECTOR, KiB, MiB

HEAD = MiB
"""Bytes from the start that the header is looked for in, as formats.inspect does."""

STEP = 64 * KiB
"""Bytes of tables that are read and held at once. An L2 table takes up to 2 MiB."""

SMALL = 4 * KiB
"""Bytes of a table that are understood where they are: a hop to a thread costs more."""

_DENSEST = 32 * KiB
"""Guest bytes that one compressed byte can stand for: a zstd RLE block is 4 bytes for 128 KiB
(RFC 8878 section 3.1.1.2.2); deflate reaches 1032."""


class Budget:
    """Counts the file's bytes that tables have named: in a sound image nothing is named twice.

    Without it, a small file whose tables all point to one place could keep us reading for days.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0

    def spend(self, offset: int, length: int, what: str, counted: int | None = None) -> None:
        """Count ``[offset, offset + length)``; raise CorruptImage when that cannot be."""
        refuse_short(offset + length, self._size, f"qcow2 image ({what})")
        self._used += length if counted is None else counted
        if self._used > self._size:
            raise CorruptImage(
                f"the qcow2 image uses parts in several places: its tables name {self._used} "
                f"bytes, the file has {self._size}"
            )


async def walk(file: Readable, header: Header) -> AsyncGenerator[Place, None]:
    """Yield where all of the disk's bytes are, in guest order; neighbours are joined."""
    last: Place | None = None
    async with aclosing(_walk(file, header, Budget(file.size))) as found:
        async for place in found:
            if last and (both := joined(last, place)):
                last = both
                continue
            if last:
                yield last
            last = place
    if last:
        yield last


async def _walk(file: Readable, header: Header, budget: Budget) -> AsyncGenerator[Place, None]:
    reach = header.cluster * (header.cluster // header.l2_entry)
    start = 0
    async with aclosing(_l1(file, header, reach, budget)) as entries:
        async for entry, count in entries:
            if not entry & OFFSET:
                yield Hole(min(count * reach, header.virtual_size - start))
                start += count * reach
                continue
            for _ in range(count):
                async with aclosing(_l2(file, header, entry & OFFSET, start, budget)) as found:
                    async for place in found:
                        yield place
                start += reach


async def _l1(
    file: Readable, header: Header, reach: int, budget: Budget
) -> AsyncGenerator[tuple[int, int], None]:
    """Yield (entry, how many of it in a row) of the L1 table, as far as the disk needs it."""
    length = -(-header.virtual_size // reach) * 8
    budget.spend(header.l1_offset, length, "in its L1 table")
    for at in range(header.l1_offset, header.l1_offset + length, STEP):
        numbers = await _words(file, at, min(STEP, header.l1_offset + length - at))
        for row in same(numbers):
            yield row


async def _l2(
    file: Readable, header: Header, offset: int, start: int, budget: Budget
) -> AsyncGenerator[Place, None]:
    """Yield the places of the L2 table at *offset*, whose first entry is for *start*."""
    if offset % header.cluster:
        raise CorruptImage(
            f"a qcow2 L2 table is at {offset:#x}, not a multiple of {header.cluster} bytes"
        )
    budget.spend(offset, header.cluster, "in its L2 tables")
    for at in range(offset, offset + header.cluster, STEP):
        if start >= header.virtual_size:
            return
        entries = await _words(file, at, min(STEP, header.cluster))
        for place in await _places(entries, header, start):
            _spend(place, header, budget)
            yield place
        start += STEP // header.l2_entry * header.cluster


async def _places(entries: array[int], header: Header, start: int) -> list[Place]:
    if len(entries) * 8 <= SMALL:
        return places(entries, header, start)
    return await in_thread(places, entries, header, start)


def _spend(place: Place, header: Header, budget: Budget) -> None:
    if isinstance(place, Stored):
        budget.spend(place.offset, place.length, "in its clusters")
    elif isinstance(place, Packed):
        length = max(place.end - place.offset - SECTOR + 1, 1)
        budget.spend(place.offset, length, "in its compressed clusters", least(place, header))


def least(place: Packed, header: Header) -> int:
    """Return how many bytes of the file *place* takes at least.

    Its length is counted in sectors: of the last one, the file may lack all but a byte, and the
    others may belong to the next cluster.
    """
    return max(place.end - place.offset - SECTOR + 1, header.cluster // _DENSEST, 1)


async def _words(file: Readable, offset: int, length: int) -> array[int]:
    data = await file.read_at(offset, length)
    refuse_short(offset + length, offset + len(data), "qcow2 image (in its tables)")
    return words(data)
