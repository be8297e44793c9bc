"""The footer of a VHD file (qemu-img's vpc). Numbers are big-endian.

Source: Microsoft's Virtual Hard Disk Image Format Specification 1.0 and block/vpc.c of QEMU.
Raises UnsafeImage for a differencing disk, CorruptImage.
"""

import struct
from dataclasses import dataclass

from importer.errors import CorruptImage, UnsafeImage

SIZE = 512
_FIXED, _DYNAMIC, _DIFFERENCING = 2, 3, 4


@dataclass(frozen=True, slots=True)
class Footer:
    """What a footer whose checksum is right says."""

    virtual_size: int
    """Bytes, by its "current size"; qemu-img may count cylinders instead."""

    kind: int
    header_offset: int
    """Where the dynamic disk header is."""


def footer(data: bytes) -> Footer | None:
    """Return the footer in the 512 bytes of *data*, or None when they are none."""
    if len(data) != SIZE or not data.startswith(b"conectix"):
        return None
    (checksum,) = struct.unpack_from(">I", data, 64)
    if checksum != ~(sum(data) - sum(data[64:68])) & 0xFFFFFFFF:
        return None
    (offset,) = struct.unpack_from(">Q", data, 16)
    (size,) = struct.unpack_from(">Q", data, 48)
    (kind,) = struct.unpack_from(">I", data, 60)
    return Footer(size, kind, offset)


def check_dynamic(head: bytes) -> Footer:
    """Return the copy of the footer that a dynamic disk begins with, or refuse it."""
    found = footer(head[:SIZE])
    if found is None:
        raise CorruptImage("the VHD header's checksum is wrong")
    if found.kind == _DIFFERENCING:
        raise UnsafeImage("the VHD is a differencing disk, which needs its parent; merge them")
    if found.kind != _DYNAMIC:
        raise CorruptImage(f"the VHD's type is {found.kind}, 3 (dynamic) was expected")
    return found


def fixed(tail: bytes, size: int) -> Footer | None:
    """Return the footer of a fixed disk of *size* bytes that ends in *tail*, or None."""
    found = footer(tail[-SIZE:])
    if found is None or found.kind != _FIXED:
        return None
    if found.virtual_size > size - SIZE:
        needed = found.virtual_size + SIZE
        raise CorruptImage(f"the VHD ends too early: needs {needed} bytes, has {size}")
    return found


@dataclass(frozen=True, slots=True)
class Table:
    """Where the blocks of a dynamic disk are told, in bytes."""

    offset: int
    entries: int
    block: int


def table(header: bytes) -> Table:
    """Return where the block allocation table is, by the dynamic disk *header* (1024 bytes)."""
    if len(header) < 1024 or not header.startswith(b"cxsparse"):
        raise CorruptImage("the VHD's dynamic disk header is missing")
    (offset,) = struct.unpack_from(">Q", header, 16)
    entries, block = struct.unpack_from(">II", header, 28)
    if block < SIZE or block & (block - 1) or entries > 1 << 29:
        raise CorruptImage(f"the VHD says {entries} blocks of {block} bytes, which cannot be")
    return Table(offset, entries, block)
