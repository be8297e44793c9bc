"""The guest data of a qcow2 file that can be read anywhere: local, or a URL with ranges.

Only allocated clusters are read. Versions 2 and 3, zlib and zstd clusters, zero clusters and
subclusters are read; internal snapshots are ignored. Source: QEMU's docs/interop/qcow2.txt.
Raises NotAnImage, what importer.formats.qcow2 raises for the header, CorruptImage for tables that
cannot be, and what the file raises when it cannot be read.

At most about 30 MiB are held. Tables that name more bytes than the file has are refused, so no more
is read than that, but for the ends of compressed clusters, which share their sectors.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from importer.errors import NotAnImage
from importer.formats import qcow2
from importer.formats.read.clusters import Piece, Reader, pieces
from importer.formats.read.place import Hole
from importer.formats.read.tables import HEAD, walk
from importer.formats.read.unpack import Unpacker
from importer.model import Readable
from importer.stream.extent import Extents, after
from importer.stream.lookahead import in_order
from importer.stream.runs import Map, Runs
from importer.units import SECTOR

Pieces: TypeAlias = AsyncGenerator[Piece, None]

AHEAD = 4
"""Pieces that are read or inflated at once."""

_COMPRESSION_TYPE = 104
"""Offset of the compression type in the header, where the header is that long."""


async def extents(file: Readable, start: int = 0) -> Extents:
    """Yield the guest data of *file* from *start* to its virtual size.

    Of what stands before, tables are read, and what is in one piece with it.
    """
    head = await file.read_at(0, HEAD)
    header = parse(head)
    reader = Reader(file, file.size, unpacker(head, header))
    async with (
        aclosing(walk(file, header)) as places,
        aclosing(pieces(places)) as parts,
    ):
        begin, first = await _piece_at(parts, start)
        async with (
            aclosing(_joined(first, parts)) as rest,
            aclosing(in_order(rest, reader.extent, AHEAD)) as found,
            aclosing(after(found, start - begin)) as wanted,
        ):
            async for extent in wanted:
                yield extent


async def _piece_at(parts: Pieces, offset: int) -> tuple[int, Piece | None]:
    """Take *parts* up to the one that *offset* lies in; return it and where it begins."""
    begin = 0
    async for piece in parts:
        if begin + piece.length > offset:
            return begin, piece
        begin += piece.length
    return begin, None


async def _joined(first: Piece | None, rest: Pieces) -> Pieces:
    if first:
        yield first
    async for piece in rest:
        yield piece


async def runs(file: Readable) -> Runs:
    """Return where *file* has data and where zeros; only its tables are read."""
    header = parse(await file.read_at(0, HEAD))
    found = Map()
    async with aclosing(walk(file, header)) as places:
        async for place in places:
            found.add(place.length, is_zero=isinstance(place, Hole))
    return found


def parse(head: bytes) -> qcow2.Header:
    """Return what the file's first HEAD bytes say, or refuse it."""
    if not head.startswith(qcow2.MAGIC):
        raise NotAnImage(f"a qcow2 file begins with {qcow2.MAGIC!r}, this one with {head[:4]!r}")
    header = qcow2.parse(head)
    # qemu (7.2) counts whole sectors only.
    return replace(header, virtual_size=header.virtual_size // SECTOR * SECTOR)


def unpacker(head: bytes, header: qcow2.Header) -> Unpacker:
    """Return what inflates the file's compressed clusters."""
    # qcow2.parse has seen that the type agrees with the feature bit for it.
    length = int.from_bytes(head[100:104], "big")
    typed = header.version > 2 and length > _COMPRESSION_TYPE
    return Unpacker(header.cluster, is_zstd=typed and head[_COMPRESSION_TYPE:].startswith(b"\x01"))
