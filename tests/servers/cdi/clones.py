"""DataVolumes whose source is a claim: CDI's clones (facts, C).

The claim says which strategy was chosen; the DataVolume's phase and, of a host-assisted copy alone,
its progress say how far it is. The volume becomes a copy of the file that the source's is. Longhorn
v2 copies when CDI has succeeded already, and its volume says so. Not here: snapshots, the pods of a
host-assisted copy, and prime claims.
"""

import asyncio
import contextlib
import shutil
from dataclasses import dataclass, field

from tests.servers.cdi import claims, objects, status
from tests.servers.cdi.filling import Filling, key_of
from tests.servers.kubernetes import Object, Refused

TYPE = "cdi.kubevirt.io/cloneType"
FALLBACK = "cdi.kubevirt.io/cloneFallbackReason"
SPACE = "longhorn-system"
PHASES = {
    "csi-clone": "CSICloneInProgress",
    "snapshot": "SnapshotForSmartCloneInProgress",
    "copy": "CloneInProgress",
}
"""By strategy (types.go:361-433)."""

PHASE = "cdi.kubevirt.io/clonePhase"
WORK = {"csi-clone": "CSIClone", "snapshot": "Snapshot", "copy": "HostClone"}
"""What the claim says meanwhile, by strategy."""


@dataclass
class Cloning(Filling):
    """Makes volumes of volumes. Gates and faults are fields."""

    clone_type: str = "csi-clone"
    """What the planner chooses: csi-clone, snapshot or copy."""

    clone_fallback: str = ""
    """Why it is not another."""

    clone_error: str = ""
    """What goes wrong: the DataVolume stays where it is, with this as an event and a condition."""

    clone_fails: bool = False
    """Then the claim is lost, and the DataVolume ``Failed``."""

    cloning: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold copies half-way."""

    deep_copying: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold Longhorn's own copies half-way."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.cloning.set()
        self.deep_copying.set()
        self._longhorn: dict[tuple[str, str], str] = {}

    async def _clone(self, volume: Object, cls: Object) -> None:
        """Make the claim of *volume*, fill it, and bind it."""
        source = volume["spec"]["source"]["pvc"]
        of = self.kubernetes.get("persistentvolumeclaims", source["namespace"], source["name"])
        spec = claims.spec(self.kubernetes, volume, cls)
        claim = self.kubernetes.create(
            "persistentvolumeclaims", self._claimed(volume, of, spec, self.clone_type)
        )
        self._sync(volume)
        self._mark(claim, {PHASE: WORK[self.clone_type]})
        percent = "40.0%" if self.clone_type == "copy" else "N/A"
        self._cloning(volume, PHASES[self.clone_type], percent)
        if self.clone_error:
            self.kubernetes.event(volume, "CloneFailed", self.clone_error)
            self._cloning(volume, PHASES[self.clone_type], percent, self.clone_error)
        if self.clone_fails:
            self._apply(claim, {"status": {"phase": "Lost"}})
            self._cloning(volume, "Failed", percent, self.clone_error)
            return
        await self.cloning.wait()
        await asyncio.to_thread(self._fill_from, key_of(of), key_of(volume))
        capacity = {"storage": spec["resources"]["requests"]["storage"]}
        bound = {"phase": "Bound", "capacity": capacity}
        self._mark(claim, {PHASE: "Succeeded", f"{claims.STORAGE}.populator.progress": "100.0%"})
        made = {"volumeName": f"pvc-{claim['metadata']['uid']}"}
        is_deep = (
            self.clone_type != "copy" and (cls.get("parameters") or {}).get("dataEngine") == "v2"
        )
        if is_deep:
            self._longhorn[key_of(volume)] = made["volumeName"]
            self._copies(made["volumeName"], of)
        self._apply(claim, {"spec": made, "status": bound})
        self._cloning(volume, "Succeeded", "100.0%")
        if is_deep:
            await self.deep_copying.wait()
            state = {"status": {"cloneStatus": {"state": "copy-completed-awaiting-healthy"}}}
            self.kubernetes.apply("volumes", SPACE, made["volumeName"], state)

    def _copies(self, name: str, of: Object) -> None:
        """Make Longhorn's volume, which is a copy of the claim *of*'s to be."""
        source, space = of["spec"]["volumeName"], {"namespace": SPACE}
        taken = (self._folders[key_of(of)] / "data" / "disk.img").stat().st_blocks * 512
        new = {"metadata": {"name": source, **space}, "status": {"actualSize": taken}}
        with contextlib.suppress(Refused):  # another copy of it was made before
            self.kubernetes.create("volumes", {**new, "spec": {"dataEngine": "v2"}})
        size = of["spec"]["resources"]["requests"]["storage"]
        wanted = {"dataEngine": "v2", "dataSource": f"vol://{source}", "size": size}
        state = {"cloneStatus": {"state": "initiated", "sourceVolume": source}}
        new = {"metadata": {"name": name, **space}, "spec": wanted, "status": state}
        self.kubernetes.create("volumes", new)
        told = {"replica": {"progress": 30, "state": "in_progress"}}
        engine = {"metadata": {"name": f"{name}-e-0", **space}, "spec": {"volumeName": name}}
        self.kubernetes.create("engines", {**engine, "status": {"cloneStatus": told}})

    def _uncloned(self, key: tuple[str, str]) -> None:
        """Remove what Longhorn had of a DataVolume."""
        if name := self._longhorn.pop(key, None):
            self.kubernetes.delete("volumes", SPACE, name)
            self.kubernetes.delete("engines", SPACE, f"{name}-e-0")

    def _claimed(self, volume: Object, of: Object, spec: Object, kind: str) -> Object:
        meta = volume["metadata"]
        annotations = {objects.CREATED_FOR: meta["uid"], TYPE: kind}
        if self.clone_fallback:
            annotations[FALLBACK] = self.clone_fallback
        named = {"name": meta["name"], "namespace": meta["namespace"], "labels": objects.LABELS}
        owned = {"annotations": annotations, "ownerReferences": objects.owned(volume)}
        return {"metadata": {**named, **owned}, "spec": spec, "status": {"phase": "Pending"}}

    def _fill_from(self, source: tuple[str, str], to: tuple[str, str]) -> None:
        disk = self._folders[source] / "data" / "disk.img"
        folder = self._folders[to] / "data"
        folder.mkdir(parents=True)
        shutil.copyfile(disk, folder / "disk.img")

    def _cloning(self, volume: Object, phase: str, progress: str, error: str = "") -> None:
        """Write how the copy does."""
        claim = self.kubernetes.find("persistentvolumeclaims", *key_of(volume))
        now = self.kubernetes.store.stamp()
        told = status.conditions(phase, claim, ("NotFound", "No PVC found"), now)
        if error:
            told[-1] |= {"reason": "Error", "message": error}
        after = {"phase": phase, "progress": progress, "conditions": told}
        after["claimName"] = volume["metadata"]["name"]
        with contextlib.suppress(Refused):  # deleted meanwhile
            self.kubernetes.apply("datavolumes", *key_of(volume), {"status": after})
