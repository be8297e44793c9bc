"""importer/formats/read/claims.py."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from importer.formats.qcow2 import Header
from importer.formats.read.claims import Claim, Claims, Kind, rows, told
from importer.units import KiB

CLUSTER = 64 * KiB
HEADER = Header(3, 16, 10 * CLUSTER, 1, CLUSTER, extended=False, dirty=False)

triples = st.lists(
    st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)), max_size=9
)


@given(st.lists(st.tuples(st.sampled_from(Kind), triples), max_size=6), st.integers(0, 30))
def test_claims_come_in_the_order_of_the_file(
    tables: list[tuple[Kind, list[tuple[int, int, int]]]], met: int
) -> None:
    """Also those of tables that are read when some have been met."""
    claims = Claims()
    expected: list[Claim] = []
    for kind, found in tables:
        claims.add(kind, rows(found))
        expected += [Claim(*each, kind) for each in found]
        for _ in range(min(met, len(expected))):
            first = claims.first()
            assert first in expected
            assert first.offset == min(claim.offset for claim in expected)
            expected.remove(first)
            claims.drop()
    while first := claims.first():
        assert first.offset == min(claim.offset for claim in expected)
        expected.remove(first)
        claims.drop()
    assert not expected
    assert claims.size == 0


def test_a_tables_entries_are_told_by_kind() -> None:
    """Holes in guest order, the rest in the file's; neighbours joined."""
    packed = 1 << 62 | 1000
    entries = array("Q", [0, 5 * CLUSTER, 0, 0, CLUSTER, 2 * CLUSTER, packed])
    found = told(entries, HEADER, CLUSTER)
    assert found.holes == [(CLUSTER, CLUSTER), (3 * CLUSTER, 2 * CLUSTER)]
    assert list(found.stored) == [
        CLUSTER, 3 * CLUSTER, 5 * CLUSTER, 5 * CLUSTER, 6 * CLUSTER, 2 * CLUSTER,
    ]  # fmt: skip
    assert list(found.packed) == [1000, 1024, 7 * CLUSTER]
