"""The generated disk: how much of it is data, where, and that it is always the same."""

import pytest

from importer.formats import compression
from importer.formats.recognise import check_raw, format_of
from importer.jobs.bench.generated import BLOCK, Generated, Pattern
from importer.stream.zeros import runs
from importer.units import CHUNK, MiB


async def content(pattern: Pattern) -> bytes:
    """Return the whole disk, as its source gives it."""
    opened = await Generated(pattern).open()
    assert opened.size == pattern.size
    return b"".join([chunk async for chunk in opened.chunks])


@pytest.mark.parametrize(
    ("share", "blocks"), [(0.0, 0), (0.1, 1), (0.25, 3), (0.5, 5), (0.75, 8), (1.0, 10)]
)
async def test_its_share_is_data(share: float, blocks: int) -> None:
    """Counted in the disk's bytes; its label is no more than a sector."""
    pattern = Pattern(10 * BLOCK, share)
    disk = await content(pattern)
    data = sum(end - start for is_data, start, end in runs(disk) if is_data)
    assert pattern.data == blocks * BLOCK
    assert pattern.data <= data <= pattern.data + CHUNK


async def test_data_is_spread_evenly() -> None:
    """No half of the disk has more of it than the other, but for a block."""
    pattern = Pattern(64 * BLOCK, 0.3)
    first = Pattern(32 * BLOCK, 0.3).data
    assert abs(pattern.data - 2 * first) <= BLOCK


async def test_the_same_number_is_the_same_disk() -> None:
    """Whenever it is made; another number has other bytes everywhere."""
    one, again, other = [await content(Pattern(BLOCK, 1.0, number)) for number in (1, 1, 2)]
    assert one == again
    assert all(one[at : at + MiB] != other[at : at + MiB] for at in range(0, BLOCK, MiB))
    assert len({one[at : at + 4096] for at in range(0, BLOCK, 4096)}) == BLOCK // 4096


async def test_a_disk_that_ends_amid_a_block() -> None:
    """It is as long as was asked for."""
    pattern = Pattern(BLOCK + MiB, 1.0)
    assert len(await content(pattern)) == pattern.data == BLOCK + MiB


@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_it_is_a_raw_disk(share: float) -> None:
    """Whatever its bytes are, none of them is taken for another format."""
    for number in range(1, 20):
        head = Pattern(BLOCK, share, number).piece(0, MiB)
        assert format_of(head) == "raw"
        assert compression.detect(head) is None
        check_raw(head, BLOCK)
