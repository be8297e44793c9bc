"""A whole cluster: a Kubernetes API, Longhorn, CDI, and a storage class of every kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.cdi import Cdi
from tests.servers.certificates import Authority
from tests.servers.kubernetes import Cluster, FakeKubernetes, Object, serving
from tests.servers.longhorn import Longhorn

DEFAULT = {"storageclass.kubernetes.io/is-default-class": "true"}
LONGHORN = "driver.longhorn.io"
CLASSES: dict[str, Object] = {
    "longhorn": {
        "metadata": {"annotations": DEFAULT},
        "provisioner": LONGHORN,
        "parameters": {"numberOfReplicas": "3"},
    },
    "longhorn-v2": {
        "provisioner": LONGHORN,
        "parameters": {"dataEngine": "v2", "migratable": "true"},
    },
    "lvm": {
        "provisioner": "lvm.driver.harvesterhci.io",
        "volumeBindingMode": "WaitForFirstConsumer",
    },
    "ceph": {"provisioner": "rook-ceph.rbd.csi.ceph.com"},
    "files": {"provisioner": "files.example"},
    "unknown": {"provisioner": "unknown.example"},
}
"""Name → class. CDI knows nothing of the last one's volumes; ``files`` has file systems only."""

PROFILES: dict[str, list[Object]] = {
    "ceph": [
        {"accessModes": ["ReadWriteMany"], "volumeMode": "Block"},
        {"accessModes": ["ReadWriteOnce"], "volumeMode": "Block"},
        {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"},
    ],
    "files": [{"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"}],
}
"""What CDI knows of classes that the fake has no rule for."""


@dataclass
class Site:
    """A cluster that runs."""

    kubernetes: FakeKubernetes
    api: Cluster
    longhorn: Longhorn
    cdi: Cdi
    authority: Authority
    kubeconfig: Path


@asynccontextmanager
async def site(
    root: Path, *, longhorn: dict[str, Any] | None = None, cdi: dict[str, Any] | None = None
) -> AsyncIterator[Site]:
    """Run a cluster whose files lie in *root*; the rest are fields of `Longhorn` and `Cdi`."""
    kubernetes, authority = FakeKubernetes(), Authority(root / "ca")
    for name, cls in CLASSES.items():
        new = {"volumeBindingMode": "Immediate", "reclaimPolicy": "Delete", **cls}
        new["metadata"] = {"name": name, **cls.get("metadata", {})}
        kubernetes.create("storageclasses", new)
    for name, sets in PROFILES.items():
        status = {"storageClass": name, "claimPropertySets": sets}
        profile = {"metadata": {"name": name}, "spec": {}, "status": status}
        kubernetes.create("storageprofiles", profile)
    async with (
        Longhorn(kubernetes, root / "longhorn", **longhorn or {}) as images,
        Cdi(kubernetes, root / "cdi", authority=authority, **cdi or {}) as volumes,
        serving(kubernetes, authority) as api,
    ):
        config = api.kubeconfig(root / "kubeconfig")
        yield Site(kubernetes, api, images, volumes, authority, config)
