"""importer/formats/read/unclaimed.py."""

import re

from hypothesis import given
from hypothesis import strategies as st

from importer.formats.read.unclaimed import Unclaimed
from importer.units import KiB, MiB
from tests.images import numbers

ranges = st.tuples(st.integers(0, 150_000), st.integers(0, 150_000)).map(
    lambda pair: (min(pair), max(pair))
)


@given(st.lists(ranges, max_size=6), st.lists(st.tuples(st.booleans(), ranges), max_size=12))
def test_what_is_kept_is_found_until_it_is_taken(
    gaps: list[tuple[int, int]], asked: list[tuple[bool, tuple[int, int]]]
) -> None:
    """Up to the first byte that is not there."""
    content = numbers(0, 50_000) + bytes(70_000) + numbers(120_000, 30_000)
    here = bytearray(b"\1") * 150_000
    for start, end in gaps:
        here[start:end] = bytes(end - start)
    kept = Unclaimed()
    for run in re.finditer(b"\1+", here):
        kept.put(run.start(), content[run.start() : run.end()])
    for is_taken, (start, end) in asked:
        stop = here.find(0, start, end)
        stop = end if stop < 0 else stop
        found = b"".join(kept.take(start, end)) if is_taken else kept.look(start, end)
        assert found == content[start:stop]
        if is_taken:
            here[start:stop] = bytes(stop - start)
    assert here.count(1) <= kept.size + 70_000


def test_memory_is_counted_until_it_is_free() -> None:
    """Parts cost something too."""
    kept = Unclaimed()
    kept.put(5, numbers(0, 100 * KiB))
    assert 100 * KiB < kept.size < 101 * KiB
    before = kept.size
    assert sum(map(len, kept.take(50 * KiB, 60 * KiB))) == 10 * KiB
    assert kept.size < before
    list(kept.take(5, 50 * KiB))
    list(kept.take(60 * KiB, 200 * KiB))
    assert kept.size == 0
    kept.put(200 * KiB, b"1")
    kept.clear()
    assert kept.size == 0
    assert kept.look(200 * KiB, 201 * KiB) == b""


def test_zeros_cost_their_place_only() -> None:
    """Alone, and in pieces of 64 KiB beside other bytes."""
    kept = Unclaimed()
    kept.put(0, bytes(MiB))
    kept.put(MiB, b"1" * 64 * KiB + bytes(192 * KiB))
    assert kept.size < 66 * KiB
    assert b"".join(kept.take(KiB, MiB + 65 * KiB)) == (
        bytes(MiB - KiB) + b"1" * 64 * KiB + bytes(KiB)
    )
    assert kept.size < 10 * KiB
    assert kept.look(0, MiB) == bytes(KiB)
