"""The dashboard is one that Grafana takes; tests/monitoring/test_prometheus.py asks its queries."""

import re
from itertools import combinations
from typing import Any

from deploy.monitoring.dashboard import dashboard
from deploy.monitoring.recordings import beside_last_week, live
from tests.docs.pages import page, section

PANELS: list[dict[str, Any]] = dashboard()["panels"]
SHOWN = [panel for panel in PANELS if panel["type"] != "row"]
QUERIES = " ".join(query["expr"] for panel in SHOWN for query in panel["targets"])


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    at = panel["gridPos"]
    return {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}


def test_panels_lie_beside_each_other() -> None:
    """No two overlap, none is wider than the page, and no number comes twice."""
    for one, other in combinations(PANELS, 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])
        assert one["id"] != other["id"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


def test_every_panel_says_what_it_answers() -> None:
    """Each has a title of its own, a description, a unit, and queries with letters of their own."""
    assert len({panel["title"] for panel in SHOWN}) == len(SHOWN)
    for panel in SHOWN:
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        letters = [query["refId"] for query in panel["targets"]]
        assert letters
        assert letters == sorted(set(letters))


def test_every_data_source_is_the_variable() -> None:
    """Nothing is bound to somebody's own Prometheus."""
    text = str(dashboard())
    assert re.findall(r"'type': 'prometheus', 'uid': '([^']*)'", text)
    assert set(re.findall(r"'type': 'prometheus', 'uid': '([^']*)'", text)) == {"${datasource}"}


def test_every_recording_is_shown() -> None:
    """What Prometheus works out beforehand is there to be seen, the alerts' counts too."""
    names = {recording.name for recording in (*live(), *beside_last_week())}
    of_alerts = {
        "storage_class:importer_imports:week_before",
        "storage_class:importer_copies:week_before",
    }
    assert {name for name in names if name not in QUERIES} == of_alerts


def test_variables_are_used() -> None:
    """Each variable narrows queries down, and no query has one that is not there."""
    names = {one["name"] for one in dashboard()["templating"]["list"]}
    assert set(re.findall(r"\$(\w+)", QUERIES)) == names - {"datasource"}


def test_panels_that_the_page_names_exist() -> None:
    """docs/monitoring.md speaks of rows and panels by their titles."""
    titles = [panel["title"] for panel in PANELS]
    labels = [one["label"] for one in dashboard()["templating"]["list"]]
    text = section(page("monitoring"), "## What the dashboard answers")
    named = re.findall(r"\*([A-Z][^*]+)\*(?!:)", text)
    assert len(named) > 8
    shown = [*titles, *labels, *columns()]
    assert [name for name in named if not any(one.startswith(name) for one in shown)] == []


def columns() -> list[str]:
    """Return what the tables' columns are called."""
    organized = [
        one for panel in SHOWN for one in panel["transformations"] if "organize" in str(one)
    ]
    return [name for one in organized for name in one["options"]["renameByName"].values()]


def test_recordings_that_the_page_names_are_all() -> None:
    """Its table has every recording, and no other."""
    text = section(page("monitoring"), "## What is recorded")
    told = set()
    for row in re.findall(r"^\| (`importer_.*?) \|", text, re.MULTILINE):
        first, *others = re.findall(r"`([^`]+)`", row)
        told |= {first} | {first.partition(":")[0] + other for other in others}
    recorded = {recording.name for recording in (*live(), *beside_last_week())}
    assert {f"storage_class:{name}" for name in told} == recorded
