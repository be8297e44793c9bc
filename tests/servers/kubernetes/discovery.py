"""What clients such as kubectl ask first: version, groups, resources."""

from typing import Any

from tests.servers.kubernetes.resources import Catalogue, Resource

VERSION = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "microshift-8e16b12f",
    "gitTreeState": "clean",
    "buildDate": "2026-08-21T00:00:00Z",
    "goVersion": "go1.26.6",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def discover(catalogue: Catalogue, path: str) -> Any:
    """Return the document at *path*: JSON, the text ``ok``, or None."""
    match path.strip("/").split("/"):
        case ["version"]:
            return VERSION
        case ["healthz" | "livez" | "readyz"]:
            return "ok"
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"]}
        case ["apis"]:
            groups = dict.fromkeys((one.group, one.version) for one in catalogue.all if one.group)
            found = [_group(*group) for group in groups]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}
        case ["api", version]:
            return _resources(catalogue, "", version)
        case ["apis", group, version]:
            return _resources(catalogue, group, version)
    return None


def _group(group: str, version: str) -> dict[str, Any]:
    one = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [one], "preferredVersion": one}


def _resources(catalogue: Catalogue, group: str, version: str) -> dict[str, Any] | None:
    found = [one for one in catalogue.all if (one.group, one.version) == (group, version)]
    if not found:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].api_version,
        "resources": [_resource(one) for one in found],
    }


def _resource(one: Resource) -> dict[str, Any]:
    return {
        "name": one.plural,
        "singularName": one.kind.lower(),
        "namespaced": one.namespaced,
        "kind": one.kind,
        "verbs": ["create"] if one.virtual else _VERBS,
    }
