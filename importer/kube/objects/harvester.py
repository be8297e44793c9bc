"""Harvester's objects (v1beta1, Harvester 1.5 to 1.9)."""

import msgspec

from importer.kube.objects.base import Conditions, Part, View

_CLASS = "harvesterhci.io/storageClassName"
_UPGRADE = "harvesterhci.io/os-upgrade-image"


class VmImageSpec(Part, frozen=True, kw_only=True):
    """What is wanted (image.go:34-79)."""

    backend: str = "backingimage"
    """``backingimage`` or ``cdi``."""

    display_name: str = ""
    source_type: str = ""
    checksum: str = ""
    """SHA-512 of the file, in hex, though nothing in Harvester says so. Empty: none."""

    target_storage_class_name: str = ""


class VmImageStatus(Conditions, frozen=True, kw_only=True):
    """What Harvester says of it; no subresource."""

    storage_class_name: str = ""


class VmImage(View, frozen=True, kw_only=True):
    """``virtualmachineimages.harvesterhci.io``."""

    spec: VmImageSpec = VmImageSpec()
    status: VmImageStatus = msgspec.field(default_factory=VmImageStatus)

    @property
    def storage_class(self) -> str:
        """Where it is to be made; empty where it does not say."""
        return self.spec.target_storage_class_name or self.metadata.annotations.get(_CLASS, "")

    @property
    def is_upgrade(self) -> bool:
        """Say whether it is one that Harvester upgrades its nodes with, from all of them."""
        return self.metadata.annotations.get(_UPGRADE) == "True"

    @property
    def backing_image(self) -> str:
        """Name of the BackingImage that Harvester makes of it (pkg/util/image.go:32-38)."""
        return f"vmi-{self.metadata.uid}"
