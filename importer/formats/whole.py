"""Whether a raw disk or an ISO is whole, by what its first bytes say of its length.

Source: UEFI 2.10 section 5.3.2 (GPT header), ECMA-119 section 8.4 (primary volume descriptor).
Raises CorruptImage.
"""

import struct
import zlib

from importer.errors import CorruptImage
from importer.model import Format
from importer.units import KiB

_PVD = 32 * KiB


def refuse_short(needed: int, size: int, what: str) -> None:
    """Raise CorruptImage when *what* needs more than *size* bytes."""
    if needed > size:
        raise CorruptImage(f"the {what} ends too early: needs {needed} bytes, has {size}")


def check(head: bytes, size: int, format: Format) -> None:
    """Raise CorruptImage when *head* says that there are more than *size* bytes."""
    if format is Format.ISO:
        refuse_short(_volume(head), size, "ISO image")
    elif format is Format.RAW:
        refuse_short(_disk(head), size, "raw disk (by its GPT)")


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
    return 0
