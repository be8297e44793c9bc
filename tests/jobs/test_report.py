"""Storage classes side by side, from images and copies that are there."""

from datetime import UTC, datetime
from typing import Any

from importer.jobs.report import RECENT, ClassReport, Imports, imports_of, reports
from importer.model import (
    CopyTotals,
    Image,
    Phase,
    PhaseTime,
    Problem,
    Spec,
    Status,
    StorageClass,
    UploadSource,
)
from importer.units import GiB

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
SLOW = StorageClass(name="slow", provisioner="p", backend="cdi", engine="lvm")


def image(phase: Phase, seconds: dict[Phase, float], **status: Any) -> Image:
    """Return an image of class ``slow`` with a disk of 1 GiB."""
    phases = tuple(PhaseTime(name=n, started_at=BEGAN, seconds=s) for n, s in seconds.items())
    whole = Status(phase=phase, phases=phases, virtual_size=GiB, **status)
    spec = Spec(source=UploadSource(), storage_class="slow")
    return Image(name="disk", created_at=BEGAN, spec=spec, status=whole)


def ready(transferring: float, processing: float = 1.0) -> Image:
    return image(
        Phase.READY,
        {Phase.PENDING: 99.0, Phase.TRANSFERRING: transferring, Phase.PROCESSING: processing},
    )


def failed(slug: str) -> Image:
    error = Problem(slug=slug, side="target", retryable=False, message="no")
    return image(Phase.FAILED, {Phase.PREPARING: 5.0}, error=error)


def totals(name: str = "slow", **fields: Any) -> CopyTotals:
    return CopyTotals(
        **{"strategy": "csi-clone", **fields},
        storage_class=name,
        engine="lvm",
        backend="cdi",
        basis="inferred",
    )


def test_a_class_with_nothing() -> None:
    """Zeros and nulls, and no strategy that was never used."""
    assert reports([SLOW], [], [totals()]) == [
        ClassReport(storage_class="slow", backend="cdi", engine="lvm", imports=Imports())
    ]


def test_the_rate_is_the_median_of_whole_imports() -> None:
    """Of all their phases but the waiting; one odd import moves it little."""
    found = imports_of([ready(1.0), ready(3.0), ready(99.0)])
    assert (found.ready, found.bytes_per_second) == (3, GiB / 4)


def test_only_recent_imports_make_the_rate() -> None:
    """A class that was slow a long time ago is not slow now."""
    found = imports_of([ready(99.0)] * RECENT * 2 + [ready(1.0)] * RECENT)
    assert (found.ready, found.bytes_per_second) == (3 * RECENT, GiB / 2)


def test_the_slowest_phase_has_its_share() -> None:
    """On average, of the time of all; waiting for a worker is no phase of the class."""
    slowest = imports_of([ready(1.0, 3.0), ready(2.0, 4.0)]).slowest_phase
    assert slowest
    assert (slowest.name, slowest.seconds, slowest.share) == ("Processing", 3.5, 0.7)


def test_failures_are_counted_by_their_slug() -> None:
    """Those that are failed now."""
    found = imports_of([failed("no-space"), ready(1.0), failed("no-space"), failed("target-busy")])
    assert (found.failed, found.failures) == (3, {"no-space": 2, "target-busy": 1})


def test_copies_by_strategy() -> None:
    """A rate that nobody knows is null, not 0."""
    used = totals(done=2, bytes_per_second=5.0)
    runs = totals(strategy="snapshot", active=1, remaining=7)
    (report,) = reports([SLOW], [], [used, runs, totals(strategy="full-copy")])
    found = [(one.strategy, one.done, one.active, one.bytes_per_second) for one in report.copies]
    assert found == [("csi-clone", 2, 0, 5.0), ("snapshot", 0, 1, None)]


def test_a_class_that_is_gone_keeps_its_copies() -> None:
    """What was counted on it is told still; one that never had any is not."""
    found = reports([SLOW], [], [totals("gone", done=1), totals("never")])
    assert [one.storage_class for one in found] == ["slow", "gone"]
