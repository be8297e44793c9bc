"""importer/formats/read/tail.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.errors import ImageNotInOrder
from importer.formats.read.tail import Tail
from importer.units import KiB, MiB
from tests import images
from tests.formats.read.guest import chunks

CONTENT = images.numbers(0, 5 * MiB)


@given(
    st.integers(1 * KiB, 4 * MiB),
    st.lists(st.tuples(st.booleans(), st.integers(1, 3 * MiB)), max_size=20),
)
async def test_what_comes_next_is_the_file(step: int, asked: list[tuple[bool, int]]) -> None:
    """Looked at or taken, in whatever lengths; and all of it again."""
    tail = Tail(chunks(CONTENT, step), 64 * MiB)
    at = 0
    for is_looked_at, length in asked:
        assert tail.at == at
        if is_looked_at:
            assert await tail.peek(length) == CONTENT[at : at + length]
        else:
            found = await tail.some(length)
            assert found or at == len(CONTENT)
            assert found == CONTENT[at : at + len(found)]
            assert len(found) <= min(length, 2 * MiB)
            at += len(found)
    assert b"".join([chunk async for chunk in tail.again()]) == CONTENT


async def test_what_is_kept_is_bounded_until_it_is_forgotten() -> None:
    """Then any length may pass."""
    tail = Tail(chunks(CONTENT, MiB), 2 * MiB)
    await tail.peek(2 * MiB)
    with pytest.raises(ImageNotInOrder, match="its first 3145728 bytes"):
        await tail.peek(3 * MiB)
    assert b"".join([chunk async for chunk in tail.again()]) == CONTENT
    tail = Tail(chunks(CONTENT, MiB), 2 * MiB)
    tail.forget()
    assert await tail.peek(5 * MiB) == CONTENT
