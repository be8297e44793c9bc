"""What a cluster gets for its Prometheus operator and its Grafana."""

import json
import shutil
import subprocess
from pathlib import Path

import yaml

from deploy.monitoring.dashboard import dashboard
from deploy.monitoring.rules import groups
from tests.deploy.kustomize import COMPONENTS, ROOT, build, documents, of_kind, overlay

(COMPONENT,) = COMPONENTS


def test_the_component_has_rules_and_dashboard() -> None:
    """A PrometheusRule with all rules, and a ConfigMap that Grafana's sidecar finds; no more."""
    rule, shown = build(COMPONENT)
    assert rule["spec"]["groups"] == groups()
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {name: json.loads(text) for name, text in shown["data"].items()} == {
        "dashboard.json": dashboard()
    }
    # A ConfigMap that is larger is refused by `kubectl apply`, which notes it down once more.
    assert len(shown["data"]["dashboard.json"]) < 256 * 1024


def test_it_goes_where_the_service_is() -> None:
    """It adds to an overlay, in its namespace, and takes nothing's name."""
    there = overlay("harvester")
    space = of_kind(there, "Namespace")["metadata"]["name"]
    taken = {(one["kind"], one["metadata"]["name"]) for one in there}
    for one in build(COMPONENT):
        assert one["metadata"]["namespace"] == space
        assert (one["kind"], one["metadata"]["name"]) not in taken


def test_kubectl_adds_the_component(tmp_path: Path) -> None:
    """kubectl makes of the page's kustomization what is checked here."""
    text = (ROOT.parents[1] / "docs/monitoring.md").read_text()
    (page,) = (block for block in text.split("```yaml\n") if block.startswith("apiVersion"))
    spec = yaml.safe_load(page.partition("```")[0])
    folders = [*spec["resources"], *spec["components"]]
    assert [(ROOT.parents[1] / path.removeprefix("../")).is_dir() for path in folders] == [True] * 2
    if not shutil.which("kubectl"):
        return
    shutil.copytree(ROOT.parent, tmp_path / "deploy")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/kustomization.yaml").write_text(yaml.safe_dump(spec))
    command = ["kubectl", "kustomize", str(tmp_path / "mine")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    made = {(one["kind"], one["metadata"]["name"]) for one in documents(done.stdout)}
    assert {(one["kind"], one["metadata"]["name"]) for one in build(COMPONENT)} <= made
