"""importer/stream/extent.py."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from importer.stream.extent import Run, merged


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
