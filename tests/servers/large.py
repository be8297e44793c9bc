"""Objects as large as those of a real cluster, by number: what a watch of thousands has to read."""

from typing import Any

GiB = 1 << 30


def claim(number: int) -> dict[str, Any]:
    """Return a claim as a real one is: a clone that is over, with all that CDI writes."""
    uid = f"{number:08d}-aaaa-bbbb-cccc-0123456789ab"
    noted = {f"cdi.kubevirt.io/storage.{name}": "x" * 40 for name in map(str, range(25))}
    noted |= {"cdi.kubevirt.io/cloneType": "copy", "cdi.kubevirt.io/clonePhase": "Succeeded"}
    managed = [{"manager": "cdi", "fieldsV1": {f"f:{name}": {} for name in range(60)}}]
    meta = {"uid": uid, "name": f"vm-{number}-disk", "namespace": f"team-{number % 20}"}
    meta |= {"annotations": noted, "managedFields": managed, "resourceVersion": str(number)}
    meta |= {"creationTimestamp": "2026-08-01T10:00:00Z", "labels": {"app": "x"}}
    spec = {"storageClassName": "ceph", "volumeName": f"pvc-{uid}", "volumeMode": "Block"}
    spec["resources"] = {"requests": {"storage": "10Gi"}}
    status = {"phase": "Bound", "capacity": {"storage": "10Gi"}}
    return {"kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec, "status": status}


def data_volume(number: int) -> dict[str, Any]:
    """Return the DataVolume of that claim."""
    one = claim(number)
    meta = {**one["metadata"], "uid": f"d{one['metadata']['uid']}"}
    source = {"pvc": {"namespace": "images", "name": f"golden-{number % 30}"}}
    told = [{"type": kind, "status": "True", "message": "m" * 60, "reason": "r"} for kind in "abc"]
    told.append({"type": "Ready", "status": "True", "lastTransitionTime": "2026-08-01T10:05:00Z"})
    status = {"phase": "Succeeded", "progress": "100.0%", "conditions": told}
    return {"kind": "DataVolume", "metadata": meta, "spec": {"source": source}, "status": status}


def volume(number: int) -> dict[str, Any]:
    """Return a volume of Longhorn's."""
    meta = {**claim(number)["metadata"], "name": f"pvc-{number}"}
    spec = {"size": str(10 * GiB), "dataEngine": "v2", "dataSource": f"vol://golden-{number % 30}"}
    clone = {"sourceVolume": f"golden-{number % 30}", "state": "completed", "attemptCount": 1}
    status = {"cloneStatus": clone, "actualSize": GiB, "conditions": [{"message": "m" * 200}] * 5}
    return {"kind": "Volume", "metadata": meta, "spec": spec, "status": status}


def engine(number: int) -> dict[str, Any]:
    """Return that volume's engine."""
    meta = {**claim(number)["metadata"], "name": f"pvc-{number}-e-0"}
    chain = {f"s-{one}": {"name": f"s-{one}", "created": "2026-08-01"} for one in range(10)}
    spec = {"volumeName": f"pvc-{number}", "volumeSize": str(10 * GiB)}
    return {"kind": "Engine", "metadata": meta, "spec": spec, "status": {"snapshots": chain}}
