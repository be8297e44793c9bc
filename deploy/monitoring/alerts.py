"""What somebody should be told of. docs/runbooks/ has a page for each, by its name."""

from dataclasses import dataclass
from textwrap import dedent
from typing import Literal

from deploy.monitoring.recordings import CLASS, FAILED_COPIES, FAILED_IMPORTS

JOB = "(image-)?importer"
"""Name of the service's job in Prometheus, as a pattern: that of docs/monitoring.md, and that which
the ServiceMonitor gives it."""

SLOWER = 0.7
"""Of last week's rate: below this a class is slower. Two days of one class differ by a fifth."""

ENOUGH = (5, 10)
"""Of the last day, and of the week before: what must have been made to say so."""


@dataclass(frozen=True, slots=True)
class Alert:
    """When *expr* has had a value for as long as *lasts*."""

    name: str
    severity: Literal["critical", "warning", "info"]
    lasts: str
    summary: str
    expr: str


def _slower(rate: str, made: str, of: str = "", match: str = "") -> str:
    """Return PromQL for a rate below its own of last week, where enough was made to say so."""
    day, week = ENOUGH
    both = f"\nand {match}\n  " if match else "\nand\n  "
    return both.join(
        [
            f"{rate}:1d{of} < {SLOWER} * {rate}:week_before",
            f"{made}:1d > {day - 0.5}",
            f"{made}:week_before > {week - 0.5}",
        ]
    )


def _failed(series: str, labels: str, times: int) -> str:
    return f"sum by ({CLASS}, {labels}) (increase({series}[1h])) > {times - 0.5}"


_WHERE = "{{ $labels.storage_class }} ({{ $labels.engine }})"
_BY = "{{ $labels.strategy }} on " + _WHERE


ALERTS = [
    Alert(
        "ImporterDown",
        "critical",
        "3m",
        "The importer does not answer Prometheus",
        f'up{{job=~"{JOB}"}} == 0 or absent(up{{job=~"{JOB}"}})',
    ),
    Alert(
        "ImporterCopyWatchBlind",
        "warning",
        "10m",
        "Copies are not seen: {{ $labels.resource }} cannot be watched",
        # What was never seen is not installed, but for what every cluster has.
        dedent("""\
            importer_copy_watch_up == 0
            and
            (
              max_over_time(importer_copy_watch_up[7d]) == 1
              or
              importer_copy_watch_up{resource=~"persistentvolumeclaims|storageclasses"}
            )"""),
    ),
    Alert(
        "ImporterCopyStuck",
        "warning",
        "5m",
        f"A copy by {_BY} has shown no progress for {{{{ $value | humanizeDuration }}}}",
        "importer_copy_idle_seconds > 1800",
    ),
    Alert(
        "ImporterImportStuck",
        "warning",
        "5m",
        f"An import to {_WHERE} has moved no byte for a quarter of an hour",
        dedent("""\
            sum by (backend, storage_class, engine)
              (min_over_time(importer_active_images{phase="Transferring"}[15m])) > 0
            and
            sum by (backend, storage_class, engine)
              (increase(importer_bytes_total{hop=~"source|wire"}[15m])) == 0"""),
    ),
    Alert(
        "ImporterImportsSlower",
        "warning",
        "30m",
        f"Imports to {_WHERE} are slower than last week: {{{{ $value | humanize1024 }}}}B/s",
        _slower("storage_class:importer_wire_bytes_per_second", "storage_class:importer_imports"),
    ),
    Alert(
        "ImporterCopiesSlower",
        "warning",
        "30m",
        f"Copies by {_BY} are slower than last week: {{{{ $value | humanize1024 }}}}B/s "
        "({{ $labels.basis }})",
        _slower(
            "storage_class:importer_copy_bytes_per_second",
            "storage_class:importer_copies",
            '{strategy!="import"}',  # those have the alert above
            f"on ({CLASS}, strategy)",
        ),
    ),
    Alert(
        "ImporterImportsFail",
        "warning",
        "0m",
        f"Imports to {_WHERE} fail: {{{{ $labels.reason }}}}, "
        '{{ $value | printf "%.0f" }} in an hour',
        _failed(FAILED_IMPORTS, "reason", times=3),
    ),
    Alert(
        "ImporterCopiesFail",
        "warning",
        "0m",
        f"Copies by {_BY} fail: {{{{ $labels.reason }}}}, "
        '{{ $value | printf "%.0f" }} in an hour',
        _failed(FAILED_COPIES, "strategy, reason", times=2),
    ),
    Alert(
        "ImporterTargetBound",
        "info",
        "15m",
        f"Imports to {_WHERE} wait for it {{{{ $value | humanizePercentage }}}} of the time",
        'storage_class:importer_stall:share_15m{side="target"} > 0.8',
    ),
    Alert(
        "ImporterSourceBound",
        "info",
        "15m",
        f"Imports to {_WHERE} wait for their sources "
        "{{ $value | humanizePercentage }} of the time",
        'storage_class:importer_stall:share_15m{side="source"} > 0.8',
    ),
]
