"""What the fake serves: group, version, plural, kind, and the few rules of a schema that matter."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_SOURCES = ("download", "upload", "export-from-volume", "restore", "clone")


@dataclass(frozen=True)
class Resource:
    """One kind of object."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    status: bool = True
    """Status is a subresource: the main path leaves it as it is, and the other way round."""

    virtual: bool = False
    """Only `create`, answered by a hook, never stored (reviews, upload tokens)."""

    enums: Mapping[str, tuple[str, ...]] = field(default_factory=dict, compare=False)
    """Dotted path → the values that its schema allows."""

    spec: frozenset[str] | None = None
    """Fields that ``spec`` may have; others are dropped with a warning. None: any."""

    @property
    def name(self) -> str:
        """``datavolumes.cdi.kubevirt.io``; the core group has no suffix."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """What objects carry as ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def base(self) -> str:
        """The path before ``/namespaces``."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    @property
    def custom(self) -> bool:
        """Comes from a CustomResourceDefinition: updates must name the version they change."""
        return "." in self.group and not self.group.endswith("k8s.io")


def _core(plural: str, kind: str, **more: bool) -> Resource:
    return Resource("", "v1", plural, kind, **more)


def _longhorn(plural: str, kind: str, **more: Mapping[str, tuple[str, ...]]) -> Resource:
    return Resource("longhorn.io", "v1beta2", plural, kind, **more)


def _cdi(plural: str, kind: str, *, namespaced: bool = True, spec: str = "") -> Resource:
    fields = frozenset(spec.split()) or None
    return Resource("cdi.kubevirt.io", "v1beta1", plural, kind, namespaced, spec=fields)


def _review(group: str, plural: str, kind: str) -> Resource:
    return Resource(group, "v1", plural, kind, namespaced=False, virtual=True)


CATALOGUE = (
    _core("namespaces", "Namespace", namespaced=False),
    _core("nodes", "Node", namespaced=False),
    _core("pods", "Pod"),
    _core("services", "Service"),
    _core("serviceaccounts", "ServiceAccount", status=False),
    _core("events", "Event", status=False),
    _core("configmaps", "ConfigMap", status=False),
    _core("secrets", "Secret", status=False),
    _core("persistentvolumeclaims", "PersistentVolumeClaim"),
    _core("persistentvolumes", "PersistentVolume", namespaced=False),
    _core("resourcequotas", "ResourceQuota"),
    Resource("batch", "v1", "jobs", "Job"),
    Resource("coordination.k8s.io", "v1", "leases", "Lease", status=False),
    Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, False),
    Resource(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False
    ),
    Resource("snapshot.storage.k8s.io", "v1", "volumesnapshots", "VolumeSnapshot"),
    _longhorn("backingimages", "BackingImage", enums={"spec.sourceType": _SOURCES}),
    _longhorn("backingimagedatasources", "BackingImageDataSource"),
    _longhorn("backingimagemanagers", "BackingImageManager"),
    _longhorn("volumes", "Volume"),
    _longhorn("engines", "Engine"),
    _longhorn("replicas", "Replica"),
    _longhorn("nodes", "Node"),
    _longhorn("settings", "Setting"),
    _cdi(
        "datavolumes",
        "DataVolume",
        spec="source sourceRef pvc storage priorityClassName contentType checkpoints "
        "finalCheckpoint preallocation",
    ),
    _cdi("storageprofiles", "StorageProfile", namespaced=False),
    _cdi("cdiconfigs", "CDIConfig", namespaced=False),
    _cdi("cdis", "CDI", namespaced=False),
    _cdi("volumeuploadsources", "VolumeUploadSource"),
    Resource(
        "upload.cdi.kubevirt.io",
        "v1beta1",
        "uploadtokenrequests",
        "UploadTokenRequest",
        virtual=True,
    ),
    Resource(
        "harvesterhci.io",
        "v1beta1",
        "virtualmachineimages",
        "VirtualMachineImage",
        status=False,
        enums={"spec.sourceType": _SOURCES, "spec.backend": ("backingimage", "cdi")},
    ),
    Resource("harvesterhci.io", "v1beta1", "settings", "Setting", False, False),
    _review("authentication.k8s.io", "tokenreviews", "TokenReview"),
    _review("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview"),
    _review("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
)
"""Everything that is served unless a test takes it away or adds to it."""


class Catalogue:
    """Finds resources by name and by path."""

    def __init__(self, resources: tuple[Resource, ...] = CATALOGUE) -> None:
        self.all = list(resources)

    def find(self, name: "str | Resource") -> Resource:
        """Return the resource of ``plural`` (the first in the catalogue) or ``plural.group``."""
        if isinstance(name, Resource):
            return name
        for resource in self.all:
            if name in (resource.name, resource.plural):
                return resource
        raise KeyError(f"the fake serves no {name}")

    def at(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource that a path names."""
        for resource in self.all:
            if (resource.group, resource.version, resource.plural) == (group, version, plural):
                return resource
        return None

    def uninstall(self, group: str) -> None:
        """Take every resource of *group* away, as if its definitions had never been applied."""
        self.all = [resource for resource in self.all if resource.group != group]
