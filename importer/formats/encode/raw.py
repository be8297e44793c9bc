"""Guest data as plain bytes, zeros included.

Its size is the virtual size.
"""

from collections.abc import Iterator

from importer.stream.extent import Data, Extents
from importer.stream.pipe import Chunks
from importer.units import CHUNK

_ZEROS = bytes(CHUNK)


async def raw(extents: Extents) -> Chunks:
    """Yield the bytes of *extents*; zeros in pieces of at most CHUNK, all of one buffer."""
    async for extent in extents:
        if isinstance(extent, Data):
            yield extent.data
        else:
            for piece in zeros(extent.length):
                yield piece


def zeros(length: int) -> Iterator[bytes]:
    """Yield *length* zeros in pieces of at most CHUNK bytes."""
    for _ in range(length // CHUNK):
        yield _ZEROS
    if length % CHUNK:
        yield bytes(length % CHUNK)
