"""Finds zeros in bytes that are there: where, and as extents."""

from collections.abc import Iterator

from importer.stream.extent import Data, Extent, Zero
from importer.units import KiB, MiB

BLOCK = 4 * KiB
"""Zeros are looked for in blocks of this size: that of a page and of most file systems."""

_ZEROS = bytes(MiB)

_SAMPLES = (0, 1365, 2731, BLOCK - 1)
"""Bytes of a block that are looked at first: any that is not zero settles it. They are taken of
all blocks at once: data costs 5 us a MiB so, and without the GIL being let go that counts."""


def runs(chunk: bytes) -> Iterator[tuple[bool, int, int]]:
    """Yield (is data, start, end) over *chunk*, zeros in whole blocks of BLOCK bytes."""
    seen = _seen(chunk)
    start, data = 0, False
    at = 0
    while at < len(chunk):
        full = seen[at // BLOCK] != 0 or not _ZEROS.startswith(chunk[at : at + BLOCK])
        if full != data and at > start:
            yield data, start, at
            start = at
        data = full
        at = _next(seen, at // BLOCK) * BLOCK if full else at + BLOCK
    yield data, start, len(chunk)


def _next(seen: bytes, block: int) -> int:
    """Return the next block after *block* that may be zeros, or how many there are."""
    found = seen.find(0, block + 1)
    return len(seen) if found < 0 else found


def _seen(chunk: bytes) -> bytes:
    """Return a byte for each block of *chunk*: 0 where all its samples are."""
    either = 0
    for offset in _SAMPLES:
        either |= int.from_bytes(chunk[offset::BLOCK], "little")
    return either.to_bytes(-(-len(chunk) // BLOCK), "little")


def sifted(chunk: bytes) -> list[Extent]:
    """Return *chunk*, which is not empty, as extents: blocks of zeros are told, not carried."""
    found = list(runs(chunk))
    if len(found) == 1 and found[0][0]:
        return [Data(chunk)]  # as it is, not copied
    return [Data(chunk[start:end]) if data else Zero(end - start) for data, start, end in found]
