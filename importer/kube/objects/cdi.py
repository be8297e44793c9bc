"""CDI's objects (v1beta1, CDI 1.66)."""

from typing import Any

import msgspec

from importer.errors import ClusterRefused
from importer.kube.objects.base import Conditions, Part, View


class DataVolumeSpec(Part, frozen=True, kw_only=True):
    """What is wanted."""

    source: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    """One entry: kind of source (``http``, ``pvc``, ``upload``, ...) → its fields."""


class DataVolumeStatus(Conditions, frozen=True, kw_only=True):
    """What CDI says of it. Phases: types.go:361-433."""

    phase: str = ""
    progress: str = ""
    restart_count: int = 0
    claim_name: str = ""


class DataVolume(View, frozen=True, kw_only=True):
    """``datavolumes.cdi.kubevirt.io``."""

    spec: DataVolumeSpec = DataVolumeSpec()
    status: DataVolumeStatus = DataVolumeStatus()


class ClaimPropertySet(Part, frozen=True, kw_only=True):
    """Access and volume modes that work together."""

    access_modes: tuple[str, ...] = ()
    volume_mode: str = "Filesystem"


class StorageProfileStatus(Part, frozen=True, kw_only=True):
    """What CDI knows of a storage class."""

    provisioner: str = ""
    clone_strategy: str = ""
    claim_property_sets: tuple[ClaimPropertySet, ...] = ()
    """The first is what CDI takes."""


class StorageProfile(View, frozen=True, kw_only=True):
    """``storageprofiles.cdi.kubevirt.io``, of the same name as its storage class."""

    status: StorageProfileStatus = StorageProfileStatus()


class CdiConfigSpec(Part, frozen=True, kw_only=True):
    """What the administrator wants."""

    upload_proxy_url_override: str = msgspec.field(name="uploadProxyURLOverride", default="")


class Overhead(Part, frozen=True, kw_only=True):
    """Share of a file system that is kept free, as ``0.06``."""

    all_classes: str = msgspec.field(name="global", default="")
    storage_class: dict[str, str] = msgspec.field(default_factory=dict)


class CdiConfigStatus(Part, frozen=True, kw_only=True):
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


class UploadToken(Part, frozen=True, kw_only=True):
    """What an UploadTokenRequest is answered with."""

    token: str = ""
    """Good for 5 minutes, for one claim."""

    def __repr__(self) -> str:
        return "UploadToken(***)"


class UploadTokenRequest(View, frozen=True, kw_only=True):
    """``uploadtokenrequests.upload.cdi.kubevirt.io``: never stored."""

    status: UploadToken = UploadToken()
