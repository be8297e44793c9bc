"""Grafana's dashboard: how fast, which phase, whose side, what failed, worse than last week?

What is compared comes from the recordings; what a panel answers stands in its description.
"""

import json
from typing import Any

from deploy.monitoring.alerts import JOB
from deploy.monitoring.panels import Json, Panel, Query, Row, laid_out
from deploy.monitoring.recordings import FAILED_COPIES, FAILED_IMPORTS

CLASSES = 'storage_class=~"$storage_class", engine=~"$engine"'
"""What the dashboard's variables choose."""

WAYS = f'{CLASSES}, strategy=~"$strategy"'
CLASS = "{{storage_class}} ({{engine}})"
WAY = "{{storage_class}} ({{engine}}) {{strategy}}"

RATE = "storage_class:importer_wire_bytes_per_second"
GUEST = "storage_class:importer_guest_bytes_per_second"
COPIED = "storage_class:importer_copy_bytes_per_second"
MEAN = "storage_class:importer_phase_seconds:mean"
STALL = "storage_class:importer_stall:share"
FAILED = "storage_class:importer_failed"

_ANYTHING = '{__name__=~"importer_active_images|importer_copies_total"}'
"""Imports or copies: each has classes that the other may not have."""

_GREEN_IF_UP: Json = {
    "mappings": [
        {
            "type": "value",
            "options": {
                "0": {"text": "down", "color": "red", "index": 0},
                "1": {"text": "up", "color": "green", "index": 1},
            },
        }
    ]
}
_RED_IF_ANY: Json = {
    "color": {"mode": "thresholds"},
    "thresholds": {
        "mode": "absolute",
        "steps": [{"color": "green", "value": None}, {"color": "red", "value": 1}],
    },
}
_SHARE: Json = {"min": 0, "max": 1}


def _stat(title: str, answers: str, expr: str, unit: str = "short", **more: Json) -> Panel:
    return Panel(title, answers, [Query(expr)], unit, "stat", 3, 4, defaults=more.get("look", {}))


def _now() -> Row:
    running = f'importer_active_images{{{CLASSES}, phase!="Pending"}}'
    failed = [
        f"sum(increase({series.replace('{', f'{{{CLASSES}, ')}[1d]))"
        for series in (FAILED_IMPORTS, FAILED_COPIES)
    ]
    return Row(
        "Now",
        [
            _stat("Service", "Does it answer?", f'min(up{{job=~"{JOB}"}})', look=_GREEN_IF_UP),
            Panel(
                "Copies are seen on",
                "Which kinds of objects are watched? Down: not installed, or not to be read.",
                [Query("min by (resource) (importer_copy_watch_up)", "{{resource}}")],
                kind="stat",
                width=8,
                height=4,
                options={"textMode": "value_and_name"},
                defaults=_GREEN_IF_UP,
            ),
            _stat("Imports that run", "How many have a worker?", f"sum({running})"),
            _stat("Copies that run", "How many?", f"sum(importer_copy_active{{{WAYS}}})"),
            _stat(
                "Left to copy",
                "Bytes of the copies that run, as far as their sizes are known.",
                f"sum(importer_copy_remaining_bytes{{{WAYS}}})",
                "bytes",
            ),
            _stat(
                "Failed in a day",
                "Imports and copies; below is why.",
                " + ".join(f"({one} or vector(0))" for one in failed),
                look=_RED_IF_ANY,
            ),
        ],
    )


def _speed() -> Row:
    return Row(
        "How fast is each class?",
        [
            Panel(
                "Imports: bytes that come in",
                "How fast are images read just now, by class?",
                [Query(f'storage_class:importer_bytes:rate5m{{{CLASSES}, hop="source"}}', CLASS)],
                "binBps",
            ),
            Panel(
                "Imports: bytes that go out",
                "How fast are they sent to the class, in the form in which they travel?",
                [Query(f'storage_class:importer_bytes:rate5m{{{CLASSES}, hop="wire"}}', CLASS)],
                "binBps",
            ),
            Panel(
                "Copies, measured",
                "How fast were the copies that ended within the hour? Their bytes were counted.",
                [Query(f'{COPIED}:1h{{{WAYS}, basis="measured"}}', WAY)],
                "binBps",
            ),
            Panel(
                "Copies, inferred",
                "The same, where bytes are known from the volume's size alone: not to be compared "
                "with what was measured.",
                [Query(f'{COPIED}:1h{{{WAYS}, basis="inferred"}}', WAY)],
                "binBps",
            ),
            _classes(),
            _ways(),
        ],
    )


def _classes() -> Panel:
    columns = {
        "Sent, last day": f"{RATE}:1d",
        "Sent, week before": f"{RATE}:week_before",
        "Disk, last day": f"{GUEST}:1d",
        "Disk, week before": f"{GUEST}:week_before",
        "Images": "storage_class:importer_imports:1d",
    }
    return _table(
        "Imports, class beside class",
        "Sent: bytes on the way to the class, over the seconds of transfers. Disk: what the guest "
        "sees, over the seconds from the first byte to Ready.",
        {title: f"{expr}{{{CLASSES}}}" for title, expr in columns.items()},
        ["storage_class", "engine"],
        plain={"Images"},
    )


def _ways() -> Panel:
    copies = f"storage_class:importer_copies:1d{{{WAYS}}}"
    # Counted without their basis; each row of the table has one.
    on_basis = (
        f"{COPIED}:1d{{{WAYS}}} * 0 + on (backend, storage_class, engine, strategy) "
        f"group_left () {copies}"
    )
    return _table(
        "Copies, class beside class",
        "How fast is each way to copy, is it slower than last week, and is that measured?",
        {
            "Last day": f"{COPIED}:1d{{{WAYS}}}",
            "Week before": f"{COPIED}:week_before{{{WAYS}}}",
            "Copies": on_basis,
        },
        ["storage_class", "engine", "strategy", "basis"],
        plain={"Copies"},
    )


def _phases() -> Row:
    phase = f"{CLASS} {{{{phase}}}}"
    return Row(
        "Which phase, and whose side?",
        [
            Panel(
                "Mean seconds of each phase, last day",
                "Which phase of an import is the slow one?",
                [Query(f"{MEAN}_1d{{{CLASSES}}}", phase)],
                "s",
                "bargauge",
                height=10,
            ),
            Panel(
                "Mean seconds of each phase, week before",
                "And was it so last week?",
                [Query(f"{MEAN}_week_before{{{CLASSES}}}", phase)],
                "s",
                "bargauge",
                height=10,
            ),
            Panel(
                "Waiting, just now",
                "Who is waited for while bytes could flow? What is missing to 100 % is the "
                "service's own work: hashing, expanding, packing.",
                [Query(f"{STALL}_15m{{{CLASSES}}}", f"{CLASS}: {{{{side}}}}")],
                "percentunit",
                defaults=_SHARE,
            ),
            Panel(
                "Waiting, last day and week before",
                "Is a class bound by itself or by the sources, and was it so last week?",
                [
                    Query(f"{STALL}_1d{{{CLASSES}}}", f"{CLASS}: {{{{side}}}}, last day"),
                    Query(f"{STALL}_week_before{{{CLASSES}}}", f"{CLASS}: {{{{side}}}}, before"),
                ],
                "percentunit",
                "bargauge",
                defaults=_SHARE,
            ),
            _slowest("Transferring"),
            _slowest("Processing"),
        ],
    )


def _slowest(phase: str) -> Panel:
    of = f'importer_phase_seconds_bucket{{{CLASSES}, phase="{phase}", outcome="done"}}'
    by = "sum by (le, storage_class, engine)"
    return Panel(
        f"{phase}: half of them, and nineteen of twenty, take at most",
        "How long does it take as a rule, and at worst? Of the last day.",
        [
            Query(f"histogram_quantile(0.5, {by} (increase({of}[1d])))", f"{CLASS} half"),
            Query(f"histogram_quantile(0.95, {by} (increase({of}[1d])))", f"{CLASS} 19 of 20"),
        ],
        "s",
    )


def _failures() -> Row:
    retries = f"importer_retries_total{{{CLASSES}}}"
    ended = f"importer_images_total{{{CLASSES}, outcome"
    return Row(
        "What failed, and why?",
        [
            Panel(
                "Imports that failed, last day",
                "Why? The reasons are those of docs/errors.md.",
                [Query(f"{FAILED}_imports:1d{{{CLASSES}}}", f"{CLASS}: {{{{reason}}}}")],
                kind="bargauge",
            ),
            Panel(
                "Copies that failed, last day",
                "Why? Imports by this service, which are copies too, are beside it.",
                [Query(f"{FAILED}_copies:1d{{{WAYS}}}", f"{WAY}: {{{{reason}}}}")],
                kind="bargauge",
            ),
            Panel(
                "Imports that failed, each day of the week before",
                "Is that more than it used to be?",
                [Query(f"{FAILED}_imports:week_before{{{CLASSES}}}", f"{CLASS}: {{{{reason}}}}")],
                kind="bargauge",
            ),
            Panel(
                "Copies that failed, each day of the week before",
                "Is that more than it used to be?",
                [Query(f"{FAILED}_copies:week_before{{{WAYS}}}", f"{WAY}: {{{{reason}}}}")],
                kind="bargauge",
            ),
            Panel(
                "Tried again, last hour",
                "What breaks and is mended without anybody's doing, and on whose side?",
                [
                    Query(
                        "sum by (storage_class, engine, side, reason) "
                        f"(increase({retries}[1h])) > 0",
                        f"{CLASS} {{{{side}}}}: {{{{reason}}}}",
                    )
                ],
            ),
            Panel(
                "Imports that became ready, of those that were not cancelled",
                "Which share succeeds? Of the last day.",
                [
                    Query(
                        f'sum by (storage_class, engine) (increase({ended}="ready"}}[1d])) / '
                        f'(sum by (storage_class, engine) (increase({ended}!="cancelled"}}[1d]))'
                        " > 0)",
                        CLASS,
                    )
                ],
                "percentunit",
                defaults=_SHARE,
            ),
        ],
    )


def _week() -> Row:
    def against(title: str, answers: str, rate: str, legend: str, labels: str = CLASSES) -> Panel:
        expr = f"{rate}1d{{{labels}}} / {rate}week_before{{{labels}}}"
        return Panel(title, answers, [Query(expr, legend)], "percentunit", defaults={"min": 0})

    return Row(
        "Is it worse than last week?",
        [
            against(
                "Imports: rate against last week's",
                "100 %: as last week. Below 70 %, with enough imports, there is an alert.",
                f"{RATE}:",
                CLASS,
            ),
            against(
                "Copies: rate against last week's",
                "100 %: as last week. Below 70 %, with enough copies, there is an alert.",
                f"{COPIED}:",
                f"{WAY}, {{{{basis}}}}",
                WAYS,
            ),
            against(
                "Phases: mean seconds against last week's",
                "Which phase made it slower? 200 %: twice as long.",
                f"{MEAN}_",
                f"{CLASS} {{{{phase}}}}",
            ),
            against(
                "Failed imports against last week's",
                "200 %: twice as many in a day.",
                f"{FAILED}_imports:",
                f"{CLASS}: {{{{reason}}}}",
            ),
        ],
    )


def _moving() -> Row:
    zeros = f"importer_bytes_total{{{CLASSES}, hop"
    return Row(
        "What moves, and what does not?",
        [
            Panel(
                "Imports by phase",
                "Where do they stand, and how many wait for a worker?",
                [
                    Query(
                        f"sum by (phase) (importer_active_images{{{CLASSES}}})",
                        "{{phase}}",
                    )
                ],
            ),
            Panel(
                "Copies: seconds without progress",
                "Does one hang? Of those without progress of their own, this is their age.",
                [Query(f"importer_copy_idle_seconds{{{WAYS}}}", WAY)],
                "s",
            ),
            Panel(
                "Copies: bytes left",
                "How much is still to be copied? A hint where it comes from a percentage.",
                [Query(f"importer_copy_remaining_bytes{{{WAYS}}}", WAY)],
                "bytes",
            ),
            Panel(
                "Zeros that were not moved",
                "Which share of the disks cost nothing? Of the last day.",
                [
                    Query(
                        f'sum by (storage_class, engine) (increase({zeros}="skipped"}}[1d])) / '
                        f"(sum by (storage_class, engine) "
                        f'(increase({zeros}=~"written|skipped"}}[1d])) > 0)',
                        CLASS,
                    )
                ],
                "percentunit",
                defaults=_SHARE,
            ),
        ],
    )


def _table(
    title: str, answers: str, columns: dict[str, str], keys: list[str], plain: set[str]
) -> Panel:
    """Return a table with a row for each set of *keys*, and *columns* of rates or plain numbers."""
    names = dict(zip((f"Value #{letter}" for letter in "ABCDEFGH"), columns, strict=False))
    return Panel(
        title,
        answers,
        [Query(expr) for expr in columns.values()],
        "binBps",
        "table",
        width=24,
        overrides=[
            {
                "matcher": {"id": "byName", "options": name},
                "properties": [{"id": "unit", "value": "short"}, {"id": "decimals", "value": 0}],
            }
            for name in sorted(plain)
        ],
        transformations=[
            {"id": "merge", "options": {}},
            {
                "id": "filterFieldsByName",
                "options": {"include": {"names": [*keys, *names]}},
            },
            {"id": "organize", "options": {"renameByName": names}},
        ],
    )


def _variable(name: str, label: str, metric: str) -> Json:
    query = f"label_values({metric}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": query, "refId": "values"},
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "sort": 1,
        "hide": 0,
        "options": [],
        "regex": "",
    }


def dashboard() -> Json:
    """Return the dashboard."""
    source = {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "current": {},
        "hide": 0,
        "options": [],
        "regex": "",
    }
    return {
        "uid": "image-importer",
        "title": "Image imports and volume copies",
        "description": "Made by `python -m deploy.monitoring`; docs/monitoring.md tells more.",
        "tags": ["image-importer", "storage"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timepicker": {},
        "fiscalYearStartMonth": 0,
        "weekStart": "",
        "links": [],
        "annotations": {"list": []},
        "templating": {
            "list": [
                source,
                _variable("storage_class", "Class", _ANYTHING),
                _variable("engine", "Engine", _ANYTHING),
                _variable("strategy", "Strategy", "importer_copies_total"),
            ]
        },
        "panels": laid_out([_now(), _speed(), _phases(), _failures(), _week(), _moving()]),
    }


def dashboard_file() -> str:
    """Return it as Grafana reads it."""
    made: Any = dashboard()
    return json.dumps(made, indent=1) + "\n"
