"""Typed views of the objects that are looked at: only what is used, with the server's field names.

Sizes are bytes, times RFC 3339 as the server writes them. What an object does not say (yet) is
empty or zero. Versions: CDI v1beta1 (CDI 1.66), Longhorn v1beta2 (1.10 to 1.13).
Raises ClusterRefused when a field has another type than all these versions give it.
"""

from typing import Any, TypeVar

import msgspec

from importer.errors import ClusterRefused
from importer.kube import quantity
from importer.kube.cluster import Object

T = TypeVar("T", bound="View")


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of an object: unknown fields are no business of ours."""


class Owner(_Part, frozen=True, kw_only=True):
    """One of ``ownerReferences``."""

    kind: str
    name: str
    uid: str
    controller: bool = False


class Metadata(_Part, frozen=True, kw_only=True):
    """What every object has."""

    name: str = ""
    """Empty in what is never stored: nobody makes a name of its ``generateName``."""

    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    """When its deletion was asked for; empty while it was not."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[Owner, ...] = ()
    finalizers: tuple[str, ...] = ()


class View(_Part, frozen=True, kw_only=True):
    """An object."""

    kind: str = ""
    metadata: Metadata

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name

    def __str__(self) -> str:
        return f"{self.kind} {self.metadata.namespace}/{self.name}".replace(" /", " ")


class Condition(_Part, frozen=True, kw_only=True):
    """One of ``status.conditions``."""

    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is so."""
        return self.status == "True"


class _Conditions(_Part, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: str) -> Condition:
        """Return the condition of that type; Unknown when there is none."""
        found = (one for one in self.conditions if one.type == kind)
        return next(found, Condition(type=kind))


# --- Longhorn ------------------------------------------------------------------------------------


class DiskFile(_Part, frozen=True, kw_only=True):
    """One copy of a backing image. States: docs of Longhorn, backingimage.go:21-28."""

    state: str = ""
    progress: int = 0
    """Percent."""

    message: str = ""


class BackingImageStatus(_Part, frozen=True, kw_only=True):
    """What Longhorn says of it."""

    uuid: str = ""
    size: int = 0
    virtual_size: int = 0
    """0 until a copy is ready, and when qemu-img could not read it."""

    checksum: str = ""
    """SHA-512 of the file, in hex."""

    disk_file_status_map: dict[str, DiskFile] = {}


class BackingImage(View, frozen=True, kw_only=True):
    """``backingimages.longhorn.io``."""

    status: BackingImageStatus = BackingImageStatus()

    @property
    def copies(self) -> tuple[DiskFile, ...]:
        """Its copies, one a disk."""
        return tuple(self.status.disk_file_status_map.values())


class DataSourceStatus(_Part, frozen=True, kw_only=True):
    """What the pod that takes the bytes says."""

    current_state: str = ""
    ip: str = ""
    storage_ip: str = msgspec.field(name="storageIP", default="")
    size: int = 0
    progress: int = 0
    """Percent."""

    checksum: str = ""
    message: str = ""


class DataSourceSpec(_Part, frozen=True, kw_only=True):
    """Where it is."""

    node_id: str = msgspec.field(name="nodeID", default="")
    file_transferred: bool = False


class BackingImageDataSource(View, frozen=True, kw_only=True):
    """``backingimagedatasources.longhorn.io``, of the same name as its image."""

    spec: DataSourceSpec = DataSourceSpec()
    status: DataSourceStatus = DataSourceStatus()


# --- CDI -----------------------------------------------------------------------------------------


class DataVolumeStatus(_Conditions, frozen=True, kw_only=True):
    """What CDI says of it. Phases: types.go:361-433."""

    phase: str = ""
    progress: str = ""
    restart_count: int = 0
    claim_name: str = ""


class DataVolume(View, frozen=True, kw_only=True):
    """``datavolumes.cdi.kubevirt.io``."""

    status: DataVolumeStatus = DataVolumeStatus()


class ClaimPropertySet(_Part, frozen=True, kw_only=True):
    """Access and volume modes that work together."""

    access_modes: tuple[str, ...] = ()
    volume_mode: str = "Filesystem"


class StorageProfileStatus(_Part, frozen=True, kw_only=True):
    """What CDI knows of a storage class."""

    provisioner: str = ""
    clone_strategy: str = ""
    claim_property_sets: tuple[ClaimPropertySet, ...] = ()
    """The first is what CDI takes."""


class StorageProfile(View, frozen=True, kw_only=True):
    """``storageprofiles.cdi.kubevirt.io``, of the same name as its storage class."""

    status: StorageProfileStatus = StorageProfileStatus()


class CdiConfigSpec(_Part, frozen=True, kw_only=True):
    """What the administrator wants."""

    upload_proxy_url_override: str = msgspec.field(name="uploadProxyURLOverride", default="")


class Overhead(_Part, frozen=True, kw_only=True):
    """Share of a file system that is kept free, as ``0.06``."""

    all_classes: str = msgspec.field(name="global", default="")
    storage_class: dict[str, str] = {}


class CdiConfigStatus(_Part, frozen=True, kw_only=True):
    """What CDI made of it (types.go, CDIConfigStatus)."""

    upload_proxy_url: str = msgspec.field(name="uploadProxyURL", default="")
    """Often without its scheme."""

    upload_proxy_ca: str = msgspec.field(name="uploadProxyCA", default="")
    scratch_space_storage_class: str = ""
    filesystem_overhead: Overhead = Overhead()


class CdiConfig(View, frozen=True, kw_only=True):
    """``cdiconfigs.cdi.kubevirt.io``: one, called ``config``."""

    spec: CdiConfigSpec = CdiConfigSpec()
    status: CdiConfigStatus = CdiConfigStatus()

    @property
    def upload_proxy(self) -> str:
        """The upload proxy's URL as it is for clients outside; empty where it has none."""
        url = self.spec.upload_proxy_url_override or self.status.upload_proxy_url
        return url if not url or "://" in url else f"https://{url}"

    def overhead(self, storage_class: str) -> float:
        """Return the share of a file system volume of that class that CDI keeps free."""
        found = self.status.filesystem_overhead
        text = found.storage_class.get(storage_class) or found.all_classes or "0.06"
        try:
            return float(text)
        except ValueError as exc:
            raise ClusterRefused(f"CDIConfig: {text!r} is no share of a file system") from exc


class UploadToken(_Part, frozen=True, kw_only=True):
    """What an UploadTokenRequest is answered with."""

    token: str = ""
    """Good for 5 minutes, for one claim."""

    def __repr__(self) -> str:
        return "UploadToken(***)"


class UploadTokenRequest(View, frozen=True, kw_only=True):
    """``uploadtokenrequests.upload.cdi.kubevirt.io``: never stored."""

    status: UploadToken = UploadToken()


# --- Kubernetes ----------------------------------------------------------------------------------


class _Resources(_Part, frozen=True, kw_only=True):
    requests: dict[str, str] = {}


class ClaimSpec(_Part, frozen=True, kw_only=True):
    """What is claimed."""

    access_modes: tuple[str, ...] = ()
    volume_mode: str = "Filesystem"
    storage_class_name: str = ""
    volume_name: str = ""
    resources: _Resources = _Resources()


class ClaimStatus(_Conditions, frozen=True, kw_only=True):
    """What it got."""

    phase: str = ""
    capacity: dict[str, str] = {}


class Claim(View, frozen=True, kw_only=True):
    """``persistentvolumeclaims``."""

    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()

    @property
    def requested(self) -> int:
        """Bytes asked for."""
        return quantity.parse(self.spec.resources.requests.get("storage", "0"))

    @property
    def capacity(self) -> int:
        """Bytes that it has; 0 while it is not bound."""
        return quantity.parse(self.status.capacity.get("storage", "0"))

    def cdi(self, annotation: str) -> str:
        """Return CDI's annotation ``cdi.kubevirt.io/storage.ANNOTATION``, empty when not there."""
        return self.metadata.annotations.get(f"cdi.kubevirt.io/storage.{annotation}", "")


class Stopped(_Part, frozen=True, kw_only=True):
    """Why a container waits, or how it ended."""

    reason: str = ""
    message: str = ""
    exit_code: int = 0


class ContainerState(_Part, frozen=True, kw_only=True):
    """One of these, or neither while it runs."""

    waiting: Stopped | None = None
    terminated: Stopped | None = None


class Container(_Part, frozen=True, kw_only=True):
    """One of ``containerStatuses``."""

    name: str
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodStatus(_Conditions, frozen=True, kw_only=True):
    """How a pod is."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")
    container_statuses: tuple[Container, ...] = ()
    init_container_statuses: tuple[Container, ...] = ()


class Pod(View, frozen=True, kw_only=True):
    """``pods``."""

    status: PodStatus = PodStatus()

    @property
    def restarts(self) -> int:
        """Restarts of its containers together."""
        return sum(one.restart_count for one in self.status.container_statuses)

    @property
    def held_by(self) -> str:
        """What it waits for, in the cluster's words: scheduling, an image, a volume; or empty."""
        scheduled = self.status.condition("PodScheduled")
        if scheduled.status == "False":
            return f"{scheduled.reason}: {scheduled.message}".strip(": ")
        waiting = [one.state.waiting for one in self._containers if one.state.waiting]
        told = [f"{one.reason}: {one.message}".strip(": ") for one in waiting]
        return "; ".join(text for text in told if text)

    @property
    def last_words(self) -> str:
        """Why a container of it ended the last time, or empty."""
        for one in self._containers:
            for state in (one.state, one.last_state):
                if state.terminated and state.terminated.exit_code:
                    told = state.terminated.message or state.terminated.reason
                    return told or f"exit code {state.terminated.exit_code}"
        return ""

    @property
    def _containers(self) -> tuple[Container, ...]:
        return self.status.init_container_statuses + self.status.container_statuses


class Involved(_Part, frozen=True, kw_only=True):
    """What an event is about."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class ClusterEvent(View, frozen=True, kw_only=True):
    """``events`` (core v1)."""

    involved_object: Involved = Involved()
    type: str = "Normal"
    reason: str = ""
    message: str = ""
    count: int = 1
    last_timestamp: str = ""
    event_time: str = ""

    @property
    def warns(self) -> bool:
        """Whether something is wrong."""
        return self.type == "Warning"

    @property
    def last_seen(self) -> str:
        """When it happened last."""
        return self.last_timestamp or self.event_time or self.metadata.creation_timestamp


def view(kind: type[T], found: Object) -> T:
    """Return *found* as *kind*."""
    try:
        return msgspec.convert(_told(found), kind, strict=False)
    except msgspec.ValidationError as exc:
        name = (found.get("metadata") or {}).get("name")
        raise ClusterRefused(f"{kind.__name__} {name} is not as expected: {exc}") from exc


def _told(found: Any) -> Any:
    """Return *found* without its nulls: Go writes them where it has nothing to say."""
    if isinstance(found, dict):
        return {key: _told(value) for key, value in found.items() if value is not None}
    return [_told(one) for one in found] if isinstance(found, list) else found
