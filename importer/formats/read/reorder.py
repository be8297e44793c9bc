"""Guest data in the order of its file, brought into guest order with bounded memory.

Raises ImageNotInOrder when what comes too early no longer fits, CorruptImage when the data told is
not the whole disk.
"""

from contextlib import aclosing

from importer.errors import CorruptImage, ImageNotInOrder
from importer.stream.extent import Data, Extent, Extents, Layout, Zero
from importer.units import MiB

WINDOW = 64 * MiB
"""Bytes that may wait for their turn. ``qemu-img convert -W`` writes with 8 coroutines of 2 MiB
(qemu-img.c: num_coroutines, IO_BUF_SIZE), so 16 MiB are out of order while they go on side by side.
One that lags knows no bound: of 1.5 GiB, 50 to 140 MiB came early on a busy machine, and 1 GiB if
every other 4 KiB were zeros. More than this would be the memory of several imports."""

ENTRY = 200
"""Bytes that an extent costs besides its data: the objects, and its place in a table."""


def not_in_order(what: str) -> ImageNotInOrder:
    """Return the error that says *what* is wrong with the order of a file, and what helps."""
    return ImageNotInOrder(
        f"the qcow2 image cannot be read in one pass: {what}; put it in order with "
        "'qemu-img convert -O qcow2 IN OUT', import it by URL from a server with ranges, or keep "
        "its format"
    )


class _Early:
    """Extents whose turn has not come, by their offsets."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._extents: dict[int, Extent] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._extents)

    def put(self, offset: int, extent: Extent) -> None:
        self._size += cost(extent)
        if self._size > self._window:
            raise not_in_order(f"more than {self._window} bytes of its data come too early")
        self._extents[offset] = extent

    def take(self, offset: int) -> Extent | None:
        if extent := self._extents.pop(offset, None):
            self._size -= cost(extent)
        return extent


def cost(extent: Extent) -> int:
    """Return the bytes of memory that *extent* takes."""
    return ENTRY + (extent.length if isinstance(extent, Data) else 0)


async def ordered(layout: Layout, virtual_size: int, window: int = WINDOW) -> Extents:
    """Yield all of *layout* in guest order, and close it. Zeros come in one piece."""
    early = _Early(window)
    at = zeros = 0
    async with aclosing(layout):
        async for located in layout:
            extent: Extent | None = located.extent
            if located.offset != at:
                early.put(located.offset, located.extent)
                continue
            while extent:
                at += extent.length
                if isinstance(extent, Zero):
                    zeros += extent.length
                else:
                    if zeros:
                        yield Zero(zeros)
                        zeros = 0
                    yield extent
                extent = early.take(at)
    if zeros:
        yield Zero(zeros)
    if at != virtual_size or early:
        raise CorruptImage(f"the image tells {at} bytes of its disk in a row, not {virtual_size}")
