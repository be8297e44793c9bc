"""Grafana's panels as JSON, as far as the dashboard has need of them.

Sizes are Grafana's: a row is 24 wide. Source: grafana.com/docs/grafana/v10.4/dashboards/
build-dashboards/view-dashboard-json-model; schema 39 is that of Grafana 10.4 and 11, which older
and newer ones migrate.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

Json = dict[str, Any]

SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
"""Where everything is asked: the data source that the dashboard's first variable names."""

WIDTH = 24


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus."""

    expr: str
    legend: str = ""
    """What a line is called, with labels in ``{{ }}``."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture, and the question that it answers."""

    title: str
    answers: str
    queries: Sequence[Query]
    unit: str = "short"
    """One of Grafana's: ``binBps``, ``bytes``, ``s``, ``percentunit``, ``short``."""

    kind: Literal["timeseries", "stat", "bargauge", "table"] = "timeseries"
    width: int = 12
    height: int = 8
    options: Json = field(default_factory=dict)
    defaults: Json = field(default_factory=dict)
    """Of its fields."""

    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A line of panels below a heading."""

    title: str
    panels: Sequence[Panel]


def laid_out(rows: Iterable[Row]) -> list[Json]:
    """Return the panels of *rows* with their places: from left to right, top to bottom."""
    made: list[Json] = []
    numbers, top = count(1), 0
    for row in rows:
        made.append(_heading(row.title, next(numbers), top))
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            at = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            made.append({"id": next(numbers), "gridPos": at, **_panel(panel)})
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return made


def _heading(title: str, number: int, top: int) -> Json:
    at = {"h": 1, "w": WIDTH, "x": 0, "y": top}
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": at,
        "panels": [],
    }


def _panel(panel: Panel) -> Json:
    defaults = {"unit": panel.unit, "custom": _CUSTOM[panel.kind], **panel.defaults}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.answers,
        "datasource": SOURCE,
        "targets": [_target(panel, *pair) for pair in zip("ABCDEFGH", panel.queries, strict=False)],
        "fieldConfig": {"defaults": defaults, "overrides": list(panel.overrides)},
        "options": {**_OPTIONS[panel.kind], **panel.options},
        "transformations": list(panel.transformations),
    }


def _target(panel: Panel, letter: str, query: Query) -> Json:
    is_instant = panel.kind != "timeseries"
    return {
        "refId": letter,
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "format": "table" if panel.kind == "table" else "time_series",
        "instant": is_instant,
        "range": not is_instant,
    }


_CUSTOM: dict[str, Json] = {
    "timeseries": {
        "drawStyle": "line",
        "fillOpacity": 10,
        "lineWidth": 1,
        "showPoints": "auto",
        # Minutes between scrapes are no gap, hours are.
        "spanNulls": 600_000,
    },
    "stat": {},
    "bargauge": {},
    "table": {"align": "auto", "cellOptions": {"type": "auto"}},
}

_LAST: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}

_OPTIONS: dict[str, Json] = {
    "timeseries": {
        "legend": {
            "calcs": ["lastNotNull", "max"],
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": _LAST,
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
    },
    "bargauge": {
        "reduceOptions": _LAST,
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
}
