"""Builds what is in deploy/kustomize as `kubectl kustomize` does, as far as it is used there.

A field of a kustomization that is not known here is an error, so nothing is left out in silence.
One difference: the name of a generated ConfigMap gets no hash, neither where it is referred to.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.servers.kubernetes.patches import patched

Object = dict[str, Any]

ROOT = Path(__file__).parents[2] / "deploy/kustomize"
OVERLAYS = ("harvester", "kubevirt-longhorn")

COMPONENTS = (ROOT.parent / "monitoring",)
"""What a kustomization may add to an overlay."""

_KNOWN = {"apiVersion", "kind", "resources", "configMapGenerator", "images", "patches"}


class _Strict(yaml.SafeLoader):
    """YAML in which a key may come once: the parsers of Kubernetes take the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"twice: {keys}, {node.start_mark}"
        return super().construct_mapping(node, deep)


def documents(text: str) -> list[Object]:
    """Return the documents of a YAML text."""
    return [one for one in yaml.load_all(text, _Strict) if one is not None]


def build(folder: Path) -> list[Object]:
    """Return the objects of the kustomization in *folder*."""
    (spec,) = documents((folder / "kustomization.yaml").read_text())
    assert spec.keys() <= _KNOWN, f"{folder}: {spec.keys() - _KNOWN} is not known here"
    found = [one for name in spec.get("resources", []) for one in _resource(folder / name)]
    found += [_config_map(folder, one) for one in spec.get("configMapGenerator", [])]
    for patch in spec.get("patches", []):
        found = [_patched(one, patch) for one in found]
    for image in spec.get("images", []):
        _tag(found, image)
    named = [(one["kind"], one["metadata"].get("namespace"), name_of(one)) for one in found]
    assert len(named) == len(set(named)), f"{folder}: twice the same object"
    return found


def overlay(name: str) -> list[Object]:
    """Return the objects of an overlay."""
    return build(ROOT / "overlays" / name)


def name_of(one: Object) -> str:
    """Return an object's name."""
    return str(one["metadata"]["name"])


def of_kind(found: list[Object], kind: str, name: str = "image-importer") -> Object:
    """Return the only object of that kind and name."""
    (one,) = (one for one in found if one["kind"] == kind and name_of(one) == name)
    return one


def containers(found: list[Object]) -> Iterator[Object]:
    """Yield the containers of all Deployments."""
    for one in found:
        if one["kind"] == "Deployment":
            yield from one["spec"]["template"]["spec"]["containers"]


def _resource(path: Path) -> list[Object]:
    return build(path) if path.is_dir() else documents(path.read_text())


def _config_map(folder: Path, spec: Object) -> Object:
    assert spec.keys() - {"options"} == {"name", "namespace", "files"}, spec
    data = {name: (folder / name).read_text() for name in spec["files"]}
    metadata = {"name": spec["name"], "namespace": spec["namespace"]}
    options = {"labels": {}, "disableNameSuffixHash": True, **spec.get("options", {})}
    assert options.keys() == {"labels", "disableNameSuffixHash"}, spec
    if options["labels"]:
        metadata["labels"] = options["labels"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _patched(one: Object, patch: Object) -> Object:
    assert patch.keys() == {"target", "patch"}, patch
    assert patch["target"].keys() == {"kind", "name"}, patch
    if (one["kind"], name_of(one)) != (patch["target"]["kind"], patch["target"]["name"]):
        return one
    result: Object = patched(one, yaml.safe_load(patch["patch"]))
    return result


def _tag(found: list[Object], image: Object) -> None:
    assert image.keys() == {"name", "newTag"}, image
    used = [one for one in containers(found) if one["image"] == image["name"]]
    assert used, f"no container of image {image['name']}"
    for one in used:
        one["image"] = f"{image['name']}:{image['newTag']}"
