"""importer/stream/zeros.py."""

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from importer.stream.extent import Data, Zero
from importer.stream.zeros import BLOCK, runs, sifted

lengths = st.one_of(
    st.integers(1, 3 * BLOCK), st.sampled_from([BLOCK - 1, BLOCK, BLOCK + 1, 7 * BLOCK])
)
pieces = st.one_of(
    lengths.map(bytes),
    lengths.map(lambda length: b"\xff" * length),
    st.binary(min_size=1, max_size=64),
    lengths.map(lambda length: bytes(length - 1) + b"\1"),
)


@given(st.lists(pieces, min_size=1, max_size=9).map(b"".join))
@example(b"\0")
@example(bytes(BLOCK))
@example(bytes(BLOCK) + b"\1")
@example(b"\1" + bytes(2 * BLOCK))
def test_runs_cover_a_chunk(chunk: bytes) -> None:
    """Runs lie end to end over the whole chunk, kinds take turns, and no zeros hold data."""
    found = list(runs(chunk))
    assert [start for _, start, _ in found] == [0, *(end for _, _, end in found[:-1])]
    assert found[-1][2] == len(chunk)
    assert all(one[0] != two[0] for one, two in itertools.pairwise(found))
    for data, start, end in found:
        assert start < end
        assert start % BLOCK == 0
        if data:
            blocks = range(start, end, BLOCK)
            assert all(any(chunk[at : min(at + BLOCK, end)]) for at in blocks)
        else:
            assert not any(chunk[start:end])


@given(st.lists(pieces, min_size=1, max_size=9).map(b"".join))
def test_extents_are_the_chunk(chunk: bytes) -> None:
    """Data and zeros end to end are the bytes that came, and no data is all zeros."""
    found = sifted(chunk)
    assert b"".join(e.data if isinstance(e, Data) else bytes(e.length) for e in found) == chunk
    assert all(any(each.data) for each in found if isinstance(each, Data))


def test_zeros_are_one_extent() -> None:
    """However many blocks they are."""
    assert sifted(bytes(9 * BLOCK + 5)) == [Zero(9 * BLOCK + 5)]


def test_data_is_not_copied() -> None:
    """A chunk without zeros is handed on as the object that it is."""
    chunk = b"\1" * (3 * BLOCK)
    (only,) = sifted(chunk)
    assert isinstance(only, Data)
    assert only.data is chunk
