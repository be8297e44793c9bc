"""The kinds of objects that are used, and their paths."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of object in the API."""

    group: str
    """Empty for the core group."""

    version: str
    plural: str
    kind: str
    owner: str = "Kubernetes"
    """Whose it is: what must be installed for it to be there."""

    namespaced: bool = True

    @property
    def name(self) -> str:
        """``datavolumes.cdi.kubevirt.io``, as the server names it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """What objects carry as ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of one object, or of all (*namespace* empty: in all namespaces)."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        space = f"namespaces/{quote(namespace, safe='')}" if namespace else ""
        parts = [base, space, self.plural, quote(name, safe=""), subresource]
        return "/".join(part for part in parts if part)

    def object(self, metadata: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Return an object of this kind."""
        head = {"apiVersion": self.api_version, "kind": self.kind}
        return {**head, "metadata": metadata, **fields}


_LONGHORN = ("longhorn.io", "v1beta2")
_CDI = ("cdi.kubevirt.io", "v1beta1")

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
STORAGE_CLASSES = Resource(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False
)
BACKING_IMAGES = Resource(*_LONGHORN, "backingimages", "BackingImage", "Longhorn")
DATA_SOURCES = Resource(*_LONGHORN, "backingimagedatasources", "BackingImageDataSource", "Longhorn")
VOLUMES = Resource(*_LONGHORN, "volumes", "Volume", "Longhorn")
ENGINES = Resource(*_LONGHORN, "engines", "Engine", "Longhorn")
DATA_VOLUMES = Resource(*_CDI, "datavolumes", "DataVolume", "CDI")
STORAGE_PROFILES = Resource(*_CDI, "storageprofiles", "StorageProfile", "CDI", namespaced=False)
CDI_CONFIGS = Resource(*_CDI, "cdiconfigs", "CDIConfig", "CDI", namespaced=False)
UPLOAD_TOKEN_REQUESTS = Resource(
    "upload.cdi.kubevirt.io", "v1beta1", "uploadtokenrequests", "UploadTokenRequest", "CDI"
)
VM_IMAGES = Resource(
    "harvesterhci.io", "v1beta1", "virtualmachineimages", "VirtualMachineImage", "Harvester"
)
TOKEN_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False
)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
