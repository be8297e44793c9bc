"""A clone or an import of CDI's as a test tells it, step by step: what its objects say, no bytes.

Names, labels and annotations as the clone populator writes them (CDI:
populators/clone-populator.go, clone/{planner,csi-clone,rebind}.go); phases and conditions of
DataVolumes as its controllers do.
"""

from dataclasses import dataclass, field

from tests.servers.cdi.objects import CREATED_FOR, LABELS, USE_POPULATOR, owned
from tests.servers.kubernetes import FakeKubernetes, Object

ANNOTATION = "cdi.kubevirt.io/"
OWNER = "cdi.kubevirt.io/OwnedByUID"
CLAIMS, VOLUMES = "persistentvolumeclaims", "datavolumes"


def bound(kubernetes: FakeKubernetes, name: str, storage_class: str, size: int) -> Object:
    """Create a claim that has its volume: something to make clones of."""
    spec = {"storageClassName": storage_class, "resources": {"requests": {"storage": str(size)}}}
    claim = kubernetes.create(CLAIMS, {"metadata": {"name": name}, "spec": spec})
    made = {"volumeName": f"pvc-{claim['metadata']['uid']}"}
    status = {"phase": "Bound", "capacity": {"storage": str(size)}}
    return kubernetes.apply(CLAIMS, "default", name, {"spec": made, "status": status})


@dataclass
class _Told:
    """A DataVolume and its claim."""

    kubernetes: FakeKubernetes
    name: str
    storage_class: str
    size: int
    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = "default"

    def claim(self) -> Object:
        """Return the claim."""
        return self.kubernetes.get(CLAIMS, self.namespace, self.name)

    @property
    def uid(self) -> str:
        """The claim's."""
        return str(self.claim()["metadata"]["uid"])

    @property
    def volume_uid(self) -> str:
        """The DataVolume's."""
        found = self.kubernetes.get(VOLUMES, self.namespace, self.name)
        return str(found["metadata"]["uid"])

    def delete(self) -> None:
        """Delete the DataVolume; its claim goes with it."""
        self.kubernetes.delete(VOLUMES, self.namespace, self.name)

    def lose(self) -> None:
        """Lose the claim's volume."""
        self.kubernetes.apply(CLAIMS, self.namespace, self.name, {"status": {"phase": "Lost"}})
        self._volume("Failed")

    def _create(self, source: Object, annotations: dict[str, str], **spec: Object) -> None:
        named = {"name": self.name, "namespace": self.namespace, "labels": self.labels}
        new = {"metadata": named, "spec": {"source": source}, "status": {"phase": "Pending"}}
        volume = self.kubernetes.create(VOLUMES, new)
        whose = {CREATED_FOR: volume["metadata"]["uid"], USE_POPULATOR: "true", **annotations}
        meta = {**named, "labels": {**LABELS, **self.labels}, "annotations": whose}
        meta["ownerReferences"] = owned(volume)
        asked = {"requests": {"storage": str(self.size)}}
        wanted = {"storageClassName": self.storage_class, "resources": asked, **spec}
        status = {"phase": "Pending"}
        self.kubernetes.create(CLAIMS, {"metadata": meta, "spec": wanted, "status": status})

    def _note(self, **notes: str | None) -> None:
        marks = {f"{ANNOTATION}{name}": text for name, text in notes.items()}
        patch = {"metadata": {"annotations": marks}}
        self.kubernetes.apply(CLAIMS, self.namespace, self.name, patch)

    def _volume(self, phase: str, progress: str = "N/A", error: str = "") -> None:
        now, whole = self.kubernetes.store.stamp(), phase == "Succeeded"
        ready = {"type": "Ready", "status": "True" if whole else "False"}
        told = [{**ready, "lastTransitionTime": now}]
        if error:
            why = {"reason": "Error", "message": error, "lastTransitionTime": now}
            told.append({"type": "Running", "status": "False", **why})
        status = {"phase": phase, "progress": progress, "conditions": told}
        self.kubernetes.apply(VOLUMES, self.namespace, self.name, {"status": status})


@dataclass
class Clone(_Told):
    """A DataVolume that is a clone of the claim *source*."""

    source: str = "golden"
    kind: str = "copy"
    """copy, snapshot or csi-clone."""

    fallback: str = ""
    """Why it is not another."""

    def begin(self) -> None:
        """Create it; nothing is copied yet."""
        notes = {f"{ANNOTATION}cloneType": self.kind, f"{ANNOTATION}clonePhase": "Pending"}
        if self.fallback:
            notes[f"{ANNOTATION}cloneFallbackReason"] = self.fallback
        refers = {"kind": "VolumeCloneSource", "name": f"volume-clone-source-{self.name}"}
        source = {"pvc": {"namespace": self.namespace, "name": self.source}}
        self._create(source, notes, dataSourceRef=refers)
        self._volume("CloneScheduled")

    def phase(self, phase: str, progress: str = "") -> None:
        """Go to *phase*, as HostClone, CSIClone, SnapshotClone, PrepClaim, Rebind, Pending."""
        self._note(clonePhase=phase, cloneError=None)
        if progress:
            self._note(**{"storage.populator.progress": progress})
        self._volume(f"{phase}InProgress", progress or "N/A")

    def fail(self, message: str) -> None:
        """Say Error; CDI tries again."""
        self._note(clonePhase="Error", cloneError=message)

    def provision(self) -> str:
        """Create the claim that the volume is made for; return the volume's name."""
        target = self.claim()["metadata"]
        labels = {**target["labels"], OWNER: target["uid"]}
        meta = {"name": self.passing, "namespace": self.namespace, "labels": labels}
        meta["annotations"] = target["annotations"]
        spec = {"storageClassName": self.storage_class, "resources": {"requests": {}}}
        spec["dataSourceRef"] = {"kind": "PersistentVolumeClaim", "name": self.source}
        made = self.kubernetes.create(CLAIMS, {"metadata": meta, "spec": spec})
        return f"pvc-{made['metadata']['uid']}"

    @property
    def passing(self) -> str:
        """Name of that claim."""
        return f"tmp-pvc-{self.uid}"

    def bind(self, volume: str) -> None:
        """Bind *volume* to the claim that it was made for."""
        bound = {"spec": {"volumeName": volume}, "status": {"phase": "Bound"}}
        self.kubernetes.apply(CLAIMS, self.namespace, self.passing, bound)

    def unbind(self) -> None:
        """Take the volume from the claim that it was made for: it is nobody's."""
        self.kubernetes.delete(CLAIMS, self.namespace, self.passing)

    def rebind(self, volume: str) -> None:
        """Give the volume to the claim that was wanted."""
        capacity = {"storage": str(self.size)}
        bound = {"spec": {"volumeName": volume}, "status": {"phase": "Bound", "capacity": capacity}}
        self.kubernetes.apply(CLAIMS, self.namespace, self.name, bound)

    def succeed(self) -> None:
        """Be whole."""
        self._note(**{"clonePhase": "Succeeded", "storage.populator.progress": "100.0%"})
        self._volume("Succeeded", "100.0%")


@dataclass
class Import(_Told):
    """A DataVolume that CDI's own importer fills."""

    url: str = "https://images.example/disk.qcow2"

    def begin(self) -> None:
        """Create it."""
        self._create({"http": {"url": self.url}}, {})
        self._volume("ImportScheduled")

    def progress(self, progress: str, error: str = "") -> None:
        """Be *progress* far, as ``45.30%`` or ``N/A``; *error*: why its pod starts again."""
        self._volume("ImportInProgress", progress, error)

    def succeed(self) -> None:
        """Be whole."""
        self._volume("Succeeded", "100.0%")
