"""The objects that Longhorn makes beside a BackingImage (facts, E1 and E4)."""

import uuid

from tests.servers.kubernetes import Object
from tests.servers.longhorn.data_source import DISK

NODE = "node-1"
RUNNING = {
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "main", "ready": True, "restartCount": 0}],
    }
}


def owned(image: Object) -> Object:
    """Return metadata that says whose an object is."""
    meta = image["metadata"]
    owner = {"apiVersion": image["apiVersion"], "kind": image["kind"], "name": meta["name"]}
    return {"ownerReferences": [{**owner, "uid": meta["uid"]}]}


def unborn(image: Object) -> Object:
    """Return the status of an image that nothing is known of."""
    sizes = {"size": 0, "virtualSize": 0, "realSize": 0}
    named = {"ownerID": NODE, "uuid": uuid.uuid4().hex[:8], "checksum": ""}
    return {**sizes, **named, "diskFileStatusMap": {}}


def data_source(image: Object) -> Object:
    """Return an image's BackingImageDataSource."""
    meta, spec = image["metadata"], image["spec"]
    disk = {"diskUUID": DISK, "diskPath": "/var/lib/longhorn", "nodeID": NODE}
    source = {"sourceType": spec["sourceType"], "parameters": spec.get("sourceParameters") or {}}
    more = {"checksum": spec.get("checksum", ""), "uuid": meta["uid"][:8]}
    whole = {**disk, **source, **more, "fileTransferred": False}
    return {"metadata": {"name": meta["name"], **owned(image)}, "spec": whole}


def pod(image: Object) -> Object:
    """Return the pod of an image's data source, which nobody has scheduled yet."""
    name = image["metadata"]["name"]
    labels = {"longhorn.io/component": "backing-image-data-source"}
    labels["longhorn.io/backing-image-data-source"] = name
    return {
        "metadata": {"name": f"backing-image-ds-{name}", "labels": labels, **owned(image)},
        "spec": {"containers": [{"name": "main"}], "restartPolicy": "Never"},
        "status": {"phase": "Pending"},
    }
