"""importer/formats/read/entries.py."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.errors import CorruptImage
from importer.formats.qcow2 import Header
from importer.formats.read.entries import places
from importer.formats.read.place import Hole, Packed, Place, Stored
from importer.units import KiB

CLUSTER = 64 * KiB
COPIED, COMPRESSED = 1 << 63, 1 << 62
PLAIN = Header(3, 16, 10 * CLUSTER, 1, CLUSTER, extended=False, dirty=False)
EXTENDED = Header(3, 16, 10 * CLUSTER, 1, CLUSTER, extended=True, dirty=False)
SUB = CLUSTER // 32


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([0, 0], [Hole(2 * CLUSTER)]),
        ([COPIED | CLUSTER, COPIED | 2 * CLUSTER], [Stored(CLUSTER, 2 * CLUSTER)]),
        ([CLUSTER, COPIED | 2 * CLUSTER], [Stored(CLUSTER, 2 * CLUSTER)]),
        ([CLUSTER, CLUSTER], [Stored(CLUSTER, CLUSTER)] * 2),
        ([2 * CLUSTER, CLUSTER], [Stored(2 * CLUSTER, CLUSTER), Stored(CLUSTER, CLUSTER)]),
        ([1, 0, COPIED | CLUSTER | 1, COPIED | 2 * CLUSTER | 1], [Hole(4 * CLUSTER, True)]),
        ([COPIED], [Hole(CLUSTER)]),
        ([COMPRESSED | 1000], [Packed(1000, 1024, CLUSTER)]),
        ([COMPRESSED | 1000] * 2, [Packed(1000, 1024, CLUSTER)] * 2),
        ([COMPRESSED | 2 << 54 | 1000], [Packed(1000, 2048, CLUSTER)]),
        ([0] * 20, [Hole(10 * CLUSTER)]),
        ([0] * 9 + [1] * 3, [Hole(10 * CLUSTER, True)]),
        ([0] * 10 + [1], [Hole(10 * CLUSTER)]),
        ([0] * 9 + [CLUSTER, 2 * CLUSTER], [Hole(9 * CLUSTER), Stored(CLUSTER, CLUSTER)]),
    ],
)
def test_entries_tell_where_clusters_are(entries: list[int], expected: list[Place]) -> None:
    """Each kind of descriptor, neighbours joined, and nothing behind the disk's end."""
    assert places(array("Q", entries), PLAIN, 0) == expected


@pytest.mark.parametrize(
    ("entry", "bitmap", "expected"),
    [
        (CLUSTER, 0xFFFFFFFF, [Stored(CLUSTER, CLUSTER)]),
        (CLUSTER, 0, [Hole(CLUSTER)]),
        (CLUSTER, 0xFFFFFFFF << 32, [Hole(CLUSTER)]),
        (CLUSTER, 0b110, [Hole(SUB), Stored(CLUSTER + SUB, 2 * SUB), Hole(29 * SUB)]),
        (CLUSTER, 1 | 1 << 63, [Stored(CLUSTER, SUB), Hole(31 * SUB)]),
        (COMPRESSED | 1000, 0, [Packed(1000, 1024, CLUSTER)]),
    ],
)
def test_bitmaps_tell_where_subclusters_are(entry: int, bitmap: int, expected: list[Place]) -> None:
    """Only stored subclusters are read; zeros and what was never written are holes."""
    assert places(array("Q", [entry, bitmap]), EXTENDED, 0) == expected


@pytest.mark.parametrize("bitmap", [1, 0xFFFFFFFF])
def test_stored_nowhere_is_refused(bitmap: int) -> None:
    """A bitmap that says stored needs an offset."""
    with pytest.raises(CorruptImage, match="contradicts itself"):
        places(array("Q", [COPIED, bitmap]), EXTENDED, 0)


@pytest.mark.parametrize("bit", [1, 8, 56, 61])
def test_reserved_bits_are_refused(bit: int) -> None:
    """`qemu-img check` finds damage there, and other readers take them for a part of the offset."""
    for header in (PLAIN, EXTENDED):
        with pytest.raises(CorruptImage, match="reserved bits"):
            places(array("Q", [COPIED | CLUSTER | 1 << bit, 0]), header, 0)


@given(
    st.lists(
        st.sampled_from([0, 1, CLUSTER, 2 * CLUSTER, 3 * CLUSTER, COMPRESSED | 5]), max_size=9
    ),
    st.integers(0, 9),
)
def test_places_are_those_of_each_entry(entries: list[int], first: int) -> None:
    """A row of entries means what its entries mean one by one."""
    together = places(array("Q", entries), PLAIN, first * CLUSTER)
    alone = [places(array("Q", [each]), PLAIN, 0)[0] for each in entries[: 10 - first]]
    assert sum(place.length for place in together) == len(alone) * CLUSTER
    stored = [place for place in together if isinstance(place, Stored)]
    assert sum(place.length for place in stored) == CLUSTER * sum(
        isinstance(place, Stored) for place in alone
    )
    assert [p for p in together if isinstance(p, Packed)] == [
        p for p in alone if isinstance(p, Packed)
    ]
