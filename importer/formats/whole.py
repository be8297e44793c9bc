"""Whether a raw disk or an ISO is whole, by what its first bytes say of its length.

Source: UEFI 2.10 sections 5.2.1 (MBR) and 5.3.2 (GPT header), ECMA-119 section 8.4 (primary volume
descriptor).
Raises CorruptImage.
"""

import struct
import zlib
from typing import NamedTuple

from importer.errors import CorruptImage
from importer.model import Format
from importer.units import SECTOR, KiB

_PVD = 32 * KiB
_ENTRY = struct.Struct("<B3xB3xII")
_PROTECTIVE = 0xEE
"""Type of the one partition before a GPT; its length may be any."""

_FILE_SYSTEMS = ((b"NTFS", 3), (b"EXFAT", 3), (b"FAT1", 54), (b"FAT32", 82))


class _Partition(NamedTuple):
    status: int
    type: int
    start: int
    """Sectors, as is what follows."""

    sectors: int


def refuse_short(needed: int, size: int, what: str) -> None:
    """Raise CorruptImage when *what* needs more than *size* bytes."""
    if needed > size:
        raise CorruptImage(f"the {what} ends too early: needs {needed} bytes, has {size}")


def check(head: bytes, size: int, format: Format) -> None:
    """Raise CorruptImage when *head* says that there are more than *size* bytes."""
    if format is Format.ISO:
        refuse_short(_volume(head), size, "ISO image")
    elif format is Format.RAW:
        refuse_short(_disk(head), size, "raw disk (by its partition table)")


def _volume(head: bytes) -> int:
    if head[_PVD : _PVD + 6] != b"\x01CD001" or len(head) < _PVD + 132:
        return 0
    (blocks,) = struct.unpack_from("<I", head, _PVD + 80)
    (block,) = struct.unpack_from("<H", head, _PVD + 128)
    return int(blocks) * int(block)


def _disk(head: bytes) -> int:
    for sector in (512, 4 * KiB):
        header = bytearray(head[sector : sector + 92])
        if len(header) < 92 or not header.startswith(b"EFI PART"):
            continue
        (checksum,) = struct.unpack_from("<I", header, 16)
        header[16:20] = bytes(4)
        if zlib.crc32(header) == checksum:
            (backup,) = struct.unpack_from("<Q", header, 32)
            return (int(backup) + 1) * sector
    return _partitions(head)


def _partitions(head: bytes) -> int:
    """Return where the last partition of an MBR ends, or 0 when *head* begins with no clear one.

    A file system's own first sector has the same signature, and program code where the table is.
    """
    if head[510:512] != b"\x55\xaa" or any(head.startswith(*each) for each in _FILE_SYSTEMS):
        return 0
    entries = [_Partition(*each) for each in _ENTRY.iter_unpack(head[446:510])]
    used = sorted((each.start, each.sectors) for each in entries if each.type)
    starts = [start for start, _ in used[1:]]
    ends = [start + sectors for start, sectors in used]
    sound = (
        all(each.status in (0, 0x80) and each.type != _PROTECTIVE for each in entries)
        and all(start and sectors for start, sectors in used)
        and all(end <= start for end, start in zip(ends, starts, strict=False))
    )
    return ends[-1] * SECTOR if sound and used else 0
