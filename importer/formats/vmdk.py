"""The header and descriptor of a VMDK file. Numbers are little-endian.

Source: VMware's Virtual Disk Format 5.0 and block/vmdk.c of QEMU. Raises UnsafeImage for whatever
lies outside the file, UnsupportedImage, CorruptImage.
"""

import re
import struct
from dataclasses import dataclass

from importer.errors import CorruptImage, UnsafeImage, UnsupportedImage
from importer.units import SECTOR, MiB

_HEADER = struct.Struct("<4sIIQQQQIQQ")
_AT_END = 0xFFFFFFFFFFFFFFFF
_DESCRIPTOR_READ = 20 * SECTOR
"""What qemu looks for a parent in, whatever the header says."""

_KINDS = frozenset({"monolithicsparse", "streamoptimized"})
_NO_PARENT = "ffffffff"
_SHOWN = 80
TAIL = 3 * SECTOR
"""Bytes at the end of a streamOptimized file: footer marker, footer, end marker."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a sound header says."""

    flags: int
    virtual_size: int
    grain: int
    """Bytes."""

    per_table: int
    directory: int
    """Where the grain directory is, bytes; None of it where `footer`."""

    @property
    def footer(self) -> bool:
        """The grain directory's place is told at the end of the file."""
        return self.directory == _AT_END * SECTOR

    @property
    def compressed(self) -> bool:
        """Each grain has a marker with its length before it."""
        return bool(self.flags & 1 << 16)


def parse(head: bytes) -> Header:
    """Return the header at the start of *head*, whose descriptor names nothing outside."""
    header = sparse(head)
    _check_descriptor(head)
    return header


def sparse(data: bytes) -> Header:
    """Return the header of a sparse extent at the start of *data*."""
    if len(data) < SECTOR or not data.startswith(b"KDMV"):
        raise CorruptImage("the VMDK has no header of a sparse extent")
    _, version, flags, capacity, grain, _, _, per_table, _, directory = _HEADER.unpack_from(data)
    if version not in (1, 2, 3):
        raise UnsupportedImage(f"VMDK version is {version}, 1 to 3 are read")
    if not capacity:
        raise UnsafeImage("the VMDK holds no extent of its own: its data lies in other files")
    if not 0 < grain <= 128 * 1024 or not 0 < per_table <= 512:
        raise CorruptImage(f"VMDK grains of {grain} sectors, {per_table} a table, cannot be")
    return Header(flags, capacity * SECTOR, grain * SECTOR, per_table, directory * SECTOR)


def _check_descriptor(head: bytes) -> None:
    sectors, count = struct.unpack_from("<QQ", head, 28)
    start = sectors * SECTOR
    length = max(min(count * SECTOR, MiB), _DESCRIPTOR_READ)
    text = head[start : start + length].split(b"\0")[0].decode("latin-1").lower()
    around = head[SECTOR : SECTOR + _DESCRIPTOR_READ].lower()
    if b"parentfilenamehint" in around or "parentfilenamehint" in text:
        raise UnsafeImage("the VMDK names a parent file; consolidate its snapshots first")
    parent = re.search(r"^[ \t]*parentcid\s*=\s*\"?([0-9a-f]+)", text, re.MULTILINE)
    if parent and parent[1] != _NO_PARENT:
        raise UnsafeImage("the VMDK is a snapshot of another disk; consolidate them first")
    kind = re.search(r"^[ \t]*createtype\s*=\s*\"([^\"]*)\"", text, re.MULTILINE)
    if kind and kind[1] not in _KINDS:
        raise UnsafeImage(
            f"the VMDK is {_shown(kind[1])}, whose extents lie in other files or hosts; make a "
            "monolithicSparse or streamOptimized one"
        )
    _check_extents(text)


def _shown(text: str) -> str:
    """Return a word of the descriptor, which may be as long and odd as it likes, for a message."""
    return ascii(text[:_SHOWN])[1:-1]


def _check_extents(text: str) -> None:
    extents = re.findall(r"^[ \t]*(?:rw|rdonly|noaccess)\s+\d+\s+(\w+)", text, re.MULTILINE)
    if len(extents) != 1 or extents[0] != "sparse":
        found = _shown(", ".join(extents)) or "missing"
        raise UnsafeImage(
            f"the VMDK's extents are {found}; one SPARSE extent in the file itself is read"
        )
