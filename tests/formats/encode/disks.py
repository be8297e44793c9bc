"""Disks as extents of any shape, and the bytes that they stand for."""

from collections.abc import Sequence

from hypothesis import strategies as st

from importer.stream.extent import Data, Extent, Extents, Run, Runs, Zero
from importer.stream.pipe import Chunks
from importer.units import KiB, MiB
from tests import images

LENGTHS = st.one_of(
    st.integers(1, 5000),
    st.sampled_from([64 * KiB, 128 * KiB, MiB, 3 * MiB]).flatmap(
        lambda near: st.integers(near - 2, near + 2)
    ),
    st.integers(1, 40).map(lambda clusters: clusters * 64 * KiB),
)
SHAPES = st.lists(st.tuples(st.booleans(), LENGTHS), max_size=12)
"""(is data, length) in guest order; neighbours of one kind may follow each other."""


def disk(shape: Sequence[tuple[bool, int]]) -> list[Extent]:
    """Return the extents of *shape*; data tells where it lies."""
    extents: list[Extent] = []
    position = 0
    for is_data, length in shape:
        extents.append(Data(images.numbers(position, length)) if is_data else Zero(length))
        position += length
    return extents


def runs_of(extents: Sequence[Extent]) -> Runs:
    """Return where *extents* have data and zeros."""
    runs: list[Run] = []
    for extent in extents:
        offset = runs[-1].end if runs else 0
        runs.append(Run(offset, extent.length, isinstance(extent, Zero)))
    return tuple(runs)


def plain(extents: Sequence[Extent]) -> bytes:
    """Return the guest's bytes."""
    return b"".join(e.data if isinstance(e, Data) else bytes(e.length) for e in extents)


def size(extents: Sequence[Extent]) -> int:
    """Return the virtual size."""
    return sum(extent.length for extent in extents)


async def stream(extents: Sequence[Extent]) -> Extents:
    """Yield *extents*."""
    for extent in extents:
        yield extent


async def joined(chunks: Chunks) -> bytes:
    """Return all bytes of *chunks*, none of which may be empty."""
    pieces = [chunk async for chunk in chunks]
    assert all(pieces)
    return b"".join(pieces)
