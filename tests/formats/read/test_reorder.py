"""importer/formats/read/reorder.py."""

import random
from collections.abc import Sequence
from contextlib import aclosing
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.errors import CorruptImage, ImageNotInOrder
from importer.formats.read.reorder import ENTRY, WINDOW, ordered
from importer.stream.extent import Data, Extent, Layout, Located, Zero
from importer.units import KiB, MiB, TiB
from tests.formats.encode.disks import SHAPES, disk, plain, size
from tests.formats.read.guest import collect, joined


async def told(found: Sequence[Located]) -> Layout:
    for located in found:
        yield located


def placed(extents: Sequence[Extent]) -> list[Located]:
    """Return *extents* with their offsets."""
    found, at = [], 0
    for extent in extents:
        found.append(Located(at, extent))
        at += extent.length
    return found


@given(SHAPES, st.randoms(use_true_random=False))
@settings(max_examples=25)
async def test_any_order_becomes_the_guests(
    shape: list[tuple[bool, int]], draw: random.Random
) -> None:
    """The bytes are the disk's; zeros that meet are one."""
    extents = disk(shape)
    found = placed(extents)
    draw.shuffle(found)
    got = [each async for each in ordered(told(found), size(extents), 64 * MiB)]
    assert joined(got) == plain(extents)
    kinds = [isinstance(extent, Zero) for extent in got]
    assert (True, True) not in pairwise(kinds)


async def test_writes_at_once_fit_the_window() -> None:
    """``qemu-img convert -W``: eight coroutines of 2 MiB, each done whenever it is."""
    draw = random.Random(3)
    waiting = [[Located(at + part, Data(bytes(MiB))) for part in (0, MiB)]
               for at in range(0, 512 * MiB, 2 * MiB)]  # fmt: skip
    busy: list[list[Located]] = []
    found: list[Located] = []
    while waiting or busy:
        while waiting and len(busy) < 8:
            busy.append(waiting.pop(0))
        found.append(draw.choice(busy).pop(0))
        busy = [each for each in busy if each]
    at = 0
    async with aclosing(ordered(told(found), 512 * MiB, WINDOW)) as extents:
        async for extent in extents:
            at += extent.length
    assert at == 512 * MiB


async def test_data_that_comes_too_early_ends_it() -> None:
    """Before anything was yielded, and after."""
    late = [Located(at * KiB, Data(bytes(KiB))) for at in range(2, 9)]
    with pytest.raises(ImageNotInOrder, match=r"more than 5000 bytes.*qemu-img convert"):
        await collect(ordered(told(late), 9 * KiB, 5000))
    async with aclosing(ordered(told([Located(0, Data(b"1" * KiB)), *late]), 9 * KiB, 5000)) as got:
        assert await anext(got) == Data(b"1" * KiB)
        with pytest.raises(ImageNotInOrder):
            await anext(got)


async def test_zeros_that_come_early_cost_little_but_not_nothing() -> None:
    """Their length does not count; their number does."""
    found = [Located(at * TiB, Zero(TiB)) for at in (3, 1, 2, 0)]
    assert await collect(ordered(told(found), 4 * TiB, 3 * ENTRY)) == [Zero(4 * TiB)]
    with pytest.raises(ImageNotInOrder):
        await collect(ordered(told(found), 4 * TiB, 3 * ENTRY - 1))


async def test_what_was_taken_makes_room_again() -> None:
    """The window is what waits, not what has waited."""
    pairs = [
        Located(at + other, Data(bytes(KiB))) for at in range(0, MiB, 2 * KiB) for other in (KiB, 0)
    ]
    assert joined(await collect(ordered(told(pairs), MiB, 2 * KiB))) == bytes(MiB)


@pytest.mark.parametrize(
    "found",
    [
        [Located(0, Zero(10))],
        [Located(10, Zero(10))],
        [Located(0, Zero(10)), Located(0, Zero(10)), Located(10, Zero(10))],
        [Located(0, Zero(30))],
        [],
    ],
)
async def test_a_disk_that_is_not_whole_is_refused(found: list[Located]) -> None:
    """Gaps and overlaps are never filled or cut."""
    with pytest.raises(CorruptImage, match="in a row, not 20"):
        await collect(ordered(told(found), 20))


async def test_left_early_the_layout_is_closed() -> None:
    """Whatever it holds is let go."""
    layout = told(placed([Data(b"1"), Data(b"2")]))
    async with aclosing(ordered(layout, 2)) as got:
        assert await anext(got) == Data(b"1")
    assert layout.ag_frame is None
