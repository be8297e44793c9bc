"""What others write on objects is bounded: as labels, as texts, in memory."""

import gc
import itertools
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from importer.copies import facts
from importer.copies.facts import Facts
from importer.copies.reading import Reader
from importer.copies.seen import CLAIMS, UNKNOWN
from importer.copies.strategies import OWN_REASONS, REASONS, reasons, strategies
from importer.copies.watcher import OF_AN_IMAGE
from tests.copies.stage import CEPH, EVERY, LVM, V2, GiB, Stage
from tests.servers import large
from tests.servers.cdi.scripted import Clone
from tests.servers.longhorn.scripted import Cloned, volume

HOSTILE = ("x" * 70_000, 'a"} 1\nforged{b="', "\x00\x1b[31m", "copy ", "Copy", "../..", "💣")


def exported(there: Stage) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Return every series of copies."""
    return {
        (sample.name, frozenset(sample.labels.items()))
        for family in there.metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith("importer_cop")
    }


async def test_series_are_classes_times_a_fixed_set(there: Stage) -> None:
    """From the first scrape on there are all that a class can ever have, each at 0."""
    before = exported(there)
    ways = sum(len(strategies(one.engine)) for one in (V2, CEPH, LVM))
    assert len({labels for name, labels in before if name == "importer_copy_active"}) == ways
    most = max(len(reasons(one)) for one in strategies(V2.engine))
    assert len(before) <= ways * (2 + 3 + 2 + most)


async def test_hostile_annotations_are_no_labels(there: Stage) -> None:
    """Strategies, phases, errors and classes that nobody knows make no series."""
    there.golden(CEPH, GiB)
    volume(there.kubernetes, "golden", GiB)
    before = exported(there)
    for number, text in enumerate(HOSTILE):
        one = Clone(there.kubernetes, f"vm-{number}", "ceph", GiB, kind=text)
        one.begin()
        one.phase("HostClone", text)
        known = Clone(there.kubernetes, f"known-{number}", "ceph", GiB, kind="copy")
        known.begin()
        known.phase("HostClone", text)
        known.fail(text)
    for _ in range(2):
        await there.look()
        there.clock.advance(100)
    assert exported(there) == before
    assert {copy.reason for copy in there.copies.recent()} <= {*REASONS, "deleted"}


async def test_classes_that_are_none_share_one_label(there: Stage) -> None:
    """A claim may name any class; those that the cluster does not have are one."""
    before = {dict(labels).get("storage_class") for _, labels in exported(there)}
    for number, text in enumerate(HOSTILE):
        one = Clone(there.kubernetes, f"vm-{number}", text, GiB)
        one.begin()
        one.phase("HostClone", "10.00%")
    await there.look()
    after = {dict(labels).get("storage_class") for _, labels in exported(there)}
    assert after - before == {UNKNOWN}
    assert len(there.copies.running()) == len(HOSTILE)


async def test_attempts_without_end_make_few_copies(there: Stage) -> None:
    """An absurd number of tries is cut; the uid and the texts of a copy are short lines."""
    volume(there.kubernetes, "golden", GiB)
    two = Cloned(there.kubernetes, "copy", "golden", GiB)
    two.begin()
    two.initiate(attempt=10**9)
    two.fail("\n".join(HOSTILE))
    await there.look()
    over = there.copies.recent()
    assert len(over) <= 20
    for copy in over:
        assert all(len(text) <= 300 for text in (copy.error or "", copy.source, copy.phase or ""))
        assert (copy.error or "").isprintable()


@pytest.mark.parametrize("text", ["nan%", "inf%", "-5%", "1e999%", "", "N/A", "%", "12,5%"])
def test_percentages_that_are_none(text: str) -> None:
    """What is no share of a whole is not told, or the nearest that is."""
    assert facts.percent(text) in (None, 0.0)


def test_every_reason_is_a_word() -> None:
    """Reasons are few and plain, so that alerts can name them."""
    assert all(one.replace("-", "").isalpha() for one in (*REASONS, *OWN_REASONS))
    assert OF_AN_IMAGE != UNKNOWN


def kept(keep: Any, made: Iterator[dict[str, Any]], count: int) -> float:
    """Return the bytes that stay in memory of each object."""
    gc.collect()
    tracemalloc.start()
    try:
        held = [keep(one) for one in itertools.islice(made, count)]
        gc.collect()
        return tracemalloc.get_traced_memory()[0] / len(held)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("keep", "make"),
    [
        (facts.claim, large.claim),
        (facts.data_volume, large.data_volume),
        (facts.volume, large.volume),
    ],
)
def test_little_is_kept_of_each_object(keep: Any, make: Any) -> None:
    """Two thousand of each are under six megabytes, whatever else they carry."""
    assert kept(keep, map(make, itertools.count()), 400) < 1024


def test_copies_that_are_counted_cost_no_look() -> None:
    """Of two thousand that are over none is made anything of, however often something changes."""
    claims = [facts.claim(large.claim(number)) for number in range(2000)]
    running = replace(claims[0], uid="new", name="new", phase="HostClone", volume="")
    found = Facts(claims=[*claims, running], watched=EVERY)
    counted = {one.uid: (CLAIMS, "") for one in claims}
    seen = Reader().read(found, {"ceph": CEPH}, counted).seen
    assert list(seen) == ["new"]


async def test_counted_uids_go_with_their_objects(there: Stage) -> None:
    """What is remembered so as not to be counted again is forgotten once nobody can see it."""
    for number in range(3):
        one = Clone(there.kubernetes, f"vm-{number}", "ceph", GiB, kind="copy")
        one.begin()
        one.phase("HostClone")
        await there.look()
        one.succeed()
        await there.look()
        one.delete()
    there.clock.advance(3600)
    await there.look()
    assert there.ended(CEPH, "host-assisted") == {("done", ""): 3}
    await there.stop()
    await there.start()
    assert there.copies._counted == {}


async def test_many_copies_are_shown_in_part(there: Stage) -> None:
    """The last five hundred are kept, in memory and on disk; the totals are of all."""
    for number in range(510):
        one = Cloned(there.kubernetes, f"copy-{number}", "golden", GiB)
        one.begin()
        one.initiate()
    await there.look()
    for number in range(510):
        Cloned(there.kubernetes, f"copy-{number}", "golden", GiB).copied()
    await there.look()
    assert len(there.copies.recent(10_000)) == 500
    of = replace(V2, name=UNKNOWN, backend=UNKNOWN)
    assert there.ended(of, "full-copy") == {("done", ""): 510}
    await there.stop()
    await there.start()
    assert len(there.copies.recent(10_000)) == 500
    assert there.ended(of, "full-copy") == {("done", ""): 510}
