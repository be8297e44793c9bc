"""The guest data of a qcow2 file whose bytes come once, in the order of the file.

Each guest byte is told as soon as the table that names it and the byte itself have passed, in
whatever order the file has them: ``begin`` for those who can write anywhere, ``begin_in_order``
for those who cannot. qemu puts an L2 table in front of the data it maps, so most files are told as
they come. What no table has claimed is kept while one may still come that does.

Where a table contradicts what is known, nothing is guessed: a part of the file that is named twice,
that is not there, or that is not aligned raises CorruptImage; so do the header and the tables for
whatever importer.formats.read.qcow2 refuses. What would need more memory than the window raises
ImageNotInOrder, or is given back as it came, if no data has been told yet; of a file with
snapshots none is told before its last table.

Besides the window, about 30 MiB are held. Source: QEMU's docs/interop/qcow2.txt.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from importer.errors import ImageNotInOrder
from importer.formats.read.passed import Passed
from importer.formats.read.qcow2 import parse, unpacker
from importer.formats.read.reorder import WINDOW, cost, not_in_order, ordered
from importer.formats.read.tables import HEAD
from importer.formats.read.tail import Tail
from importer.stream.extent import Data, Extent, Layout, Located
from importer.stream.pipe import Chunks

_SNAPSHOTS = slice(60, 64)
"""Where the header has their number."""

T = TypeVar("T", Located, Extent)


@dataclass(frozen=True, slots=True)
class Passing(Generic[T]):
    """A disk that is told while its file passes."""

    virtual_size: int

    first: list[T] = field(repr=False)
    """What it begins with, up to the first data or further; ``all`` takes it away."""

    rest: AsyncGenerator[T, None] = field(repr=False)
    """What comes behind it. Who makes no use of ``all`` closes it; the chunks stay open."""

    async def all(self) -> AsyncGenerator[T, None]:
        """Yield the whole disk, once. At its end the file has passed to its own."""
        async with aclosing(self.rest):
            while self.first:
                yield self.first.pop(0)
            async for each in self.rest:
                yield each


@dataclass(frozen=True, slots=True)
class Held:
    """A file that one pass cannot read, as was seen before any of its data was told."""

    chunks: Chunks = field(repr=False)
    """The whole file, from its first byte."""

    why: str


async def begin(chunks: Chunks, window: int = WINDOW) -> Passing[Located] | Held:
    """Read *chunks* until the first data can be told; at most *window* bytes wait for others."""
    return await _begun(chunks, window, lambda layout, _: layout)


async def begin_in_order(chunks: Chunks, window: int = WINDOW) -> Passing[Extent] | Held:
    """Read *chunks* until the first data in guest order can be told.

    Data that comes before its turn may take *window* bytes too.
    """
    return await _begun(chunks, window, lambda layout, size: ordered(layout, size, window))


async def _begun(
    chunks: Chunks, window: int, order: Callable[[Layout, int], AsyncGenerator[T, None]]
) -> Passing[T] | Held:
    tail = Tail(chunks, window)
    try:
        head = bytes(await tail.peek(HEAD))
        header = parse(head)
        passed = Passed(tail, header, unpacker(head, header), window)
        told = order(passed.layout(), header.virtual_size)
        first = await _led(told, window, passed, any(head[_SNAPSHOTS]))
        tail.forget()
        return Passing(header.virtual_size, first, told)
    except ImageNotInOrder as exc:
        return Held(tail.again(), str(exc))
    except BaseException:
        tail.forget()
        await tail.close()
        raise


async def _led(
    told: AsyncGenerator[T, None], window: int, passed: Passed, has_snapshots: bool
) -> list[T]:
    """Return what *told* begins with, up to its first data.

    After a snapshot, qemu writes a table that the snapshot shares anew, behind all data: with one,
    go on to the last table, so that what does not fit is seen while it can be given back.
    """
    first: list[T] = []
    size, is_led = 0, False
    async for each in told:
        extent = each.extent if isinstance(each, Located) else each
        first.append(each)
        size += cost(extent)
        is_led = is_led or isinstance(extent, Data)
        if is_led and (passed.is_mapped or not has_snapshots):
            break
        if size > window:
            await told.aclose()
            raise not_in_order(f"{size} bytes would have to wait for its tables or its first data")
    return first
