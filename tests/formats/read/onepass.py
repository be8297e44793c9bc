"""Files that pass once, in chunks of any size, and disks put together from what is told of them."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from importer.formats.read.passing import Held, Passing, begin, begin_in_order
from importer.formats.read.reorder import WINDOW
from importer.stream.extent import Data, Layout, Located
from importer.units import MiB
from tests.formats.read.guest import collect, joined


class Stream:
    """Bytes that can be read once; it tells how far."""

    def __init__(self, data: bytes, steps: Sequence[int] = (MiB,)) -> None:
        self._data = data
        self._steps = steps
        self.read = 0
        """Bytes handed out."""

        self.is_over = False
        """The last byte was handed out and something more was asked for."""

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes in chunks of the steps' sizes, over and over."""
        number = 0
        while self.read < len(self._data):
            step = self._steps[number % len(self._steps)]
            chunk = self._data[self.read : self.read + step]
            self.read += len(chunk)
            number += 1
            yield chunk
        self.is_over = True


async def gathered(layout: Layout) -> list[Located]:
    """Return all of *layout*; each must be as its type promises."""
    found = []
    async with aclosing(layout):
        async for located in layout:
            assert located.extent.length > 0
            assert not isinstance(located.extent, Data) or located.extent.length <= 2 * MiB
            found.append(located)
    return found


def disk(found: list[Located], virtual_size: int) -> bytes:
    """Return the disk of *found*, which must tell each byte once."""
    at = 0
    for each in sorted(found, key=lambda each: each.offset):
        assert each.offset == at
        at += each.extent.length
    assert at == virtual_size
    content = bytearray(virtual_size)
    for each in found:
        if isinstance(each.extent, Data):
            content[each.offset : each.offset + each.extent.length] = each.extent.data
    return bytes(content)


async def passed(data: bytes, steps: Sequence[int] = (MiB,), window: int = WINDOW) -> bytes | None:
    """Return the disk in the file *data*, told in the order of the file; None: it was given back.

    What is given back must be the whole file, and what is told must have read all of it.
    """
    stream = Stream(data, steps)
    begun = await begin(stream.chunks(), window)
    if isinstance(begun, Held):
        await _check_given_back(begun, data)
        return None
    content = disk(await gathered(begun.all()), begun.virtual_size)
    assert stream.is_over
    return content


async def passed_in_order(
    data: bytes, steps: Sequence[int] = (MiB,), window: int = WINDOW
) -> bytes | None:
    """Return the same, told in guest order."""
    stream = Stream(data, steps)
    begun = await begin_in_order(stream.chunks(), window)
    if isinstance(begun, Held):
        await _check_given_back(begun, data)
        return None
    content = joined(await collect(begun.all()))
    assert len(content) == begun.virtual_size
    assert stream.is_over
    return content


async def _check_given_back(held: Held, data: bytes) -> None:
    assert "qemu-img convert" in held.why
    assert b"".join([chunk async for chunk in held.chunks]) == data


async def begun(data: bytes, window: int = WINDOW) -> Passing[Located]:
    """Return the file *data* after its first data was told."""
    found = await begin(Stream(data).chunks(), window)
    assert isinstance(found, Passing)
    return found
