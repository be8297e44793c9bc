"""The header of a VDI file (VirtualBox). Numbers are little-endian.

Source: block/vdi.c of QEMU. Raises UnsafeImage for a differencing image, CorruptImage.
"""

import struct
from dataclasses import dataclass

from importer.errors import CorruptImage, UnsafeImage
from importer.units import MiB

_DYNAMIC, _STATIC = 1, 2


@dataclass(frozen=True, slots=True)
class Header:
    """What a sound header says, in bytes."""

    map_offset: int
    data_offset: int
    virtual_size: int
    block: int
    blocks: int


def parse(head: bytes) -> Header:
    """Return the header at the start of *head*, or refuse it."""
    if len(head) < 512:
        raise CorruptImage(f"VDI header ends too early: needs 512 bytes, has {len(head)}")
    kind = struct.unpack_from("<I", head, 76)[0]
    if kind not in (_DYNAMIC, _STATIC) or any(head[440:472]):
        raise UnsafeImage(
            f"the VDI image (type {kind}) is made on top of another one; merge them first"
        )
    map_offset, data_offset = struct.unpack_from("<II", head, 340)
    virtual_size, block, _, blocks = struct.unpack_from("<QIII", head, 368)
    if block != MiB or blocks * block < virtual_size or blocks > 0x3FFFFFFF:
        raise CorruptImage(
            f"VDI header says {blocks} blocks of {block} bytes for {virtual_size} bytes"
        )
    return Header(map_offset, data_offset, virtual_size, block, blocks)
