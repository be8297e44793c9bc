"""Reads what a qcow2 file's tables name: neighbours together, several reads at once, in order.

Compressed clusters are inflated in threads. Raises CorruptImage, and what the file raises.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from importer.errors import CorruptImage
from importer.formats.read.place import Hole, Packed, Place, Stored
from importer.formats.read.unpack import Unpacker
from importer.model import Readable
from importer.stream.extent import Data, Extent, Zero
from importer.stream.threads import in_thread
from importer.units import CHUNK


@dataclass(frozen=True, slots=True)
class Batch:
    """Compressed clusters that lie one behind the other, in the guest and in the file."""

    clusters: Sequence[Packed]

    @property
    def length(self) -> int:
        """Guest bytes."""
        return sum(cluster.length for cluster in self.clusters)


Piece: TypeAlias = Hole | Stored | Batch
"""What becomes one extent: CHUNK bytes or a read, but for holes."""

READ = 2 * CHUNK
"""Most bytes of stored clusters that are read together. Where the source and the target are files,
hops to threads are what else it costs: 2 GiB took 3.2 s in pieces of CHUNK, 2.4 s in these."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the pieces of one file."""

    file: Readable
    size: int
    """Bytes of it, asked for once: a local file opens itself to tell."""

    unpacker: Unpacker

    async def extent(self, piece: Piece) -> Extent:
        """Return the guest data of *piece*. Raises CorruptImage."""
        if isinstance(piece, Hole):
            return Zero(piece.length)
        if isinstance(piece, Stored):
            return Data(await self._read(piece.offset, piece.length))
        start, end = piece.clusters[0].offset, max(each.end for each in piece.clusters)
        # Of the last sector, the file may lack what belongs to nobody.
        data = await self._read(start, min(end, self.size) - start)
        return Data(await in_thread(self._inflate, piece.clusters, data))

    async def _read(self, offset: int, length: int) -> bytes:
        data = await self.file.read_at(offset, length)
        if len(data) != length:
            raise CorruptImage(
                f"the qcow2 image ends too early: needs {offset + length} bytes, "
                f"has {offset + len(data)}"
            )
        return data

    def _inflate(self, clusters: Sequence[Packed], data: bytes) -> bytes:
        view, start = memoryview(data), clusters[0].offset
        return b"".join(
            self.unpacker.guest(each, view[each.offset - start : each.end - start])
            for each in clusters
        )


async def pieces(places: AsyncIterator[Place]) -> AsyncGenerator[Piece, None]:
    """Yield *places* in sizes worth a read: runs cut to READ, compressed clusters gathered."""
    batch: list[Packed] = []
    async for place in places:
        if isinstance(place, Packed) and _fits(batch, place):
            batch.append(place)
            continue
        if batch:
            yield Batch(batch)
            batch = []
        if isinstance(place, Packed):
            batch = [place]
        elif isinstance(place, Stored):
            for start in range(0, place.length, READ):
                yield Stored(place.offset + start, min(READ, place.length - start))
        else:
            yield place
    if batch:
        yield Batch(batch)


def _fits(batch: list[Packed], place: Packed) -> bool:
    """Return True when *place* can be read with *batch*: in the file too it comes right behind."""
    if not batch:
        return False
    first, last = batch[0], batch[-1]
    return (
        last.offset < place.offset <= last.end
        and (len(batch) + 1) * first.length <= CHUNK
        and place.end - first.offset <= 2 * CHUNK
    )
