"""docs/cluster.md: its manifests are ones that Kubernetes takes, its names the real ones."""

import re
from typing import Any

from importer import config
from importer.errors import ImporterError
from importer.kube.classes import read
from importer.targets import Order
from importer.targets.backingimage.objects import name_of
from tests.deploy.kustomize import OVERLAYS, ROOT, documents
from tests.deploy.kustomize import name_of as name
from tests.deploy.schema import problems
from tests.docs.pages import code, page, rows, section, ticked
from tests.servers.site import CLASSES

PAGE = page("cluster")
MANIFESTS = [one for block in code(PAGE, "yaml") for one in documents(block)]
OBJECTS = [one for one in MANIFESTS if one.get("kind", "Kustomization") != "Kustomization"]


def find(kind: str, called: str) -> dict[str, Any]:
    (one,) = (one for one in OBJECTS if (one["kind"], name(one)) == (kind, called))
    return one


def test_manifests_are_what_kubernetes_takes() -> None:
    """No field of an example is misspelt or of a wrong type."""
    assert len(OBJECTS) >= 4
    assert [wrong for one in OBJECTS for wrong in problems(one)] == []


def test_every_disk_has_its_volume() -> None:
    """What a VM boots from is among its volumes, and made beside it."""
    for one in (one for one in OBJECTS if one["kind"] == "VirtualMachine"):
        spec = one["spec"]["template"]["spec"]
        disks = {disk["name"] for disk in spec["domain"]["devices"]["disks"]}
        assert disks == {volume["name"] for volume in spec["volumes"]}
        made = [
            template["metadata"]["name"] for template in one["spec"].get("dataVolumeTemplates", [])
        ]
        for volume in spec["volumes"]:
            if "dataVolume" in volume:
                assert volume["dataVolume"]["name"] in made
            else:
                find("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])


def test_the_class_is_called_as_it_will_be() -> None:
    """The claim names the storage class that the image of the example gets."""
    image = name_of(Order("", "default", "debian-12", None, {}))
    claim = find("PersistentVolumeClaim", "web-root")
    assert claim["spec"]["storageClassName"] == f"longhorn-{image}"
    assert f"`{image}`" in PAGE


def test_classes_become_what_the_page_says() -> None:
    """The classes of the example are offered with the backend and engine that are printed."""
    table = code_after(PAGE, "    importer classes\n")
    told = {row.split()[0]: row.split()[-2:] for row in table.splitlines()[1:]}
    for called, words in told.items():
        found = read({**CLASSES[called], "metadata": {"name": called}})
        assert [found.backend, found.engine] == words
    assert set(told) == {"longhorn", "longhorn-v2", "lvm"}


def code_after(text: str, line: str) -> str:
    """Return the indented block after *line* and an empty one."""
    return text.partition(f"{line}\n")[2].partition("\n\n")[0]


def test_overlays_are_named() -> None:
    """Every overlay has its row, and there are no others."""
    text = section(PAGE, "## Installing it")
    assert [ticked(row[0])[0] for row in rows(text)] == sorted(OVERLAYS)
    for one in MANIFESTS:
        for path in one.get("resources", []) if one.get("kind") == "Kustomization" else []:
            assert (ROOT.parent / path.removeprefix("../deploy/")).is_dir()


def test_settings_that_are_named_exist() -> None:
    """``[section] name`` is a setting, and so is every variable."""
    known = {(part, one) for part, one, _ in config.settings()}
    named = set(re.findall(r"`\[(\w+)\] (\w+)`", PAGE))
    assert named <= known
    assert named
    variables = set(re.findall(r"IMPORTER_[A-Z]+_[A-Z_]+", PAGE))
    assert variables <= {config.variable(*one) for one in known}
    for part, text in ((row[0], row[1]) for row in rows(section(PAGE, "## Settings"))):
        here = re.findall(r"\w+", part)[0]
        assert {one for one in ticked(text) if one in {n for _, n in known}} <= {
            one for where, one in known if where == here
        }


def test_errors_that_are_named_exist() -> None:
    """A slug in the table of what goes wrong is one of ours."""
    slugs = {one.slug for one in every(ImporterError)}
    first = [ticked(row[0])[0] for row in rows(section(PAGE, "## What goes wrong"))]
    assert [one for one in first if one not in slugs and one != "ErrClaimNotValid"] == []


def every(kind: type[ImporterError]) -> list[type[ImporterError]]:
    return [kind, *(one for child in kind.__subclasses__() for one in every(child))]
