"""The guest data of a disk: what its guest would read, in guest order, without gaps.

Two forms: extents carry the bytes and can be read once; runs (importer.stream.runs) say only where
data and zeros are, for whatever must be known before the first byte. Lengths and offsets are bytes
of guest data, not of the file that holds it.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

from importer.stream.runs import Run as Run
from importer.stream.runs import Runs as Runs
from importer.stream.runs import merged as merged


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes as they are; never empty. They may be zeros all the same."""

    data: bytes

    @property
    def length(self) -> int:
        """Bytes in it."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Zero:
    """*length* bytes that read as zeros, of which none exists; at least one."""

    length: int


Extent: TypeAlias = Data | Zero

Extents: TypeAlias = AsyncGenerator[Extent, None]
"""Each begins where the one before ends; together they are the whole virtual size. Data comes in
pieces of about 1 MiB, zeros in one piece however long they are."""


@dataclass(frozen=True, slots=True)
class Located:
    """An extent and the guest offset that it belongs at."""

    offset: int
    extent: Extent


Layout: TypeAlias = AsyncGenerator[Located, None]
"""Every guest byte once, in whatever order a file holds them."""


async def located(extents: Extents) -> Layout:
    """Yield *extents* with the offsets that their order implies."""
    offset = 0
    async with aclosing(extents):
        async for extent in extents:
            yield Located(offset, extent)
            offset += extent.length


async def after(extents: Extents, size: int) -> Extents:
    """Yield *extents* without their first *size* bytes."""
    async with aclosing(extents):
        async for extent in extents:
            if size < extent.length:
                yield _end(extent, size) if size else extent
            size = max(size - extent.length, 0)


async def peeked(extents: Extents, size: int) -> tuple[bytes, Extents]:
    """Return the first *size* bytes of *extents*, fewer if there are no more, and all of them."""
    taken: list[Extent] = []
    length = 0
    try:
        while length < size:
            extent = await anext(extents)
            taken.append(extent)
            length += extent.length
    except StopAsyncIteration:
        pass
    except BaseException:
        await extents.aclose()
        raise
    head = b"".join(_start(extent, size) for extent in taken)
    return head[:size], _chained(taken, extents)


async def _chained(taken: list[Extent], rest: Extents) -> Extents:
    async with aclosing(rest):
        for extent in taken:
            yield extent
        async for extent in rest:
            yield extent


def _end(extent: Extent, start: int) -> Extent:
    return Data(extent.data[start:]) if isinstance(extent, Data) else Zero(extent.length - start)


def _start(extent: Extent, size: int) -> bytes:
    return extent.data[:size] if isinstance(extent, Data) else bytes(min(extent.length, size))
