"""The objects that CDI makes beside a DataVolume, and what it writes on them (facts, A2 to A5)."""

from tests.servers.cdi.claims import IMMEDIATE, STORAGE
from tests.servers.cdi.upload_proxy import CONTENT_TYPE, POD_PHASE, POD_READY, PRIME, TARGET
from tests.servers.kubernetes import Object

USE_POPULATOR = f"{STORAGE}.usePopulator"
CREATED_FOR = "cdi.kubevirt.io/createdForDataVolume"
POPULATOR_KIND = f"{STORAGE}.populator.kind"
RESTARTS = f"{STORAGE}.pod.restarts"
RUNNING = f"{STORAGE}.condition.running"
LABELS = {"app": "containerized-data-importer"}


def owned(by: Object) -> list[Object]:
    """Return owner references to an object."""
    meta = by["metadata"]
    owner = {"apiVersion": by["apiVersion"], "kind": by["kind"], "name": meta["name"]}
    return [{**owner, "uid": meta["uid"], "controller": True, "blockOwnerDeletion": True}]


def claim(volume: Object, spec: Object) -> Object:
    """Return the claim that a DataVolume is for."""
    meta = volume["metadata"]
    annotations = {CREATED_FOR: meta["uid"], USE_POPULATOR: "true", TARGET: ""}
    annotations[CONTENT_TYPE] = volume["spec"].get("contentType") or "kubevirt"
    if IMMEDIATE in (meta.get("annotations") or {}):
        annotations[IMMEDIATE] = meta["annotations"][IMMEDIATE]
    named = {"name": meta["name"], "namespace": meta["namespace"], "labels": LABELS}
    source = {"apiGroup": "cdi.kubevirt.io", "kind": "VolumeUploadSource"}
    return {
        "metadata": {**named, "annotations": annotations, "ownerReferences": owned(volume)},
        "spec": {**spec, "dataSourceRef": {**source, "name": f"upload-source-{meta['uid']}"}},
        "status": {"phase": "Pending"},
    }


def prime(claim: Object) -> Object:
    """Return the claim that is written, and whose volume becomes the other's at the end."""
    meta = claim["metadata"]
    annotations = {TARGET: "", POPULATOR_KIND: "VolumeUploadSource", IMMEDIATE: ""}
    annotations[CONTENT_TYPE] = meta["annotations"][CONTENT_TYPE]
    spec = {name: value for name, value in claim["spec"].items() if name != "dataSourceRef"}
    named = {"name": f"prime-{meta['uid']}", "namespace": meta["namespace"], "labels": LABELS}
    return {
        "metadata": {**named, "annotations": annotations, "ownerReferences": owned(claim)},
        "spec": spec,
        "status": {"phase": "Pending"},
    }


def scratch(prime: Object, pod: Object) -> Object:
    """Return the claim for scratch space: made for every upload, raw ones too (A7)."""
    meta = prime["metadata"]
    spec = {**prime["spec"], "volumeMode": "Filesystem", "accessModes": ["ReadWriteOnce"]}
    named = {"name": f"{meta['name']}-scratch", "namespace": meta["namespace"], "labels": LABELS}
    return {
        "metadata": {**named, "ownerReferences": owned(pod)},
        "spec": spec,
        "status": {"phase": "Bound"},
    }


def pod(prime: Object) -> Object:
    """Return the upload pod, which nobody has scheduled yet."""
    meta = prime["metadata"]
    name = f"cdi-upload-{meta['name']}"
    labels = {**LABELS, "cdi.kubevirt.io": "cdi-upload-server"}
    named = {"name": name, "namespace": meta["namespace"], "labels": labels}
    return {
        "metadata": {**named, "ownerReferences": owned(prime)},
        "spec": {"containers": [{"name": "cdi-upload-server"}], "restartPolicy": "OnFailure"},
        "status": {"phase": "Pending"},
    }


def written(phase: str, *, ready: bool, restarts: int, reason: str, message: str) -> Object:
    """Return the annotations by which CDI says on a claim how its pod does."""
    return {
        POD_PHASE: phase,
        POD_READY: "true" if ready else "false",
        RESTARTS: str(restarts),
        RUNNING: "true" if ready else "false",
        f"{RUNNING}.reason": reason,
        f"{RUNNING}.message": message,
    }


def conditions(claim: str, bound: bool, running: tuple[bool, str, str], now: str) -> list[Object]:
    """Return the three conditions of a DataVolume; *running* is status, reason and message."""
    phase = "Bound" if bound else "Pending"
    told: list[tuple[str, bool, str, str]] = [
        ("Bound", bound, phase, f"PVC {claim} {phase}"),
        ("Ready", bound and not running[0], "" if bound else "TransferRunning", ""),
        ("Running", *running),
    ]
    return [
        {
            "type": kind,
            "status": str(status),
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        for kind, status, reason, message in told
    ]


def container(ready: bool, restarts: int, last: str, waiting: tuple[str, str]) -> Object:
    """Return the state of the one container of an upload pod; *last* is what ended it before."""
    state: Object = {"running": {}}
    if not ready:
        reason, message = waiting if waiting[0] else ("ContainerCreating", "")
        state = {"waiting": {"reason": reason, "message": message}}
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": last}}
    return {
        "name": "cdi-upload-server",
        "ready": ready,
        "restartCount": restarts,
        "state": state,
        "lastState": ended if restarts else {},
    }


__all__ = ["PRIME", "claim", "conditions", "container", "pod", "prime", "scratch", "written"]
