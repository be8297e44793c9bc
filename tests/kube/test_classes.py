"""Storage classes imply a backend and an engine, and one of them is the default."""

from typing import Any

import pytest

from importer.errors import UnknownStorageClass
from importer.kube.classes import default, read, storage_class, storage_classes
from importer.kube.cluster import Cluster
from tests.servers.kubernetes import FakeKubernetes

DEFAULT = "storageclass.kubernetes.io/is-default-class"
VIRT = "storageclass.kubevirt.io/is-default-virt-class"
LONGHORN = "driver.longhorn.io"


def found(name: str = "c", provisioner: str = LONGHORN, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, **more.pop("metadata", {})}
    return {"metadata": metadata, "provisioner": provisioner, **more}


@pytest.mark.parametrize(
    ("provisioner", "parameters", "backend", "engine"),
    [
        (LONGHORN, None, "backingimage", "longhorn-v1"),
        (LONGHORN, {"numberOfReplicas": "3"}, "backingimage", "longhorn-v1"),
        (LONGHORN, {"dataEngine": "v1"}, "backingimage", "longhorn-v1"),
        (LONGHORN, {"dataEngine": ""}, "backingimage", "longhorn-v1"),
        (LONGHORN, {"dataEngine": "v2"}, "cdi", "longhorn-v2"),
        (LONGHORN, {"dataEngine": "v3"}, "cdi", LONGHORN),
        ("lvm.driver.harvesterhci.io", {"type": "striped"}, "cdi", "lvm"),
        ("rook-ceph.rbd.csi.ceph.com", None, "cdi", "rook-ceph.rbd.csi.ceph.com"),
        ("other.io", {"dataEngine": "v1"}, "cdi", "other.io"),
    ],
)
def test_backend_and_engine(
    provisioner: str, parameters: dict[str, str] | None, backend: str, engine: str
) -> None:
    """Longhorn's first engine makes backing images; everything else goes through CDI."""
    one = read(found(provisioner=provisioner, parameters=parameters))
    assert (one.backend, one.engine) == (backend, engine)
    described = one.described()
    assert (described.backend, described.engine) == (backend, engine)
    assert described.provisioner == provisioner


@pytest.mark.parametrize(
    ("mode", "waits"), [("WaitForFirstConsumer", True), ("Immediate", False), (None, False)]
)
def test_binding_mode(mode: str | None, waits: bool) -> None:
    """A class that binds late is told; no mode means at once."""
    assert read(found(volumeBindingMode=mode)).waits_for_consumer is waits


def marked(name: str, created: str = "2026-01-01T00:00:00Z", **annotations: str) -> dict[str, Any]:
    names = {"default": DEFAULT, "virt": VIRT}
    told = {names[key]: value for key, value in annotations.items()}
    return found(name, metadata={"annotations": told, "creationTimestamp": created})


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([], None),
        ([marked("a"), marked("b")], None),
        ([marked("a", default="false")], None),
        ([marked("a"), marked("b", default="true")], "b"),
        ([marked("a", default="true"), marked("b", virt="true")], "b"),
        (
            [
                marked("a", "2026-01-02T00:00:00Z", default="true"),
                marked("b", "2026-01-01T00:00:00Z", default="true"),
            ],
            "a",
        ),
    ],
)
def test_default_class(classes: list[dict[str, Any]], expected: str | None) -> None:
    """The default is CDI's for VM disks, else Kubernetes', of several the newest, or none."""
    best = default([read(one) for one in classes])
    assert (best.name if best else None) == expected


async def test_classes_of_the_cluster(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Classes come by name; one that Longhorn's images are copied from is no place for images."""
    for one in (
        found("longhorn"),
        found("lh-1", parameters={"backingImage": "vmi-1"}),
        found("ceph", "rbd.csi.ceph.com", parameters={"backingImage": "x"}),
    ):
        fake.create("storageclasses", one)
    assert [one.name for one in await storage_classes(cluster)] == ["ceph", "longhorn"]
    assert (await storage_class(cluster, "longhorn")).backend == "backingimage"
    with pytest.raises(UnknownStorageClass, match="backing image vmi-1"):
        await storage_class(cluster, "lh-1")
    with pytest.raises(UnknownStorageClass, match="no storage class nothing"):
        await storage_class(cluster, "nothing")
