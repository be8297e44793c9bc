"""Where a VHDX file keeps what it knows of itself. Numbers are little-endian.

Source: MS-VHDX 2.0 and block/vhdx.c of QEMU. Raises UnsafeImage for a differencing disk,
CorruptImage.
"""

import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from importer.errors import CorruptImage, UnsafeImage
from importer.units import KiB, MiB

REGIONS = 192 * KiB
METADATA_READ = 128 * KiB
_BAT = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
_METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le
_SECTOR = uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f").bytes_le
_HAS_PARENT = 2
_ENTRIES_MOST = 2047


@dataclass(frozen=True, slots=True)
class Regions:
    """Offset and length of the two regions, in bytes."""

    metadata: int
    bat: int
    bat_length: int


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the metadata region says, in bytes."""

    virtual_size: int
    block: int
    sector: int

    @property
    def chunk_ratio(self) -> int:
        """Payload blocks between two sector bitmap blocks in the table."""
        return (1 << 23) * self.sector // self.block


def regions(head: bytes) -> Regions:
    """Return where the regions are, by the table at REGIONS in *head*."""
    if head[REGIONS : REGIONS + 4] != b"regi":
        raise CorruptImage("the VHDX has no region table")
    found = {
        kind: struct.unpack("<QI", rest[:12])
        for kind, rest in _entries(head[REGIONS : REGIONS + 64 * KiB], 8, "<I", 16)
    }
    if _METADATA not in found or _BAT not in found:
        raise CorruptImage("the VHDX's region table lacks its metadata or its block table")
    bat, length = found[_BAT]
    if found[_METADATA][0] % MiB or bat % MiB or not found[_METADATA][0]:
        raise CorruptImage("the VHDX's regions do not begin at whole MiB")
    return Regions(found[_METADATA][0], bat, length)


def metadata(region: bytes) -> Metadata:
    """Return what the metadata *region* (METADATA_READ bytes) says, or refuse it."""
    if not region.startswith(b"metadata"):
        raise CorruptImage("the VHDX's metadata region is missing")
    found = {
        kind: region[at : at + length]
        for kind, rest in _entries(region, 10, "<H", 32)
        for at, length in [struct.unpack("<II", rest[:8])]
    }
    try:
        block, flags = struct.unpack("<II", found[_PARAMETERS])
        (size,) = struct.unpack("<Q", found[_SIZE])
        (sector,) = struct.unpack("<I", found[_SECTOR])
    except (KeyError, struct.error) as exc:
        raise CorruptImage(f"the VHDX's metadata is not whole: {exc}") from exc
    if flags & _HAS_PARENT:
        raise UnsafeImage("the VHDX is a differencing disk, which needs its parent; merge them")
    if block not in (1 << bit for bit in range(20, 29)) or sector not in (512, 4096):
        raise CorruptImage(f"VHDX blocks of {block} bytes and sectors of {sector} cannot be")
    return Metadata(size, block, sector)


def _entries(
    table: bytes, count_at: int, count_type: str, first: int
) -> Iterator[tuple[bytes, bytes]]:
    if len(table) < first:
        raise CorruptImage(f"a VHDX table ends too early: needs {first} bytes, has {len(table)}")
    (count,) = struct.unpack_from(count_type, table, count_at)
    if count > _ENTRIES_MOST:
        raise CorruptImage(f"a VHDX table says {count} entries, at most {_ENTRIES_MOST} may be")
    for start in range(first, first + 32 * count, 32):
        entry = table[start : start + 32]
        if len(entry) == 32:
            yield entry[:16], entry[16:]
