"""Storage classes: what backend and engine each implies, and which one is the default.

DESIGN's rule: ``driver.longhorn.io`` with `parameters.dataEngine` missing or ``v1`` is made by
Longhorn as a BackingImage; every other class goes through CDI.
"""

from dataclasses import dataclass
from typing import Any

from importer.errors import UnknownStorageClass
from importer.kube.cluster import Cluster, Object
from importer.kube.resources import STORAGE_CLASSES
from importer.model import StorageClass

LONGHORN = "driver.longhorn.io"
HARVESTER_LVM = "lvm.driver.harvesterhci.io"

_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_DEFAULT_VIRT = "storageclass.kubevirt.io/is-default-virt-class"


@dataclass(frozen=True, slots=True)
class ClusterClass:
    """A storage class of the cluster."""

    name: str
    provisioner: str
    parameters: dict[str, str]
    waits_for_consumer: bool
    """Volumes are made when a pod wants them (WaitForFirstConsumer), not when they are claimed."""

    expandable: bool
    default_rank: tuple[int, str, str]
    """The largest is the default; 0 at its start: no default."""

    @property
    def backend(self) -> str:
        """The target that makes images of this class."""
        return "backingimage" if self._data_engine == "v1" else "cdi"

    @property
    def engine(self) -> str:
        """Label for measurements."""
        if self._data_engine in ("v1", "v2"):
            return f"longhorn-{self._data_engine}"
        return "lvm" if self.provisioner == HARVESTER_LVM else self.provisioner

    @property
    def of_an_image(self) -> bool:
        """Volumes of this class start as a copy of one BackingImage: no place for other images."""
        return self.provisioner == LONGHORN and bool(self.parameters.get("backingImage"))

    @property
    def _data_engine(self) -> str | None:
        if self.provisioner != LONGHORN:
            return None
        return self.parameters.get("dataEngine") or "v1"

    def described(self, default: bool = False) -> StorageClass:
        """Return it as the service shows it."""
        return StorageClass(
            name=self.name,
            provisioner=self.provisioner,
            backend=self.backend,
            engine=self.engine,
            default=default,
        )


def read(found: Object) -> ClusterClass:
    """Return a StorageClass object (storage.k8s.io/v1) as a ClusterClass."""
    metadata = found["metadata"]
    return ClusterClass(
        name=metadata["name"],
        provisioner=found["provisioner"],
        parameters=dict(found.get("parameters") or {}),
        waits_for_consumer=found.get("volumeBindingMode") == "WaitForFirstConsumer",
        expandable=found.get("allowVolumeExpansion") is True,
        default_rank=_rank(metadata),
    )


def _rank(metadata: dict[str, Any]) -> tuple[int, str, str]:
    """Rank the default: CDI's for VM disks first, then the newest, as Kubernetes has it.

    CDI: pkg/controller/common/util.go, GetStorageClassByNameWithVirtFallback. Kubernetes, of
    several: the newest.
    """
    annotations = metadata.get("annotations") or {}
    rank = 1 if annotations.get(_DEFAULT) == "true" else 0
    rank = 2 if annotations.get(_DEFAULT_VIRT) == "true" else rank
    return rank, str(metadata.get("creationTimestamp") or ""), metadata["name"]


def default(classes: list[ClusterClass]) -> ClusterClass | None:
    """Return the class that is meant when none is named, or None where the cluster has none."""
    best = max(classes, key=lambda one: one.default_rank, default=None)
    return best if best and best.default_rank[0] else None


async def storage_classes(cluster: Cluster) -> list[ClusterClass]:
    """Return the classes in which images can be made, by name; those of one image are left out."""
    found = [read(one) for one in await cluster.all(STORAGE_CLASSES)]
    return sorted((one for one in found if not one.of_an_image), key=lambda one: one.name)


async def storage_class(cluster: Cluster, name: str) -> ClusterClass:
    """Return one class. Raises UnknownStorageClass when there is none, or it is of one image."""
    found = await cluster.find(STORAGE_CLASSES, "", name)
    if found is None:
        raise UnknownStorageClass(f"the cluster has no storage class {name}")
    one = read(found)
    if one.of_an_image:
        image = one.parameters["backingImage"]
        raise UnknownStorageClass(
            f"storage class {name} makes copies of backing image {image}: no other image fits in"
        )
    return one
