"""docs/metrics.md is the registry, and its queries are PromQL."""

import json
import subprocess
from pathlib import Path

from importer.metrics import Metrics
from importer.model import Phase, StorageClass
from tests.docs.pages import code, page, rows, section, ticked


def families() -> dict[str, tuple[str, frozenset[str]]]:
    """Return type and labels of every metric that a service which did everything exports."""
    metrics = Metrics()
    one = metrics.of(StorageClass(name="c", provisioner="p", backend="b", engine="e"))
    one.passed("source", 1)
    one.phase(Phase.INSPECTING, "done", 1.0)
    one.entered(Phase.INSPECTING)
    one.transferred(1, 1.0)
    one.stalled("source", 1.0)
    one.ended("ready")
    one.retried("source-unavailable")
    metrics.copies.begin(("b", "c", "e", "import"), "measured", ["source"])
    metrics.copies.up("volumes", True)
    return {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            frozenset(label for sample in family.samples for label in sample.labels) - {"le"},
        )
        for family in metrics.registry.collect()
    }


def test_the_page_is_the_registry() -> None:
    """A metric that is missing, too much, or has another type or other labels is found."""
    written = {
        ticked(name)[0]: (kind, frozenset(ticked(labels)))
        for name, kind, labels, _ in rows(section(page("metrics"), "## All of them"))
    }
    assert written == families()


def test_every_metric_answers_a_question() -> None:
    """There is a query for each metric."""
    queries = "\n".join(code(page("metrics"), "promql"))
    assert [name for name in families() if name not in queries] == []


def test_the_queries_are_promql(tmp_path: Path) -> None:
    """Debian's promtool accepts every query of the page."""
    queries = code(page("metrics"), "promql")
    rules = [{"record": f"q:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "docs", "rules": rules}]}))
    checked = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(queries)} rules found" in checked.stdout + checked.stderr
