"""What the tests of readers have in common: extents put together, and counted reads."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from importer.stream.extent import Data, Extent, Extents, Run, Runs, Zero, merged
from importer.units import MiB


async def collect(extents: Extents) -> list[Extent]:
    """Return all *extents*; each must be as their type promises."""
    found = []
    async with aclosing(extents):
        async for extent in extents:
            assert extent.length > 0
            assert isinstance(extent, Zero) or extent.length <= 2 * MiB
            found.append(extent)
    return found


def joined(extents: list[Extent]) -> bytes:
    """Return the bytes that the guest sees."""
    return b"".join(e.data if isinstance(e, Data) else bytes(e.length) for e in extents)


def mapped(extents: list[Extent]) -> Runs:
    """Return what `runs` should say of *extents*."""
    found, start = [], 0
    for extent in extents:
        found.append(Run(start, extent.length, isinstance(extent, Zero)))
        start += extent.length
    return merged(found)


class Counted:
    """Bytes as a file that can be read anywhere, and that tells what was read of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.reads: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        return len(self._data)

    @property
    def read(self) -> int:
        """Bytes read in all."""
        return sum(length for _, length in self.reads)

    async def read_at(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        data = self._data[offset : offset + length]
        self.reads.append((offset, len(data)))
        await asyncio.sleep(0)
        return data


async def chunks(data: bytes, step: int) -> AsyncGenerator[bytes, None]:
    """Yield *data* in chunks of *step* bytes."""
    for start in range(0, len(data), step):
        yield data[start : start + step]


def patched(path: Path, offset: int, data: bytes) -> None:
    """Write *data* over what *path* has at *offset*."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
