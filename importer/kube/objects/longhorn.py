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


class CloneStatus(Part, frozen=True, kw_only=True):
    """How far a volume is in becoming a copy of another (volume.go:154-186)."""

    source_volume: str = ""
    snapshot: str = ""
    state: str = ""
    """Empty, initiated, copy-completed-awaiting-healthy, completed, failed."""

    attempt_count: int = 0


class KubernetesStatus(Part, frozen=True, kw_only=True):
    """What it is to Kubernetes."""

    namespace: str = ""
    pvc_name: str = ""


class VolumeSpec(Part, frozen=True, kw_only=True):
    """What is wanted of it."""

    size: int = 0
    """Bytes."""

    data_engine: str = ""
    """v1 or v2; empty: v1."""

    data_source: str = ""
    """``vol://VOLUME`` or ``snap://VOLUME/SNAPSHOT``: it begins as a copy of that."""

    clone_mode: str = ""
    """full-copy or linked-clone; empty: it is no clone, or of a version without modes."""


class VolumeStatus(Part, frozen=True, kw_only=True):
    """How it is."""

    clone_status: CloneStatus = CloneStatus()
    kubernetes_status: KubernetesStatus = KubernetesStatus()
    actual_size: int = 0
    """Bytes that it and its snapshots take of a disk."""


class Volume(View, frozen=True, kw_only=True):
    """``volumes.longhorn.io``."""

    spec: VolumeSpec = VolumeSpec()
    status: VolumeStatus = VolumeStatus()


class SnapshotCloneStatus(Part, frozen=True, kw_only=True):
    """How far one replica is in taking over a snapshot (engine.go:87-99)."""

    progress: int = 0
    """Percent."""

    state: str = ""
    """in_progress, complete, error."""

    error: str = ""


class EngineSpec(Part, frozen=True, kw_only=True):
    """Whose it is."""

    volume_name: str = ""


class EngineStatus(Part, frozen=True, kw_only=True):
    """How it is."""

    clone_status: dict[str, SnapshotCloneStatus] = msgspec.field(default_factory=dict)
    """By replica: one for a full copy, all for a linked clone."""


class Engine(View, frozen=True, kw_only=True):
    """``engines.longhorn.io``."""

    spec: EngineSpec = EngineSpec()
    status: EngineStatus = EngineStatus()
