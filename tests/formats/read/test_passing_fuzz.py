"""importer/formats/read/passing.py with damaged files: named errors or the right bytes, soon.

What it reads, the reader that can seek must read too, and the same; that one is compared with
qemu-img. It may refuse more: what is named twice, what would have to be held.
"""

from collections.abc import Sequence
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.errors import CorruptImage, ImageNotInOrder, ImporterError
from importer.formats.read import qcow2
from importer.formats.read.passing import Held, begin, begin_in_order
from importer.stream.extent import Data, Extents, Layout, Located
from importer.units import MiB
from tests.formats.read.guest import Counted
from tests.formats.read.moved import tables_last
from tests.formats.read.onepass import Stream
from tests.formats.read.test_qcow2_fuzz import (
    KINDS,
    LARGEST,
    Damage,
    Sound,
    cuts,
    damaged,
    damages,
    sound,
)

__all__ = ["sound"]  # a fixture: found by its name

steps = st.lists(st.integers(1000, 3 * MiB), min_size=1, max_size=3)
windows = st.sampled_from([MiB // 2, 5 * MiB // 4, 3 * MiB // 2, 64 * MiB])

Read = tuple[int, bytes | None]
"""The disk's length, and its bytes if they are few."""


class Content:
    """A disk as far as it is told; of a large one only the length."""

    def __init__(self) -> None:
        self.told: dict[int, int] = {}
        self.data: list[tuple[int, bytes]] = []
        self.held = 0

    def put(self, located: Located) -> None:
        assert located.offset not in self.told
        self.told[located.offset] = located.extent.length
        if isinstance(located.extent, Data):
            self.data.append((located.offset, located.extent.data))
            self.held += located.extent.length
            assert self.held <= 256 * MiB  # what 2 MiB of a sound file may inflate to

    def read(self) -> Read:
        at = 0
        for offset in sorted(self.told):
            assert offset == at
            at += self.told[offset]
        if at > LARGEST:
            return at, None
        disk = bytearray(at)
        for offset, data in self.data:
            disk[offset : offset + len(data)] = data
        return at, bytes(disk)


async def located(extents: Extents) -> Layout:
    at = 0
    async with aclosing(extents):
        async for extent in extents:
            yield Located(at, extent)
            at += extent.length


async def read(layout: Layout) -> Read:
    content = Content()
    async with aclosing(layout):
        async for each in layout:
            content.put(each)
    return content.read()


async def by_offset(data: bytes) -> Read | str:
    """Return what the reader that can seek reads of *data*, or why it does not."""
    try:
        return await read(located(qcow2.extents(Counted(data))))
    except ImporterError as exc:
        return exc.slug


async def in_passing(data: bytes, steps: Sequence[int], window: int, in_order: bool) -> Read | str:
    """Return the same of the reader that cannot."""
    stream = Stream(data, steps)
    try:
        if in_order:
            begun = await begin_in_order(stream.chunks(), window)
            if not isinstance(begun, Held):
                return await read(located(begun.all()))
        else:
            begun = await begin(stream.chunks(), window)
            if not isinstance(begun, Held):
                return await read(begun.all())
        assert b"".join([chunk async for chunk in begun.chunks]) == data
    except ImporterError as exc:
        return exc.slug
    return ImageNotInOrder.slug


async def check(data: bytes, steps: Sequence[int], window: int) -> None:
    """Compare both readers of *data*."""
    expected = await by_offset(data)
    for in_order in (False, True):
        found = await in_passing(data, steps, window, in_order)
        if found != expected:
            assert found in (CorruptImage.slug, ImageNotInOrder.slug)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("moved", [False, True])
async def test_a_sound_file_is_read(sound: Sound, name: str, moved: bool) -> None:
    """Before anything is damaged, all is right."""
    data = tables_last(sound.files[name], l1_too=True) if moved else sound.files[name]
    expected = await by_offset(data)
    assert not isinstance(expected, str)
    for in_order in (False, True):
        assert await in_passing(data, (MiB,), 64 * MiB, in_order) == expected


@pytest.mark.parametrize("name", KINDS)
@given(damage=damages, cut=cuts, moved=st.booleans(), steps=steps, window=windows)
@settings(max_examples=60)
async def test_a_damaged_file_is_refused_or_read_right(
    sound: Sound,
    name: str,
    damage: list[Damage],
    cut: int | None,
    moved: bool,
    steps: list[int],
    window: int,
) -> None:
    """Nothing else is raised, no byte is another than by offset, nothing is told twice."""
    data = tables_last(sound.files[name], l1_too=True) if moved else sound.files[name]
    await check(damaged(data, damage, cut), steps, window)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", KINDS)
@given(damage=damages, cut=cuts, moved=st.booleans(), steps=steps, window=windows)
@settings(max_examples=2000, derandomize=False)
async def test_many_damaged_files(
    sound: Sound,
    name: str,
    damage: list[Damage],
    cut: int | None,
    moved: bool,
    steps: list[int],
    window: int,
) -> None:
    """The same, others each time."""
    data = tables_last(sound.files[name], l1_too=True) if moved else sound.files[name]
    await check(damaged(data, damage, cut), steps, window)
