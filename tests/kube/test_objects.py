"""Views say what the servers say, in the servers' own field names."""

from typing import Any

import pytest

from importer.errors import ClusterRefused
from importer.kube.objects import (
    BackingImage,
    BackingImageDataSource,
    CdiConfig,
    Claim,
    ClusterEvent,
    DataVolume,
    Pod,
    StorageProfile,
    UploadTokenRequest,
    view,
)
from tests.servers.kubernetes import FakeKubernetes

META = {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "5"}


def found(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "X", "metadata": META, **fields}


def test_object_without_a_status() -> None:
    """A fresh object says nothing yet; nulls are nothing too."""
    for fresh in (found(), found(status=None), found(status={"conditions": None, "phase": None})):
        seen = view(DataVolume, fresh)
        assert (seen.status.phase, seen.status.restart_count) == ("", 0)
        assert seen.status.condition("Running").status == "Unknown"
        assert not seen.status.condition("Running").holds


def test_metadata(fake: FakeKubernetes) -> None:
    """What the server adds to an object is seen."""
    owner = {"apiVersion": "v1", "kind": "K", "name": "o", "uid": "1", "controller": True}
    meta = {"name": "a", "labels": {"x": "y"}, "ownerReferences": [owner], "finalizers": ["f"]}
    fake.create("datavolumes", {"metadata": meta, "spec": {}})
    fake.delete("datavolumes", "default", "a")
    seen = view(DataVolume, fake.get("datavolumes", "default", "a"))
    assert (seen.name, seen.metadata.namespace, seen.metadata.labels) == (
        "a",
        "default",
        meta["labels"],
    )
    assert seen.metadata.owner_references[0].controller
    assert seen.metadata.deletion_timestamp
    assert str(seen) == "DataVolume default/a"


def test_data_volume() -> None:
    """Phase, restarts and conditions of a DataVolume."""
    condition = {"type": "Running", "status": "False", "reason": "Error", "message": "exit 1"}
    status = {"phase": "UploadReady", "restartCount": 2, "conditions": [condition]}
    seen = view(DataVolume, found(status={**status, "progress": "N/A", "claimName": "a"}))
    assert (seen.status.phase, seen.status.restart_count) == ("UploadReady", 2)
    assert seen.status.condition("Running").message == "exit 1"


def test_backing_image() -> None:
    """Sizes, checksum and the state of every copy."""
    disk = {"state": "failed", "progress": 7, "message": "no space left", "dataEngine": "v1"}
    status = {"size": 512, "virtualSize": 1024, "checksum": "ab", "diskFileStatusMap": {"d": disk}}
    seen = view(BackingImage, found(status={**status, "uuid": "x", "ownerID": "node"}))
    assert (seen.status.size, seen.status.virtual_size, seen.status.checksum) == (512, 1024, "ab")
    [copy] = seen.copies
    assert (copy.state, copy.progress, copy.message) == ("failed", 7, "no space left")


def test_data_source() -> None:
    """Where it is and how far, with Go's capitals in the names."""
    status = {"currentState": "pending", "storageIP": "10.0.0.1", "ip": "10.0.0.2", "progress": 3}
    spec = {"nodeID": "node-1", "fileTransferred": True}
    seen = view(BackingImageDataSource, found(spec=spec, status=status))
    assert (seen.status.current_state, seen.status.progress) == ("pending", 3)
    assert (seen.status.storage_ip, seen.status.ip) == ("10.0.0.1", "10.0.0.2")
    assert (seen.spec.node_id, seen.spec.file_transferred) == ("node-1", True)


def test_claim() -> None:
    """Sizes are bytes, and CDI's annotations are found by their last part."""
    notes = {"cdi.kubevirt.io/storage.pod.ready": "true"}
    claim = found(
        spec={"resources": {"requests": {"storage": "10Gi"}}, "volumeName": "pv"},
        status={"phase": "Bound", "capacity": {"storage": "11Gi"}},
    )
    claim["metadata"] = {**META, "annotations": notes}
    seen = view(Claim, claim)
    assert (seen.requested, seen.capacity) == (10 << 30, 11 << 30)
    assert (seen.cdi("pod.ready"), seen.cdi("pod.phase")) == ("true", "")
    assert view(Claim, found()).capacity == 0


UNSCHEDULED = {
    "phase": "Pending",
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "pod has unbound immediate PersistentVolumeClaims",
        }
    ],
}
PULLING = {
    "phase": "Pending",
    "containerStatuses": [
        {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no x:1"}}}
    ],
}
FAILED = {
    "phase": "Running",
    "containerStatuses": [
        {
            "name": "c",
            "restartCount": 3,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            "lastState": {"terminated": {"exitCode": 1, "message": "qemu-img: broken"}},
        }
    ],
}
KILLED = {
    "containerStatuses": [
        {"name": "c", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    ]
}


@pytest.mark.parametrize(
    ("status", "held", "last", "restarts"),
    [
        (UNSCHEDULED, "Unschedulable: pod has unbound immediate PersistentVolumeClaims", "", 0),
        (PULLING, "ImagePullBackOff: no x:1", "", 0),
        (FAILED, "", "qemu-img: broken", 3),
        (KILLED, "", "OOMKilled", 0),
        ({}, "", "", 0),
    ],
)
def test_pod(status: dict[str, Any], held: str, last: str, restarts: int) -> None:
    """What a pod waits for, why it ended, and how often it began again."""
    seen = view(Pod, found(status=status))
    assert (seen.held_by, seen.last_words, seen.restarts) == (held, last, restarts)


def test_event(fake: FakeKubernetes) -> None:
    """An event says what happened to whom, and when."""
    about = fake.create("datavolumes", {"metadata": {"name": "a"}, "spec": {}})
    made = fake.event(about, "ProvisioningFailed", "no space")
    seen = view(ClusterEvent, made)
    assert (seen.reason, seen.message, seen.warns) == ("ProvisioningFailed", "no space", True)
    assert seen.involved_object.uid == about["metadata"]["uid"]
    assert seen.last_seen == made["lastTimestamp"]


def test_storage_profile() -> None:
    """The modes that CDI takes, the first first."""
    sets = [{"accessModes": ["ReadWriteMany"], "volumeMode": "Block"}, {}]
    seen = view(StorageProfile, found(status={"claimPropertySets": sets}))
    first, second = seen.status.claim_property_sets
    assert (first.access_modes, first.volume_mode) == (("ReadWriteMany",), "Block")
    assert (second.access_modes, second.volume_mode) == ((), "Filesystem")


@pytest.mark.parametrize(
    ("spec", "status", "url"),
    [
        ({}, {}, ""),
        ({}, {"uploadProxyURL": "cdi.example"}, "https://cdi.example"),
        ({"uploadProxyURLOverride": "http://a:1"}, {"uploadProxyURL": "b"}, "http://a:1"),
    ],
)
def test_upload_proxy(spec: dict[str, Any], status: dict[str, Any], url: str) -> None:
    """The administrator's address wins over the one that CDI found; https where none is said."""
    assert view(CdiConfig, found(spec=spec, status=status)).upload_proxy == url


def test_file_system_overhead() -> None:
    """A class has its own share, else the cluster's, else CDI's."""
    shares = {"global": "0.055", "storageClass": {"nfs": "0"}}
    seen = view(CdiConfig, found(status={"filesystemOverhead": shares}))
    assert (seen.overhead("nfs"), seen.overhead("other")) == (0.0, 0.055)
    assert view(CdiConfig, found()).overhead("other") == 0.06


def test_token_is_not_shown() -> None:
    """A token does not get into a log by way of its object."""
    seen = view(UploadTokenRequest, found(status={"token": "secret"}))
    assert seen.status.token == "secret"
    assert "secret" not in repr(seen)


def test_field_of_another_type() -> None:
    """A server of another age is named, not tripped over."""
    with pytest.raises(ClusterRefused, match=r"DataVolume a is not as expected.*restartCount"):
        view(DataVolume, found(status={"restartCount": "many"}))
