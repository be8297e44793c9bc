"""What CDI makes of a DataVolume's wishes: the claim, its modes and its size (facts, A5 and A7)."""

import math
import re
from typing import Any

from tests.servers.kubernetes import FakeKubernetes, Object

MiB = 1 << 20
OVERHEAD = 0.06
"""Share of a file system that is kept for itself, unless CDIConfig says otherwise."""

STORAGE = "cdi.kubevirt.io/storage"
IMMEDIATE = f"{STORAGE}.bind.immediate.requested"
DEFAULT_CLASSES = (
    "storageclass.kubevirt.io/is-default-virt-class",
    "storageclass.kubernetes.io/is-default-class",
)
_UNITS = {"": 1, "Ki": 1 << 10, "Mi": MiB, "Gi": 1 << 30, "Ti": 1 << 40}


class Invalid(Exception):
    """No claim can be made of it; the arguments are messages of events ``ErrClaimNotValid``."""


def size(quantity: str) -> int:
    """Return the bytes of a quantity."""
    found = re.fullmatch(r"(\d+)(|Ki|Mi|Gi|Ti)", quantity)
    if not found:
        raise Invalid(f"PVC size {quantity} is no quantity")
    return int(found[1]) * _UNITS[found[2]]


def wanted(volume: Object) -> Object:
    """Return the half of a DataVolume that says what is wanted: ``storage`` or ``pvc``."""
    spec: Object = volume["spec"].get("storage") or volume["spec"].get("pvc") or {}
    return spec


def storage_class(kubernetes: FakeKubernetes, volume: Object) -> Object | None:
    """Return the class of a DataVolume, or None where there is none."""
    name = wanted(volume).get("storageClassName")
    if name:
        return kubernetes.find("storageclasses", "", name)
    classes = kubernetes.all("storageclasses")
    marked = (
        one for mark in DEFAULT_CLASSES for one in classes if _annotations(one).get(mark) == "true"
    )
    return next(marked, None)


def _annotations(found: Object) -> Object:
    return found["metadata"].get("annotations") or {}


def waits(volume: Object, cls: Object) -> bool:
    """Whether the claim stays unbound until a pod uses it."""
    waits = cls.get("volumeBindingMode") == "WaitForFirstConsumer"
    return waits and IMMEDIATE not in _annotations(volume)


def overhead(kubernetes: FakeKubernetes, cls: Object) -> float:
    """Return the file system overhead that CDIConfig has for a class."""
    config = kubernetes.find("cdiconfigs", "", "config") or {}
    shares = config.get("status", {}).get("filesystemOverhead", {})
    name = cls["metadata"]["name"]
    return float(shares.get("storageClass", {}).get(name) or shares.get("global") or OVERHEAD)


def spec(kubernetes: FakeKubernetes, volume: Object, cls: Object) -> dict[str, Any]:
    """Return the spec of the claim; raise Invalid when the profile does not know enough."""
    asked = wanted(volume)
    modes, mode = asked.get("accessModes"), asked.get("volumeMode")
    if "storage" in volume["spec"]:
        modes, mode = _profiled(kubernetes, cls["metadata"]["name"], modes, mode)
    mode = mode or "Filesystem"
    length = size(asked["resources"]["requests"]["storage"])
    if "storage" in volume["spec"] and mode == "Filesystem":
        length = math.ceil(-(-length // MiB) * MiB / (1 - overhead(kubernetes, cls)))
    return {
        "accessModes": modes,
        "volumeMode": mode,
        "storageClassName": cls["metadata"]["name"],
        "resources": {"requests": {"storage": str(length)}},
    }


def _profiled(
    kubernetes: FakeKubernetes, name: str, modes: list[str] | None, mode: str | None
) -> tuple[list[str], str | None]:
    """Return access modes and volume mode; what is missing comes from the profile."""
    profile = kubernetes.find("storageprofiles", "", name) or {}
    sets = profile.get("status", {}).get("claimPropertySets") or []
    if modes:
        fitting = [one for one in sets if set(modes) & set(one["accessModes"])]
        return modes, mode or (fitting[0].get("volumeMode") if fitting else None)
    fitting = [one for one in sets if mode in (None, one.get("volumeMode"))]
    found: Object = fitting[0] if fitting else {}
    if not found:
        what = "accessMode and" if mode else "accessMode and volumeMode,"
        why = f"Spec is missing {what} cannot get access mode from StorageProfile {name}"
        raise Invalid(f"no accessMode specified in StorageProfile {name}", why)
    return found["accessModes"], found.get("volumeMode")


def profile(cls: Object) -> Object:
    """Return the StorageProfile that CDI makes of a class (facts, C; harvester.md, 4.4)."""
    meta, provisioner = cls["metadata"], cls.get("provisioner", "")
    block = {"volumeMode": "Block"}
    sets: list[Object] = []
    if provisioner == "driver.longhorn.io":
        sets = [{"accessModes": ["ReadWriteOnce"], **block}]
        if (cls.get("parameters") or {}).get("migratable") == "true":
            sets.insert(0, {"accessModes": ["ReadWriteMany"], **block})
    if provisioner == "lvm.driver.harvesterhci.io":
        sets = [{"accessModes": ["ReadWriteOnce"], **block}]
    status = {"provisioner": provisioner, "storageClass": meta["name"]}
    return {
        "metadata": {"name": meta["name"]},
        "spec": {},
        "status": {**status, **({"claimPropertySets": sets} if sets else {})},
    }
