"""Finds zeros in bytes that are there: where, and as extents."""

from collections.abc import Iterator

from importer.stream.extent import Data, Extent, Zero
from importer.units import KiB, MiB

BLOCK = 4 * KiB
"""Zeros are looked for in blocks of this size: that of a page and of most file systems."""

_ZEROS = bytes(MiB)


def runs(chunk: bytes) -> Iterator[tuple[bool, int, int]]:
    """Yield (is data, start, end) over *chunk*, zeros in whole blocks of BLOCK bytes."""
    start, data = 0, False
    for at in range(0, len(chunk), BLOCK):
        # The first byte settles most blocks of data without a copy.
        full = chunk[at] != 0 or not _ZEROS.startswith(chunk[at : at + BLOCK])
        if full != data and at > start:
            yield data, start, at
            start = at
        data = full
    yield data, start, len(chunk)


def sifted(chunk: bytes) -> list[Extent]:
    """Return *chunk*, which is not empty, as extents: blocks of zeros are told, not carried."""
    found = list(runs(chunk))
    if len(found) == 1 and found[0][0]:
        return [Data(chunk)]  # as it is, not copied
    return [Data(chunk[start:end]) if data else Zero(end - start) for data, start, end in found]
