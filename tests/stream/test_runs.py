"""importer/stream/runs.py."""

import tracemalloc
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from importer.formats.encode.qcow2 import qcow2_size
from importer.formats.encode.zstd_frame import frame_size
from importer.stream import runs
from importer.stream.runs import Map, Run
from importer.units import KiB, MiB

KINDS = st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=20)


def laid(kinds: list[tuple[int, bool]]) -> list[Run]:
    """Return runs of these lengths and kinds, one behind the other; some may be empty."""
    found, end = [], 0
    for length, is_zero in kinds:
        found.append(Run(end, length, is_zero))
        end += length
    return found


@given(KINDS)
def test_a_map_tells_the_same_with_no_equal_neighbours(kinds: list[tuple[int, bool]]) -> None:
    """Every byte stays what it was, nothing is empty, and neighbours differ."""
    made = Map(laid(kinds))
    assert [r.is_zero for r in made for _ in range(r.length)] == [
        is_zero for length, is_zero in kinds for _ in range(length)
    ]
    assert all(run.length for run in made)
    assert all(a.end == b.offset and a.is_zero != b.is_zero for a, b in pairwise(made))


@given(KINDS)
def test_a_map_is_a_sequence(kinds: list[tuple[int, bool]]) -> None:
    """Its items, from both ends and in slices, are those that it yields."""
    made = Map(laid(kinds))
    items = list(made)
    assert len(made) == len(items)
    assert [made[n] for n in range(-len(items), len(items))] == items * 2
    assert made[-2:] == items[-2:]
    assert made == tuple(items)
    assert made != [*items, Run(0, 1, is_zero=False)]


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5000)), max_size=200),
    st.booleans(),
    st.integers(8, 40),
)
def test_a_map_with_too_many_runs_becomes_coarse(
    pairs: list[tuple[int, int]], zeros_first: bool, most: int
) -> None:
    """It hides no data, calls no long zeros data, and covers the same disk."""
    kinds = [(length, kind) for pair in pairs for kind, length in enumerate(pair)]
    exact = laid([(7, True)] * zeros_first + [(length, bool(kind)) for length, kind in kinds])
    made = Map(exact, most)
    assert len(made) <= most
    assert all(a.end == b.offset and a.is_zero != b.is_zero for a, b in pairwise(made))
    assert sum(run.length for run in made) == sum(run.length for run in exact)
    data = [run for run in made if not run.is_zero]
    for run in exact:
        is_data = any(each.offset <= run.offset and run.end <= each.end for each in data)
        assert is_data or run.is_zero
        assert not is_data or not run.is_zero or run.length < made.coarse


def test_no_more_zeros_are_given_up_than_must_be() -> None:
    """Of zeros that are all as long, some stay; and short ones go before long ones."""
    most = 1000
    alike = Map(laid([(5, False), (700, True)] * 600), most)
    assert len(alike) >= most // 2
    mixed = Map(laid([(5, False), (700, True), (5, False), (9 * KiB, True)] * 300), most)
    assert mixed.coarse == KiB
    assert sum(run.length >= 9 * KiB for run in mixed if run.is_zero) == 300


def test_many_runs_and_the_sizes_made_of_them_take_little_memory() -> None:
    """8 bytes a run, and as many again for a qcow2's layout: at most 40 MiB for the largest map."""
    count = runs.MOST // 16
    tracemalloc.start()
    try:
        made = Map()
        for _ in range(count // 2):
            made.add(64 * KiB, is_zero=False)
            made.add(MiB, is_zero=True)
        size = qcow2_size(made, made[-1].end)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(made) == count
    assert not made.coarse
    data = count // 2 * 64 * KiB
    assert data < frame_size(made) < size < data * 1.01
    assert peak < 40 * MiB // 16
