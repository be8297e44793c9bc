"""Reads what a qcow2 file's tables name: neighbours together, several reads at once, in order.

Compressed clusters are inflated in threads. Source: QEMU's docs/interop/qcow2.txt, "Compressed
Clusters Descriptor", and block/qcow2-threads.c: raw deflate with a window of 4 KiB, or zstd; what
follows a cluster's own data is not looked at.
"""

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from isal import igzip_lib

from importer.errors import CorruptImage
from importer.formats.read.place import Hole, Packed, Place, Stored
from importer.model import Readable
from importer.stream.extent import Data, Extent, Zero
from importer.stream.threads import in_thread
from importer.units import CHUNK

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_WINDOW = 12
"""Binary logarithm of deflate's window: qcow2_zlib_decompress says -12."""

_ZSTD_WINDOW = 23
"""The same for zstd: 8 MiB. Compressors choose no more than the content, a cluster of 2 MiB, needs;
what asks for more would take it from our memory."""

_IGZIP_ERROR: type[Exception] = igzip_lib.error  # type: ignore[assignment]  # a class, typed as one
_DAMAGED = (_IGZIP_ERROR, zstd.ZstdError, EOFError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Batch:
    """Compressed clusters that lie one behind the other, in the guest and in the file."""

    clusters: Sequence[Packed]

    @property
    def length(self) -> int:
        """Guest bytes."""
        return sum(cluster.length for cluster in self.clusters)


Piece: TypeAlias = Hole | Stored | Batch
"""What becomes one extent: about CHUNK bytes, but for holes."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the pieces of one file."""

    file: Readable
    size: int
    """Bytes of it, asked for once: a local file opens itself to tell."""

    cluster: int
    """Bytes of a cluster."""

    is_zstd: bool
    """How clusters are compressed: zstd, or deflate."""

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
            self._whole(each, view[each.offset - start : each.end - start])[: each.length]
            for each in clusters
        )

    def _whole(self, place: Packed, data: memoryview) -> bytes:
        try:
            made = self._cluster(data)
        except _DAMAGED as exc:
            raise CorruptImage(
                f"the compressed qcow2 cluster at {place.offset:#x} is damaged: {exc}"
            ) from exc
        if len(made) != self.cluster:
            raise CorruptImage(
                f"the compressed qcow2 cluster at {place.offset:#x} has {len(made)} bytes, "
                f"expected {self.cluster}"
            )
        return made

    def _cluster(self, data: memoryview) -> bytes:
        if self.is_zstd:
            return zstd.ZstdDecompressor(
                options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW}
            ).decompress(data, self.cluster)
        inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE, hist_bits=_WINDOW)
        return bytes(inflater.decompress(data, self.cluster))


async def pieces(places: AsyncIterator[Place]) -> AsyncGenerator[Piece, None]:
    """Yield *places* in sizes worth a read: runs cut to CHUNK, compressed clusters gathered."""
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
            for start in range(0, place.length, CHUNK):
                yield Stored(place.offset + start, min(CHUNK, place.length - start))
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
