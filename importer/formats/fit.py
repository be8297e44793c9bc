"""Whether a qcow2 file can go to a reader that knows less of the format than QEMU does.

Longhorn's engine reads a qcow2 with libqcow. Tried with its releases 20201213 (Debian's
python3-libqcow) and 20260703: both refuse the zstd compression type (even of a file without any
compressed cluster), extended L2, data files and disks of no bytes; the older one returns wrong
bytes for clusters with the zero flag, and both count a last sector that QEMU does not.
"""

from contextlib import aclosing

from importer.errors import UnsafeImage, UnsupportedImage
from importer.formats import qcow2
from importer.formats.read.place import Hole
from importer.formats.read.tables import HEAD, walk
from importer.model import Readable
from importer.units import SECTOR

_ZSTD = 1 << 3
"""Incompatible feature: the compression type is not zlib."""


async def longhorn(file: Readable) -> str | None:
    """Return why Longhorn would not read the qcow2 *file* right, in words; None: it would.

    Reads the header and the tables, no data. Raises what they raise when they are damaged.
    """
    head = await file.read_at(0, HEAD)
    return by_head(head) or await _by_tables(file, qcow2.parse(head))


def by_head(head: bytes) -> str | None:
    """Return the same as far as the file's first bytes tell it. Raises ImageError."""
    try:
        header = qcow2.parse(head)
    except (UnsafeImage, UnsupportedImage) as exc:
        return str(exc)
    return _by_header(head, header)


def _by_header(head: bytes, header: qcow2.Header) -> str | None:
    if header.version > 2 and int.from_bytes(head[72:80], "big") & _ZSTD:
        return "its compression type is zstd"
    if header.extended:
        return "it has subclusters (extended L2 entries)"
    if not header.virtual_size:
        return "its disk has no bytes"
    if header.virtual_size % SECTOR:
        return f"its virtual size of {header.virtual_size} bytes is not whole sectors"
    return None


async def _by_tables(file: Readable, header: qcow2.Header) -> str | None:
    start = 0
    async with aclosing(walk(file, header)) as places:
        async for place in places:
            if isinstance(place, Hole) and place.flagged:
                return (
                    "it has clusters flagged as zeros, "
                    f"in bytes {start} to {start + place.length} of the disk"
                )
            start += place.length
    return None
