"""What Prometheus works out beforehand: rates, seconds, shares and failures of each storage class.

Everything is told of the last day and, beside it, of the week before that day: `:1d` and
`:week_before`. Both together reach back eight days. What is of this very moment has its own window
in its name. Bytes and seconds; a class that did nothing has no value, where 0 / 0 would be told.
"""

from dataclasses import dataclass

CLASS = "backend, storage_class, engine"
"""Labels that everything has: where it happened."""


FAILED_IMPORTS = 'importer_images_total{outcome="failed"}'
FAILED_COPIES = 'importer_copies_total{outcome="failed", strategy!="import"}'
"""Imports of this service are copies too: their failures have reasons of their own, above."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One series for each set of labels."""

    name: str
    expr: str


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time, and what the names of its recordings end in."""

    name: str
    days: int
    ended: str = ""
    """How long ago, as PromQL's modifier."""

    def grown(self, series: str, by: str = CLASS) -> str:
        """Return by how much counters grew in it, summed up *by* labels."""
        return f"sum by ({by}) (increase({series}[{self.days}d]{self.ended}))"


DAY = Period("1d", 1)
WEEK_BEFORE = Period("week_before", 7, " offset 1d")


def ratio(of: str, to: str, on: str = "") -> str:
    """Return PromQL for *of* divided by *to*, where that is more than nothing."""
    return f"  {of}\n/ {on}\n  ({to} > 0)" if on else f"  {of}\n/\n  ({to} > 0)"


def _imports(period: Period) -> list[Recording]:
    transferring = 'importer_phase_seconds_sum{phase="Transferring"}'
    made = 'importer_phase_seconds_sum{phase=~"Transferring|Processing", outcome="done"}'
    return [
        # What the way to the class carries.
        Recording(
            f"storage_class:importer_wire_bytes_per_second:{period.name}",
            ratio(
                period.grown('importer_bytes_total{hop="wire"}'),
                period.grown(transferring),
            ),
        ),
        # What whoever waits for a disk gets of it: zeros count, and so does the target's own work.
        Recording(
            f"storage_class:importer_guest_bytes_per_second:{period.name}",
            ratio(
                period.grown('importer_bytes_total{hop=~"written|skipped"}'),
                period.grown(made),
            ),
        ),
        Recording(
            f"storage_class:importer_imports:{period.name}",
            period.grown('importer_images_total{outcome="ready"}'),
        ),
    ]


def _copies(period: Period) -> list[Recording]:
    # What was measured and what follows from a percentage are never added up.
    way = f"{CLASS}, strategy, basis"
    return [
        Recording(
            f"storage_class:importer_copy_bytes_per_second:{period.name}",
            ratio(
                period.grown("importer_copy_bytes_total", way),
                period.grown("importer_copy_seconds_total", way),
            ),
        ),
        Recording(
            f"storage_class:importer_copies:{period.name}",
            period.grown('importer_copies_total{outcome="done"}', f"{CLASS}, strategy"),
        ),
    ]


def _phases(period: Period) -> list[Recording]:
    phase = f"{CLASS}, phase"
    return [
        Recording(
            f"storage_class:importer_phase_seconds:mean_{period.name}",
            ratio(
                period.grown("importer_phase_seconds_sum", phase),
                period.grown("importer_phase_seconds_count", phase),
            ),
        )
    ]


def _stalls(period: Period) -> list[Recording]:
    # Of the time in which bytes could flow. What is left over is the service's own work.
    flowing = 'importer_phase_seconds_sum{phase=~"Inspecting|Transferring"}'
    return [
        Recording(
            f"storage_class:importer_stall:share_{period.name}",
            ratio(
                period.grown("importer_stall_seconds_total", f"{CLASS}, side"),
                period.grown(flowing),
                f"on ({CLASS}) group_left ()",
            ),
        )
    ]


def _failures(period: Period) -> list[Recording]:
    why = {
        "imports": (FAILED_IMPORTS, f"{CLASS}, reason"),
        "copies": (FAILED_COPIES, f"{CLASS}, strategy, reason"),
    }
    per_day = f" / {period.days}" if period.days > 1 else ""
    return [
        Recording(
            f"storage_class:importer_failed_{what}:{period.name}",
            f"{period.grown(series, by)}{per_day} > 0",
        )
        for what, (series, by) in why.items()
    ]


def beside_last_week() -> list[Recording]:
    """Return what is told of the last day and of the week before."""
    return [
        recording
        for period in (DAY, WEEK_BEFORE)
        for told in (_imports, _copies, _phases, _stalls, _failures)
        for recording in told(period)
    ]


def live() -> list[Recording]:
    """Return what is told of the last minutes."""
    flowing = 'avg_over_time(importer_active_images{phase=~"Inspecting|Transferring"}[15m])'
    return [
        Recording(
            "storage_class:importer_bytes:rate5m",
            f"sum by ({CLASS}, hop) (rate(importer_bytes_total[5m]))",
        ),
        # A copy is counted when it is over, all of it at once: no rate of a few minutes is true.
        Recording(
            "storage_class:importer_copy_bytes_per_second:1h",
            ratio(
                f"sum by ({CLASS}, strategy, basis) (increase(importer_copy_bytes_total[1h]))",
                f"sum by ({CLASS}, strategy, basis) (increase(importer_copy_seconds_total[1h]))",
            ),
        ),
        # Seconds per second that a side was waited for, of the imports that ran: counted as they
        # pass, where the seconds of a phase are only known when it is over.
        Recording(
            "storage_class:importer_stall:share_15m",
            ratio(
                f"sum by ({CLASS}, side) (rate(importer_stall_seconds_total[15m]))",
                f"sum by ({CLASS}) ({flowing})",
                f"on ({CLASS}) group_left ()",
            ),
        ),
    ]
