"""The objects that CDI makes beside a DataVolume, and what it writes on them (facts, A2 to A5).

Names and annotations as in CDI: pkg/controller/{upload-controller,util}.go and
populators/{populator-base,upload-populator}.go.
"""

from tests.servers.cdi.claims import IMMEDIATE, STORAGE
from tests.servers.cdi.upload_proxy import CONTENT_TYPE, POD_PHASE, POD_READY, TARGET
from tests.servers.kubernetes import Object

USE_POPULATOR = f"{STORAGE}.usePopulator"
CREATED_FOR = "cdi.kubevirt.io/createdForDataVolume"
POPULATOR_KIND = f"{STORAGE}.populator.kind"
POD_NAME = f"{STORAGE}.uploadPodName"
PREALLOCATION = f"{STORAGE}.preallocation.requested"
RESTARTS = f"{STORAGE}.pod.restarts"
RUNNING = f"{STORAGE}.condition.running"
BOUND = f"{STORAGE}.condition.bound"
LABELS = {"app": "containerized-data-importer"}
IMAGE = "quay.io/kubevirt/cdi-uploadserver"
SMALL = ("is larger than the reported available", "no space left on device")
"""What CDI puts simple words to (util.go:406-415)."""


def owned(by: Object) -> list[Object]:
    """Return owner references to an object."""
    meta = by["metadata"]
    owner = {"apiVersion": by["apiVersion"], "kind": by["kind"], "name": meta["name"]}
    return [{**owner, "uid": meta["uid"], "controller": True, "blockOwnerDeletion": True}]


def upload_source(volume: Object) -> Object:
    """Return the VolumeUploadSource that the claim refers to; it goes with the success."""
    meta, spec = volume["metadata"], volume["spec"]
    named = {"name": f"volume-upload-source-{meta['uid']}", "namespace": meta["namespace"]}
    wanted = {"contentType": spec.get("contentType") or "kubevirt"}
    wanted["preallocation"] = bool(spec.get("preallocation"))
    return {"metadata": {**named, "ownerReferences": owned(volume)}, "spec": wanted}


def claim(volume: Object, spec: Object, source: Object) -> Object:
    """Return the claim that a DataVolume is for. It is no upload target: its prime claim is."""
    meta = volume["metadata"]
    annotations = {CREATED_FOR: meta["uid"], USE_POPULATOR: "true"}
    if IMMEDIATE in (meta.get("annotations") or {}):
        annotations[IMMEDIATE] = meta["annotations"][IMMEDIATE]
    named = {"name": meta["name"], "namespace": meta["namespace"], "labels": LABELS}
    refers = {"apiGroup": "cdi.kubevirt.io", "kind": "VolumeUploadSource"}
    return {
        "metadata": {**named, "annotations": annotations, "ownerReferences": owned(volume)},
        "spec": {**spec, "dataSourceRef": {**refers, "name": source["metadata"]["name"]}},
        "status": {"phase": "Pending"},
    }


def prime(claim: Object, source: Object) -> Object:
    """Return the claim that is written, and whose volume becomes the other's at the end."""
    meta, wanted = claim["metadata"], source["spec"]
    annotations = {IMMEDIATE: "", TARGET: "", CONTENT_TYPE: wanted["contentType"]}
    annotations[POPULATOR_KIND] = "VolumeUploadSource"
    annotations[PREALLOCATION] = str(wanted["preallocation"]).lower()
    name = f"prime-{meta['uid']}"
    annotations[POD_NAME] = f"cdi-upload-{name}"
    spec = {key: value for key, value in claim["spec"].items() if key != "dataSourceRef"}
    named = {"name": name, "namespace": meta["namespace"], "labels": LABELS}
    return {
        "metadata": {**named, "annotations": annotations, "ownerReferences": owned(claim)},
        "spec": spec,
        "status": {"phase": "Pending"},
    }


def scratch(prime: Object, pod: Object) -> Object:
    """Return the claim for scratch space: made for every upload, raw ones too (A7)."""
    meta, spec = prime["metadata"], prime["spec"]
    wanted = {name: spec[name] for name in ("resources", "storageClassName")}
    named = {"name": f"{meta['name']}-scratch", "namespace": meta["namespace"], "labels": LABELS}
    return {
        "metadata": {**named, "ownerReferences": owned(pod)},
        "spec": {**wanted, "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"},
        "status": {"phase": "Pending"},
    }


def pod(prime: Object) -> Object:
    """Return the upload pod, which nobody has scheduled yet."""
    meta = prime["metadata"]
    labels = {**LABELS, "cdi.kubevirt.io": "cdi-upload-server"}
    named = {"name": meta["annotations"][POD_NAME], "namespace": meta["namespace"]}
    container = {"name": "cdi-upload-server", "image": IMAGE}
    container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    return {
        "metadata": {**named, "labels": labels, "ownerReferences": owned(prime)},
        "spec": {"containers": [container], "restartPolicy": "OnFailure"},
        "status": {"phase": "Pending"},
    }


def container(restarts: int, last: str, **state: Object) -> Object:
    """Return the state of an upload pod's container; *last* is what its end before said."""
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": last}}
    started = "running" in state
    return {
        "name": "cdi-upload-server",
        "image": IMAGE,
        "ready": started,
        "started": started,
        "restartCount": restarts,
        "state": state,
        "lastState": ended if restarts else {},
    }


def marks(pod: Object) -> dict[str, str]:
    """Return what CDI writes of a pod on its claim (util.go:308-390)."""
    status = pod["status"]
    told = {POD_PHASE: status["phase"], POD_READY: "false"}
    containers = status.get("containerStatuses")
    if not containers:
        return told
    one = containers[0]
    told |= {POD_READY: str(one["ready"]).lower(), RESTARTS: str(one["restartCount"])}
    running, reason, message = _running(one["state"])
    told[RUNNING] = running
    if reason is not None:
        told |= {f"{RUNNING}.reason": reason, f"{RUNNING}.message": message}
    return told


def _running(state: Object) -> tuple[str, str | None, str]:
    match state:
        case {"running": _}:
            return "true", "Pod is running", ""
        case {"waiting": {"reason": "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName"}}:
            return "false", "ImagePullFailed", f"failed to pull image: {IMAGE}"
        case {"waiting": {"reason": "CrashLoopBackOff"}}:
            return "false", None, ""  # what the end before it said stays
        case {"waiting": waiting}:
            return "false", waiting["reason"], simple(waiting["message"])
        case {"terminated": ended}:
            return "false", ended["reason"], simple(ended["message"])
    raise AssertionError(state)


def simple(message: str) -> str:
    """Return what CDI makes of a message that it knows."""
    known = any(words in message for words in SMALL)
    return "DataVolume too small to contain image" if known else message
