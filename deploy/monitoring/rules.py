"""Recordings and alerts as files: for Prometheus itself, and for the Prometheus operator.

Source: prometheus.io/docs/prometheus/2.42/configuration/recording_rules and alerting_rules;
PrometheusRule of the operator, monitoring.coreos.com/v1.
"""

from typing import Any

import yaml  # type: ignore[import-untyped]

from deploy.monitoring.alerts import ALERTS, Alert
from deploy.monitoring.recordings import Recording, beside_last_week, live

RUNBOOKS = "docs/runbooks/"
"""What an alert's link begins with: a place in this repository, until somebody gives it a URL."""

_HEAD = "# Made by `python -m deploy.monitoring`; docs/monitoring.md tells what is in it.\n"


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def groups(runbooks: str = RUNBOOKS) -> list[dict[str, Any]]:
    """Return the groups of rules; what reaches back a week is not asked every few seconds."""
    return [
        _group("importer-live", "30s", [_recorded(one) for one in live()]),
        _group("importer-last-week", "2m", [_recorded(one) for one in beside_last_week()]),
        _group("importer-alerts", "1m", [_told(one, runbooks) for one in ALERTS]),
    ]


def rules_file(runbooks: str = RUNBOOKS) -> str:
    """Return what Prometheus reads."""
    return _HEAD + _yaml({"groups": groups(runbooks)})


def prometheus_rule(runbooks: str = RUNBOOKS) -> str:
    """Return the same for a cluster with the Prometheus operator."""
    metadata = {
        "name": "image-importer",
        "namespace": "image-importer",
        "labels": {"app.kubernetes.io/name": "image-importer"},
    }
    return _HEAD + _yaml(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": metadata,
            "spec": {"groups": groups(runbooks)},
        }
    )


def _group(name: str, interval: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "interval": interval, "rules": rules}


def _recorded(recording: Recording) -> dict[str, Any]:
    return {"record": recording.name, "expr": recording.expr}


def _told(alert: Alert, runbooks: str) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.lasts,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook_url": f"{runbooks}{alert.name}.md"},
    }


def _yaml(content: Any) -> str:
    return str(yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=100))
