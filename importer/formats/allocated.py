"""Whether everything that a disk format's tables point to lies inside the file.

``qemu-img check`` lets pass what is cut off at the last cluster, and cannot check VHD at all. The
last block need only hold what the guest can see of it. Blocking: call it in a thread.
Raises CorruptImage.
"""

from __future__ import annotations  # array[int] is no type at run time before Python 3.12

import os
import sys
from array import array
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Literal

from importer.errors import CorruptImage
from importer.formats import inflate, qcow2, vdi, vhd, vhdx, vmdk, whole
from importer.model import Format
from importer.units import SECTOR, MiB, round_up

_STEP = MiB
_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED, _ZERO = 1 << 62, 1
_VHD_UNUSED = 0xFFFFFFFF
_VDI_UNUSED = 0xFFFFFFFE
_VHDX_PRESENT = 6

Order = Literal["big", "little"]


def check(file: int, format: Format) -> None:
    """Raise CorruptImage when the open *file*, an image of *format*, ends too early."""
    size = os.fstat(file).st_size
    head = os.pread(file, MiB, 0)
    if format in (Format.RAW, Format.ISO):
        whole.check(head, size, format)
    elif format is Format.QCOW2:
        whole.refuse_short(_qcow2(file, head, size), size, "qcow2 image")
    elif format is Format.VMDK:
        whole.refuse_short(_vmdk(file, head, size), size, "VMDK")
    elif format is Format.VPC:
        _vpc(file, head, size)
    elif format is Format.VHDX:
        whole.refuse_short(_vhdx(file, head, size), size, "VHDX")
    elif format is Format.VDI:
        whole.refuse_short(_vdi(file, head, size), size, "VDI")


def _table(file: int, offset: int, entries: int, kind: str, order: Order) -> Iterator[array[int]]:
    """Yield the numbers of a table in the file, about a MiB at a time."""
    width = array(kind).itemsize
    end = offset + entries * width
    whole.refuse_short(end, os.fstat(file).st_size, "image (in its tables)")
    for start in range(offset, end, _STEP):
        numbers = array(kind, os.pread(file, min(_STEP, end - start), start))
        if order != sys.byteorder:
            numbers.byteswap()
        yield numbers


def _flat(tables: Iterable[array[int]]) -> Iterator[int]:
    for numbers in tables:
        yield from numbers


def _reach(offset: int, block: int, index: int, virtual_size: int) -> int:
    """Return where the guest's block *index*, stored at *offset*, ends in the file."""
    return offset + max(0, min(block, virtual_size - index * block))


def _qcow2(file: int, head: bytes, size: int) -> int:
    header = qcow2.parse(head)
    per_table = header.cluster // header.l2_entry
    # Entries beyond the disk's end are nobody's.
    used = -(-header.virtual_size // (header.cluster * per_table))
    needed = read = 0
    for number, entry in enumerate(_flat(_table(file, header.l1_offset, used, "Q", "big"))):
        if offset := entry & _OFFSET:
            whole.refuse_short(offset + header.cluster, size, "qcow2 image (in its L2 tables)")
            read += header.cluster
            if read > size:  # Else a small file could keep us reading for hours.
                raise CorruptImage("the qcow2 image uses one L2 table in several places")
            needed = max(needed, _qcow2_table(file, header, offset, number * per_table))
    return needed


def _qcow2_table(file: int, header: qcow2.Header, offset: int, first: int) -> int:
    words = header.l2_entry // 8
    entries = array("Q", os.pread(file, header.cluster, offset))
    if sys.byteorder == "little":
        entries.byteswap()
    if os.fstat(file).st_size % SECTOR:
        inflate.check_cut(
            file, header, (entry for entry in entries[::words] if entry & _COMPRESSED)
        )
    # Of an extended entry's second word, the low half says which of 32 subclusters are stored.
    stored = entries[1::2] if header.extended else repeat(0xFFFFFFFF)
    reached = (
        _qcow2_reach(entry, header, first + index, bitmap & 0xFFFFFFFF)
        for index, (entry, bitmap) in enumerate(zip(entries[::words], stored, strict=False))
        if entry
    )
    return max(reached, default=0)


def _qcow2_reach(entry: int, header: qcow2.Header, index: int, stored: int) -> int:
    if entry & _COMPRESSED:
        # It is counted in sectors, of which the file need not hold all of the last one.
        return inflate.place(entry, header)[1] - SECTOR + 1
    offset = entry & _OFFSET
    if not offset or (entry & _ZERO and not header.extended):
        return 0
    stored_bytes = (header.cluster * stored.bit_length()) // 32
    return min(offset + stored_bytes, _reach(offset, header.cluster, index, header.virtual_size))


def _vmdk(file: int, head: bytes, size: int) -> int:
    header = vmdk.parse(head)
    if header.footer:
        header = vmdk.sparse(os.pread(file, SECTOR, size - 2 * SECTOR))
    tables = -(-header.virtual_size // (header.grain * header.per_table))
    needed = 0
    directory = _flat(_table(file, header.directory, tables, "I", "little"))
    read = 0
    for number, sector in enumerate(directory):
        if sector:
            read += header.per_table * 4
            if read > size:
                raise CorruptImage("the VMDK uses one grain table in several places")
            grains = _table(file, sector * SECTOR, header.per_table, "I", "little")
            needed = max(needed, _vmdk_reach(file, header, number, _flat(grains)))
    return needed


def _vmdk_reach(file: int, header: vmdk.Header, number: int, grains: Iterator[int]) -> int:
    # 1 is a grain of zeros.
    used = [(sector, index) for index, sector in enumerate(grains) if sector > 1]
    if not used:
        return 0
    if header.compressed:
        last = max(used)[0] * SECTOR
        length = int.from_bytes(os.pread(file, 12, last)[8:], "little")
        return last + 12 + length
    first = number * header.per_table
    return max(
        _reach(sector * SECTOR, header.grain, first + index, header.virtual_size)
        for sector, index in used
    )


def _vpc(file: int, head: bytes, size: int) -> None:
    last = os.pread(file, SECTOR, max(0, size - SECTOR))
    if not head.startswith(b"conectix"):
        if vhd.fixed(last, size) is None:
            raise CorruptImage("the VHD ends too early: its footer is missing")
        return
    footer = vhd.check_dynamic(head)
    if vhd.footer(last) != footer:
        raise CorruptImage(f"the VHD ends too early: no footer at its end, at {size} bytes")
    whole.refuse_short(footer.header_offset + 1024, size, "VHD")
    table = vhd.table(os.pread(file, 1024, footer.header_offset))
    # Before each block's data is a bitmap of its sectors.
    bitmap = round_up(-(-table.block // (SECTOR * 8)), SECTOR)
    reached = (
        _reach(sector * SECTOR + bitmap, table.block, index, footer.virtual_size)
        for index, sector in enumerate(_flat(_table(file, table.offset, table.entries, "I", "big")))
        if sector != _VHD_UNUSED
    )
    whole.refuse_short(max(reached, default=0), size - SECTOR, "VHD (before its footer)")


def _vhdx(file: int, head: bytes, size: int) -> int:
    regions = vhdx.regions(head)
    whole.refuse_short(regions.metadata + vhdx.METADATA_READ, size, "VHDX")
    found = vhdx.metadata(os.pread(file, vhdx.METADATA_READ, regions.metadata))
    blocks = -(-found.virtual_size // found.block)
    entries = blocks + max(0, blocks - 1) // found.chunk_ratio
    whole.refuse_short(entries * 8, regions.bat_length, "VHDX's block table")
    every = found.chunk_ratio + 1
    reached = (
        _reach(entry >> 20 << 20, found.block, index - index // every, found.virtual_size)
        for index, entry in enumerate(_flat(_table(file, regions.bat, entries, "Q", "little")))
        if entry & 7 == _VHDX_PRESENT
    )
    return max(reached, default=0)


def _vdi(file: int, head: bytes, size: int) -> int:
    header = vdi.parse(head)
    table = _table(file, header.map_offset, header.blocks, "I", "little")
    reached = (
        _reach(header.data_offset + at * header.block, header.block, index, header.virtual_size)
        for index, at in enumerate(_flat(table))
        if at < _VDI_UNUSED
    )
    return max(reached, default=0)
