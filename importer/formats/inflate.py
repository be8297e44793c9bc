"""Compressed clusters of a qcow2 file whose last sector is not all there.

Their length is told in sectors only. Tools that do not fill the file up to a whole sector leave it
open whether anything is missing, so such a cluster is inflated.
Source: QEMU's docs/interop/qcow2.txt and block/qcow2-threads.c. Raises CorruptImage.
"""

import os
import sys
import zlib
from collections.abc import Iterable

from importer.errors import CorruptImage
from importer.formats import qcow2
from importer.units import SECTOR

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_WINDOW = 12
_TYPE_AT = 104


def place(entry: int, header: qcow2.Header) -> tuple[int, int]:
    """Return where the compressed cluster of an L2 *entry* starts and ends, in bytes."""
    bits = 62 - (header.cluster_bits - 8)
    offset = entry & ((1 << bits) - 1)
    sectors = ((entry & ((1 << 62) - 1)) >> bits) + 1
    return offset, offset // SECTOR * SECTOR + sectors * SECTOR


def check_cut(file: int, header: qcow2.Header, entries: Iterable[int]) -> None:
    """Raise CorruptImage when one of the compressed *entries* is cut off by the file's end."""
    size = os.fstat(file).st_size
    for entry in entries:
        start, end = place(entry, header)
        if end <= size:
            continue
        if not _is_whole(
            os.pread(file, end - start, start), header.cluster, _is_zstd(file, header)
        ):
            raise CorruptImage(f"the qcow2 image ends too early: needs {end} bytes, has {size}")


def _is_zstd(file: int, header: qcow2.Header) -> bool:
    # qcow2.parse has seen that the type agrees with the feature bit for it.
    length = int.from_bytes(os.pread(file, 4, 100), "big")
    return header.version > 2 and length > _TYPE_AT and os.pread(file, 1, _TYPE_AT) == b"\x01"


def _is_whole(data: bytes, cluster: int, is_zstd: bool) -> bool:
    try:
        if is_zstd:
            return len(zstd.ZstdDecompressor().decompress(data, cluster)) == cluster
        return len(zlib.decompressobj(-_WINDOW).decompress(data, cluster)) == cluster
    except (zlib.error, zstd.ZstdError):
        return False
