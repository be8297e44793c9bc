"""importer/stream/extent.py."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from importer.stream.extent import Data, Extent, Extents, Run, Zero, after, merged


@given(kinds=st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=20))
def test_merged_runs_tell_the_same_with_no_equal_neighbours(kinds: list[tuple[int, bool]]) -> None:
    """Every byte stays what it was, nothing is empty, and neighbours differ."""
    runs, end = [], 0
    for length, is_zero in kinds:
        runs.append(Run(end, length, is_zero))
        end += length
    joined = merged(runs)
    assert [r.is_zero for r in joined for _ in range(r.length)] == [
        r.is_zero for r in runs for _ in range(r.length)
    ]
    assert all(run.length for run in joined)
    assert sum(run.length for run in joined) == end
    assert all(a.end == b.offset and a.is_zero != b.is_zero for a, b in pairwise(joined))


async def test_after_is_what_is_left() -> None:
    """Whatever the number of bytes that are left out, the others come, and nothing is empty."""
    every: list[Extent] = [Data(b"abc"), Zero(4), Data(b"d"), Zero(2)]
    whole = b"abc" + bytes(4) + b"d" + bytes(2)

    async def extents() -> Extents:
        for extent in every:
            yield extent

    for size in range(len(whole) + 2):
        left = [extent async for extent in after(extents(), size)]
        told = [e.data if isinstance(e, Data) else bytes(e.length) for e in left]
        assert b"".join(told) == whole[size:]
        assert b"" not in told
