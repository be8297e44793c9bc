"""Longhorn's objects (v1beta2, Longhorn 1.10 to 1.13)."""

import msgspec

from importer.kube.objects.base import Part, View


class DiskFile(Part, frozen=True, kw_only=True):
    """One copy of a backing image. States: docs of Longhorn, backingimage.go:21-28."""

    state: str = ""
    progress: int = 0
    """Percent."""

    message: str = ""


class BackingImageStatus(Part, frozen=True, kw_only=True):
    """What Longhorn says of it."""

    uuid: str = ""
    size: int = 0
    virtual_size: int = 0
    """0 until a copy is ready, and when qemu-img could not read it."""

    checksum: str = ""
    """SHA-512 of the file, in hex."""

    disk_file_status_map: dict[str, DiskFile] = msgspec.field(default_factory=dict)


class BackingImageSpec(Part, frozen=True, kw_only=True):
    """What is wanted."""

    checksum: str = ""
    """SHA-512 that the file has to have, in hex; empty: any."""


class BackingImage(View, frozen=True, kw_only=True):
    """``backingimages.longhorn.io``."""

    spec: BackingImageSpec = BackingImageSpec()
    status: BackingImageStatus = BackingImageStatus()

    @property
    def copies(self) -> tuple[DiskFile, ...]:
        """Its copies, one a disk."""
        return tuple(self.status.disk_file_status_map.values())


class DataSourceStatus(Part, frozen=True, kw_only=True):
    """What the pod that takes the bytes says."""

    current_state: str = ""
    ip: str = ""
    storage_ip: str = msgspec.field(name="storageIP", default="")
    size: int = 0
    progress: int = 0
    """Percent."""

    checksum: str = ""
    message: str = ""


class DataSourceSpec(Part, frozen=True, kw_only=True):
    """Where it is."""

    node_id: str = msgspec.field(name="nodeID", default="")
    file_transferred: bool = False


class BackingImageDataSource(View, frozen=True, kw_only=True):
    """``backingimagedatasources.longhorn.io``, of the same name as its image."""

    spec: DataSourceSpec = DataSourceSpec()
    status: DataSourceStatus = DataSourceStatus()
