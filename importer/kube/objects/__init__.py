"""Typed views of the objects that are looked at: only what is used, with the server's field names.

Sizes are bytes, times RFC 3339 as the server writes them. What an object does not say (yet) is
empty or zero. Versions: CDI v1beta1 (CDI 1.66), Longhorn v1beta2 (1.10 to 1.13).
Raises ClusterRefused when a field has another type than all these versions give it.
"""

from importer.kube.objects.base import Condition, Metadata, Owner, View, view
from importer.kube.objects.cdi import (
    CdiConfig,
    CdiConfigSpec,
    CdiConfigStatus,
    ClaimPropertySet,
    DataVolume,
    DataVolumeStatus,
    Overhead,
    StorageProfile,
    StorageProfileStatus,
    UploadToken,
    UploadTokenRequest,
)
from importer.kube.objects.core import (
    Claim,
    ClaimSpec,
    ClaimStatus,
    ClusterEvent,
    Container,
    ContainerState,
    Involved,
    Pod,
    PodStatus,
    Stopped,
)
from importer.kube.objects.harvester import VmImage, VmImageSpec, VmImageStatus
from importer.kube.objects.longhorn import (
    BackingImage,
    BackingImageDataSource,
    BackingImageSpec,
    BackingImageStatus,
    DataSourceSpec,
    DataSourceStatus,
    DiskFile,
)

__all__ = [
    "BackingImage",
    "BackingImageDataSource",
    "BackingImageSpec",
    "BackingImageStatus",
    "CdiConfig",
    "CdiConfigSpec",
    "CdiConfigStatus",
    "Claim",
    "ClaimPropertySet",
    "ClaimSpec",
    "ClaimStatus",
    "ClusterEvent",
    "Condition",
    "Container",
    "ContainerState",
    "DataSourceSpec",
    "DataSourceStatus",
    "DataVolume",
    "DataVolumeStatus",
    "DiskFile",
    "Involved",
    "Metadata",
    "Overhead",
    "Owner",
    "Pod",
    "PodStatus",
    "Stopped",
    "StorageProfile",
    "StorageProfileStatus",
    "UploadToken",
    "UploadTokenRequest",
    "View",
    "VmImage",
    "VmImageSpec",
    "VmImageStatus",
    "view",
]
