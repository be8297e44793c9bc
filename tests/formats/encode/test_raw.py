"""importer/formats/encode/raw.py."""

from hypothesis import given

from importer.formats.encode.raw import raw
from importer.stream.extent import Zero
from importer.units import CHUNK
from tests.formats.encode.disks import SHAPES, disk, joined, plain, stream


@given(shape=SHAPES)
async def test_every_byte_comes_out_in_order(shape: list[tuple[bool, int]]) -> None:
    """The stream is what the guest would read."""
    extents = disk(shape)
    assert await joined(raw(stream(extents))) == plain(extents)


async def test_a_long_hole_comes_in_small_pieces_of_one_buffer() -> None:
    """However long a hole is, it needs no more memory than one chunk."""
    buffers = set()
    total = 0
    async for piece in raw(stream([Zero(5000 * CHUNK)])):
        buffers.add(id(piece))
        total += len(piece)
    assert total == 5000 * CHUNK
    assert len(buffers) == 1
