"""The header of a qcow2 file, read strictly before anything else opens the file.

Source: QEMU's docs/interop/qcow2.txt and the bounds of block/qcow2.c (7.2). Numbers are big-endian,
sizes bytes. Raises UnsafeImage for whatever lies outside the file, UnsupportedImage for features
that are not read, CorruptImage for numbers that cannot be.
"""

import struct
from dataclasses import dataclass

from importer.errors import CorruptImage, UnsafeImage, UnsupportedImage
from importer.units import MiB

MAGIC = b"QFI\xfb"
_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_V3 = struct.Struct(">QQQII")
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED = (1 << bit for bit in range(5))
_KNOWN = _DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED
_DATA_FILE_NAME = 0x44415441
_L1_MOST = 32 * MiB
_REFCOUNTS_MOST = 8 * MiB
_FILE_MOST = 1 << 56
_NAME_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Header:
    """What a sound header says."""

    version: int
    cluster_bits: int
    virtual_size: int
    l1_size: int
    """Entries."""

    l1_offset: int
    extended: bool
    """Each L2 entry is 16 bytes: it has a bitmap of subclusters."""

    dirty: bool
    """Not closed cleanly: its reference counts are stale, its guest data is not (lazy refcounts,
    qemu's docs/interop/qcow2.txt). Whoever opens it for writing counts anew."""

    @property
    def cluster(self) -> int:
        """Bytes of a cluster."""
        return 1 << self.cluster_bits

    @property
    def l2_entry(self) -> int:
        """Bytes of an entry in an L2 table."""
        return 16 if self.extended else 8


def parse(head: bytes) -> Header:
    """Return the header at the start of *head*, or refuse it."""
    if len(head) < _V2.size + _V3.size:
        raise CorruptImage(f"qcow2 header ends too early: needs 104 bytes, has {len(head)}")
    fields = _V2.unpack_from(head)
    _, version, backing, named, cluster_bits, virtual_size, crypt, l1_size, l1_offset = fields[:9]
    if version not in (2, 3):
        raise UnsupportedImage(f"qcow2 version is {version}, 2 and 3 are read")
    if backing:
        raise UnsafeImage(
            f"the qcow2 image has the backing file {_name(head, backing, named)}, whose content "
            "would be needed too; flatten it with qemu-img convert"
        )
    if not 9 <= cluster_bits <= 21:
        raise CorruptImage(f"qcow2 cluster_bits is {cluster_bits}, 9 to 21 is possible")
    if crypt:
        raise UnsupportedImage(f"the qcow2 image is encrypted (method {crypt}); decrypt it first")
    incompatible = _features(head, cluster_bits) if version == 3 else 0
    header = Header(
        version,
        cluster_bits,
        virtual_size,
        l1_size,
        l1_offset,
        extended=bool(incompatible & _EXTENDED),
        dirty=bool(incompatible & _DIRTY),
    )
    _check_l1(header)
    _check_refcounts(header, fields[9], fields[10])
    _check_extensions(head, version, cluster_bits)
    return header


def _name(head: bytes, offset: int, length: int) -> str:
    """Return a file's name as the header has it, quoted and cut, for a message."""
    return repr(head[offset : offset + min(length, _NAME_SHOWN)].decode(errors="replace"))


def _features(head: bytes, cluster_bits: int) -> int:
    incompatible, _, _, refcount_order, length = _V3.unpack_from(head, _V2.size)
    if incompatible & _DATA_FILE:
        raise UnsafeImage(
            "the qcow2 image keeps its data in an external data file; "
            "flatten it with qemu-img convert"
        )
    if unknown := incompatible & ~_KNOWN:
        bits = ", ".join(str(bit) for bit in range(64) if unknown >> bit & 1)
        raise UnsupportedImage(f"the qcow2 image has unknown incompatible features (bits {bits})")
    if incompatible & _CORRUPT:
        raise CorruptImage("the qcow2 image is marked corrupt; repair it with qemu-img check -r")
    if refcount_order > 6:
        raise CorruptImage(f"qcow2 refcount_order is {refcount_order}, at most 6 is possible")
    if length < 104 or length % 8 or length > 1 << cluster_bits:
        raise CorruptImage(f"qcow2 header length is {length}, which cannot be")
    compression = head[104] if length > 104 and len(head) > 104 else 0
    if bool(incompatible & _COMPRESSION) != bool(compression) or compression > 1:
        raise UnsupportedImage(f"qcow2 compression type is {compression}, 0 and 1 are read")
    if incompatible & _EXTENDED and cluster_bits < 14:
        raise CorruptImage("qcow2 extended L2 needs clusters of 16 KiB or more")
    return int(incompatible)


def _check_l1(header: Header) -> None:
    reach = header.cluster * (header.cluster // header.l2_entry)
    needed = -(-header.virtual_size // reach)
    if header.l1_size < needed or header.l1_size * 8 > _L1_MOST:
        raise CorruptImage(
            f"qcow2 L1 table has {header.l1_size} entries, {header.virtual_size} bytes of virtual "
            f"size need {needed} (at most {_L1_MOST // 8} are possible)"
        )
    if header.l1_offset % header.cluster or header.l1_offset > _FILE_MOST:
        raise CorruptImage(f"qcow2 L1 table is at {header.l1_offset:#x}, which cannot be")


def _check_refcounts(header: Header, offset: int, clusters: int) -> None:
    if offset % header.cluster or offset > _FILE_MOST or not offset:
        raise CorruptImage(f"qcow2 refcount table is at {offset:#x}, which cannot be")
    if not clusters or clusters * header.cluster > max(_REFCOUNTS_MOST, header.cluster):
        raise CorruptImage(f"qcow2 refcount table has {clusters} clusters, which cannot be")


def _check_extensions(head: bytes, version: int, cluster_bits: int) -> None:
    offset = 72 if version == 2 else int.from_bytes(head[100:104], "big")
    end = min(len(head), 1 << cluster_bits)
    while offset + 8 <= end:
        kind, length = struct.unpack_from(">II", head, offset)
        if kind == 0:
            return
        if kind == _DATA_FILE_NAME:
            name = _name(head, offset + 8, length)
            raise UnsafeImage(
                f"the qcow2 image names the external data file {name}; "
                "flatten it with qemu-img convert"
            )
        offset += 8 + -(-length // 8) * 8


def without_snapshots(head: bytes) -> bytes:
    """Return *head* with no snapshots and no bitmaps, whose tables lie anywhere in the file."""
    copy = bytearray(head)
    copy[60:72] = bytes(12)
    if int.from_bytes(head[4:8], "big") == 3:
        copy[95] &= 0xFE  # Autoclear bit 0: the bitmaps extension is then not looked at.
    return bytes(copy)
