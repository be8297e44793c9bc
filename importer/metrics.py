"""What Prometheus scrapes. Bytes and seconds only; Prometheus makes the rates.

docs/metrics.md lists the names. No image's name is ever a label, so the number of series is that
of the storage classes times a fixed set. That set is there from the first scrape on, at 0: a series
that began with its first event would hide it from Prometheus' increase().
"""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from importer import __version__
from importer.errors import ImageNotInOrder, ImporterError
from importer.model import OVER, Phase, StorageClass
from importer.units import MiB

_CLASS = ("backend", "storage_class", "engine")

_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200)
_RATES = tuple(MiB * n for n in (1, 2, 5, 10, 20, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12800))

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

HOPS = ("source", "wire", "written", "skipped")
SIDES = ("source", "target")
PHASES = tuple(phase for phase in Phase if phase not in OVER)
OUTCOMES = ("done", "retried", "failed", "cancelled")

_COPY = (*_CLASS, "strategy")


def _every(error: type[ImporterError]) -> Iterator[type[ImporterError]]:
    yield error
    for child in error.__subclasses__():
        yield from _every(child)


REASONS = {error.slug: error.side for error in _every(ImporterError)}
"""Side of every reason there is. One that is none of these is counted as `internal`."""

RETRIED = tuple(
    error.slug for error in _every(ImporterError) if error.retryable or error is ImageNotInOrder
)
"""Reasons for which a try is made again."""


class Metrics:
    """Every metric of one service, in a registry of its own."""

    def __init__(self) -> None:
        # A _created series beside every other one would double their number.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._bytes = Counter(
            "importer_bytes",
            "Bytes past each hop; skipped: zeros that were not moved",
            (*_CLASS, "hop"),
            registry=self.registry,
        )
        self._phases = Histogram(
            "importer_phase_seconds",
            "Seconds that a phase took",
            (*_CLASS, "phase", "outcome"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._rate = Histogram(
            "importer_transfer_bytes_per_second",
            "Guest bytes per second of a finished transfer",
            _CLASS,
            buckets=_RATES,
            registry=self.registry,
        )
        self._stalls = Counter(
            "importer_stall_seconds",
            "Seconds in which one side waited for the other; side: who was waited for",
            (*_CLASS, "side"),
            registry=self.registry,
        )
        self._images = Counter(
            "importer_images",
            "Imports that ended",
            (*_CLASS, "outcome", "reason"),
            registry=self.registry,
        )
        self._active = Gauge(
            "importer_active_images",
            "Imports that wait or run",
            (*_CLASS, "phase"),
            registry=self.registry,
        )
        self._retries = Counter(
            "importer_retries",
            "Tries that failed and were tried again",
            (*_CLASS, "side", "reason"),
            registry=self.registry,
        )
        self._ready: set[tuple[str, str, str]] = set()
        self.copies = CopyMetrics(self.registry)
        build = Gauge("importer_build_info", "Always 1", ("version",), registry=self.registry)
        build.labels(__version__).set(1)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def of(self, storage_class: StorageClass) -> "ClassMetrics":
        """Return the metrics of one storage class."""
        return ClassMetrics(self, storage_class)


class ClassMetrics:
    """The metrics of one storage class, its labels filled in."""

    def __init__(self, metrics: Metrics, storage_class: StorageClass) -> None:
        self._all = metrics
        self._class = (storage_class.backend, storage_class.name, storage_class.engine)
        if self._class not in metrics._ready:
            metrics._ready.add(self._class)
            self._begin()

    def _begin(self) -> None:
        """Let every series of the class begin at 0."""
        of, every = self._class, self._all
        every._rate.labels(*of)
        for hop in HOPS:
            every._bytes.labels(*of, hop)
        for side in SIDES:
            every._stalls.labels(*of, side)
        for phase, outcome in product(PHASES, OUTCOMES):
            every._phases.labels(*of, phase.value, outcome)
        for phase in PHASES:
            every._active.labels(*of, phase.value)
        for outcome, reason in (("ready", ""), ("cancelled", ""), *product(["failed"], REASONS)):
            every._images.labels(*of, outcome, reason)
        for reason in RETRIED:
            every._retries.labels(*of, REASONS[reason], reason)

    def passed(self, hop: str, size: int) -> None:
        """Count *size* bytes past *hop*: source, wire, written or skipped."""
        self._all._bytes.labels(*self._class, hop).inc(size)

    def phase(self, phase: Phase, outcome: str, seconds: float) -> None:
        """Record that *phase* ended as *outcome* (done, retried, failed, cancelled)."""
        self._all._phases.labels(*self._class, phase.value, outcome).observe(seconds)

    def entered(self, phase: Phase) -> None:
        """An image is in *phase* now."""
        if phase not in OVER:
            self._all._active.labels(*self._class, phase.value).inc()

    def left(self, phase: Phase) -> None:
        """An image is in *phase* no more."""
        if phase not in OVER:
            self._all._active.labels(*self._class, phase.value).dec()

    def transferred(self, guest_bytes: int, seconds: float) -> None:
        """Record the rate of a transfer that came to its end."""
        self._all._rate.labels(*self._class).observe(guest_bytes / max(seconds, 1e-3))

    def stalled(self, side: str, seconds: float) -> None:
        """Count *seconds* in which *side*, source or target, was waited for."""
        self._all._stalls.labels(*self._class, side).inc(seconds)

    def ended(self, outcome: str, reason: str = "") -> None:
        """Count an import that ended; *reason* is the error's slug."""
        self._all._images.labels(*self._class, outcome, reason and _known(reason)).inc()

    def retried(self, reason: str) -> None:
        """Count a try that failed and is tried again; *reason* is the error's slug."""
        reason = _known(reason)
        self._all._retries.labels(*self._class, REASONS[reason], reason).inc()


CopyLabels: TypeAlias = tuple[str, str, str, str]
"""Backend, storage class, engine, strategy."""


class CopyMetrics:
    """Copies of volumes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._bytes = Counter(
            "importer_copy_bytes",
            "Bytes of copies that are over; of whole copies, exact",
            (*_COPY, "basis"),
            registry=registry,
        )
        self._seconds = Counter(
            "importer_copy_seconds",
            "Seconds that those bytes took, from the first to the last",
            (*_COPY, "basis"),
            registry=registry,
        )
        self._ended = Counter(
            "importer_copies",
            "Copies that are over",
            (*_COPY, "outcome", "reason"),
            registry=registry,
        )
        self._active = Gauge("importer_copy_active", "Copies that run", _COPY, registry=registry)
        self._remaining = Gauge(
            "importer_copy_remaining_bytes",
            "Bytes that running copies have left; a hint where it comes from a percentage",
            _COPY,
            registry=registry,
        )
        self._idle = Gauge(
            "importer_copy_idle_seconds",
            "Longest time for which a running copy has made no progress that anybody told of",
            _COPY,
            registry=registry,
        )
        self._up = Gauge(
            "importer_copy_watch_up",
            "Whether a kind of object that tells of copies can be watched",
            ("resource",),
            registry=registry,
        )
        self._since: dict[CopyLabels, float | None] = {}
        self.clock: Callable[[], float] = time.time
        """Seconds since 1970."""

    def begin(self, of: CopyLabels, basis: str, reasons: Iterable[str]) -> None:
        """Let every series of *of* begin at 0; *reasons*: why its copies can fail."""
        self.count(of, basis, 0, 0.0)
        for outcome, reason in (("done", ""), ("deleted", ""), *product(["failed"], reasons)):
            self.ended(of, outcome, reason, 0)
        self.live(of, 0, 0, None)

    def count(self, of: CopyLabels, basis: str, size: int, seconds: float) -> None:
        """Count *size* bytes that took *seconds*."""
        self._bytes.labels(*of, basis).inc(size)
        self._seconds.labels(*of, basis).inc(seconds)

    def ended(self, of: CopyLabels, outcome: str, reason: str, copies: int = 1) -> None:
        """Count *copies* that ended as *outcome*: done, failed, deleted."""
        self._ended.labels(*of, outcome, reason).inc(copies)

    def live(self, of: CopyLabels, active: int, remaining: int, since: float | None) -> None:
        """Say what runs; *since*: when the one that is stuck the longest last made progress,
        in seconds since 1970."""
        self._active.labels(*of).set(active)
        self._remaining.labels(*of).set(remaining)
        if of not in self._since:
            self._idle.labels(*of).set_function(lambda: self._idle_seconds(of))
        self._since[of] = since

    def up(self, resource: str, is_up: bool) -> None:
        """Say whether *resource* can be watched."""
        self._up.labels(resource).set(is_up)

    def _idle_seconds(self, of: CopyLabels) -> float:
        # Asked when Prometheus scrapes, so that nothing need happen for time to pass.
        since = self._since[of]
        return 0.0 if since is None else max(0.0, self.clock() - since)


def _known(reason: str) -> str:
    return reason if reason in REASONS else ImporterError.slug
