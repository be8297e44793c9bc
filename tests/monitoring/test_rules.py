"""The rules are what the code makes, Prometheus takes them, and each tells what it should."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from deploy.monitoring.__main__ import FILES, FOLDER
from deploy.monitoring.alerts import ALERTS
from deploy.monitoring.recordings import beside_last_week, live
from deploy.monitoring.rules import RUNBOOKS, groups
from importer import config
from importer.cli.commands import app
from importer.metrics import REASONS, Metrics
from tests.docs.pages import ROOT, code, page, rows, section

HERE = Path(__file__).parent
TESTS = sorted(HERE.glob("*.test.yaml"))
RECORDED = [recording.name for recording in (*live(), *beside_last_week())]
PAGES = sorted((ROOT / "docs/runbooks").glob("*.md"))


def promtool(*words: str | Path) -> str:
    """Return what promtool says; it must be content."""
    done = subprocess.run(["promtool", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", FILES)
def test_files_are_what_the_code_makes(name: str) -> None:
    """Whoever changes the code runs ``python -m deploy.monitoring`` and commits both."""
    assert (FOLDER / name).read_text() == FILES[name](RUNBOOKS)


def test_promtool_takes_the_rules() -> None:
    """Debian's promtool finds every rule and no fault, not even two rules of one name."""
    told = promtool("check", "rules", "--lint=all", "--lint-fatal", FOLDER / "importer.rules.yaml")
    assert f"{len(RECORDED) + len(ALERTS)} rules found" in told


def test_the_operators_rules_are_the_same() -> None:
    """A cluster with the Prometheus operator gets the very rules of the file."""
    file = yaml.safe_load((FOLDER / "importer.rules.yaml").read_text())
    object_ = yaml.safe_load((FOLDER / "prometheusrule.yaml").read_text())
    assert object_["spec"] == file == {"groups": groups()}


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_rules_tell_what_they_should(file: Path) -> None:
    """promtool works out every recording's value; every alert is silent, fires, and is over."""
    assert "SUCCESS" in promtool("test", "rules", file)


def expected(kind: str) -> list[dict[str, Any]]:
    """Return what the tests of promtool expect, of one kind."""
    files = (yaml.safe_load(file.read_text()) for file in TESTS)
    return [one for file in files for test in file["tests"] for one in test.get(kind, [])]


def test_every_recording_has_its_expected_value() -> None:
    """No recording is left out, and none is expected to be empty."""
    told = {one["expr"]: one["exp_samples"] for one in expected("promql_expr_test")}
    assert sorted(told) == sorted(RECORDED)
    assert all(told.values())


def test_every_alert_fires_and_resolves() -> None:
    """Each is expected to be silent, then to fire with words of its own, then to be over."""
    for alert in ALERTS:
        fires = [
            bool(one["exp_alerts"])
            for one in expected("alert_rule_test")
            if one["alertname"] == alert.name
        ]
        assert fires[:3] == [False, True, False], alert.name


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_has_its_page(alert: Any) -> None:
    """It says what the alert means, how to look and what to do, and how urgent it is."""
    text = (ROOT / "docs/runbooks" / f"{alert.name}.md").read_text()
    assert text.startswith(f"# {alert.name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "What it means",
        "How to look",
        "What to do",
    ]
    assert f"Severity: {alert.severity}." in text


def test_every_page_has_its_alert() -> None:
    """No page is left over of an alert that is no more, and docs/monitoring.md lists them all."""
    assert {file.stem for file in PAGES} == {alert.name for alert in ALERTS}
    table = rows(section(page("monitoring"), "## Alerts"))
    assert [(name, severity) for name, severity, _ in table] == [
        (f"[{alert.name}](runbooks/{alert.name}.md)", alert.severity) for alert in ALERTS
    ]


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.stem)
def test_links_and_queries_of_a_page_are_good(file: Path, tmp_path: Path) -> None:
    """Links lead to files that are there; what is to be asked of Prometheus is PromQL."""
    text = file.read_text()
    for link in re.findall(r"\]\(([^):#]+)[^)]*\)", text):
        assert (file.parent / link).exists(), link
    queries = code(text, "promql")
    assert queries
    rules = [{"record": f"q:{number}", "expr": query} for number, query in enumerate(queries)]
    made = tmp_path / "rules.yaml"
    made.write_text(yaml.safe_dump({"groups": [{"name": "page", "rules": rules}]}))
    promtool("check", "rules", made)


def test_pages_name_what_there_is() -> None:
    """Commands, settings and errors of the pages are those of the service."""
    text = "\n".join(one.read_text() for one in PAGES)
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(re.findall(r"`importer ([a-z]+)", text)) <= set(commands)
    known = {(part, name) for part, name, _ in config.settings()}
    assert set(re.findall(r"`\[(\w+)\] (\w+)`", text)) <= known
    failing = (ROOT / "docs/runbooks/ImporterImportsFail.md").read_text()
    reasons = set(re.findall(r"`((?:[a-z]+-)+[a-z]+)`", failing))
    assert len(reasons) > 5
    assert reasons <= REASONS.keys()


def test_rules_ask_for_metrics_that_exist() -> None:
    """Every series that a rule is made of is one that the service has, or another rule's."""
    exprs = " ".join(rule["expr"] for group in groups() for rule in group["rules"])
    named = set(re.findall(r"(?<![:\w])(importer_\w+)", exprs))
    known = {
        family.name + ending
        for family in Metrics().registry.collect()
        for ending in ENDINGS.get(family.type, [""])
    }
    assert named <= known
    assert set(re.findall(r"storage_class:\w+:\w+", exprs)) <= set(RECORDED)


ENDINGS = {"counter": ["_total"], "histogram": ["_sum", "_count", "_bucket"]}
"""What Prometheus finds at the end of a name."""
