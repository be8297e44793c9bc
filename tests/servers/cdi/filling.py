"""A DataVolume that is being filled: its upload pods, and what is written of them (facts, A5)."""

import asyncio
import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.cdi import objects, status
from tests.servers.cdi.upload_proxy import PRIME, Key
from tests.servers.cdi.upload_server import KILLED, UploadServer
from tests.servers.kubernetes import FakeKubernetes, Object, Refused

FAILED = -1
"""Instead of an exit code: no other pod follows."""

CREATING = ("ContainerCreating", "")


@dataclass
class Volume:
    """One of them, from its claims on."""

    object: Object
    claim: Object
    prime: Object
    block: bool
    size: int
    overhead: float
    pod: str = ""
    """Identity of the pod that runs."""

    exits: "asyncio.Queue[int]" = field(default_factory=asyncio.Queue)

    @property
    def key(self) -> Key:
        """Namespace and name of the claim that is written."""
        return self.prime["metadata"]["namespace"], self.prime["metadata"]["name"]

    @property
    def made(self) -> str:
        """Name of the PersistentVolume."""
        return f"pvc-{self.prime['metadata']['uid']}"


@dataclass
class Filling:
    """Runs upload pods and gives their volumes to claims. Gates and faults are fields."""

    kubernetes: FakeKubernetes
    root: Path
    tries: list[dict[str, Any]] = field(default_factory=list)
    """Fields of the next upload servers, one dict each, as ``{"kill_after": 4096}``."""

    pod_waits: tuple[str, str] = CREATING
    """Reason and message of what holds pods back, as ``("ImagePullBackOff", "...")``."""

    unschedulable: str = ""
    """What the scheduler says of pods that it finds no node for."""

    no_scratch: str = ""
    """Why there is no volume for scratch space; pods then wait for it."""

    scheduling: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to keep pods from running. It is, when one of the above holds them back."""

    restarting: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold containers in kubelet's back-off."""

    binding: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold claims unbound although their DataVolume has succeeded."""

    def __post_init__(self) -> None:
        for gate in (self.scheduling, self.restarting, self.binding):
            gate.set()
        if self.unschedulable or self.no_scratch or self.pod_waits != CREATING:
            self.scheduling.clear()
        self.servers: dict[Key, UploadServer] = {}
        self._folders: dict[Key, Path] = {}
        self._volumes: dict[Key, Volume] = {}

    async def _fill(self, volume: Volume) -> None:
        """Run upload pods until one succeeds; one that was killed is followed by another."""
        while True:
            pod = self.kubernetes.create("pods", objects.pod(volume.prime))
            new = objects.scratch(volume.prime, pod)
            scratch = self.kubernetes.create("persistentvolumeclaims", new)
            if await self._run(volume, pod, scratch):
                return

    async def _run(self, volume: Volume, pod: Object, scratch: Object) -> bool:
        """Run one pod; return whether nothing is left to do."""
        server, restarts = await self._start(volume, pod, scratch), 0
        while True:
            container = objects.container(restarts, server.termination, running={})
            self._says(volume, pod, "Running", container)
            code = await volume.exits.get()
            if code == 0:
                await self._succeed(volume, pod, server, restarts)
            if code == KILLED:
                self._delete("pods", pod)
                return False
            if code in (0, FAILED):
                return True
            restarts += 1
            await self._restart(volume, pod, server, restarts)

    async def _restart(
        self, volume: Volume, pod: Object, server: UploadServer, restarts: int
    ) -> None:
        """Go through the end of a container and kubelet's back-off."""
        last = server.termination
        ended = {"exitCode": 1, "reason": "Error", "message": last}
        container = objects.container(restarts - 1, last, terminated=ended)
        self._says(volume, pod, "Running", container)
        waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed"}
        container = objects.container(restarts, last, waiting=waiting)
        self._says(volume, pod, "Running", container)
        await self.restarting.wait()
        server.restart()

    async def _start(self, volume: Volume, pod: Object, scratch: Object) -> UploadServer:
        await self._schedule(volume, pod, scratch)
        reason, message = self.pod_waits
        waiting = {"reason": reason, "message": message}
        self._says(volume, pod, "Pending", objects.container(0, "", waiting=waiting))
        if self.pod_waits != CREATING:
            self.kubernetes.event(pod, "Failed", message)
        await self.scheduling.wait()
        server = UploadServer(
            self._folders[key_of(volume.object)],
            size=volume.size,
            overhead=volume.overhead,
            block=volume.block,
            preallocation=bool(volume.object["spec"].get("preallocation")),
            exited=volume.exits.put_nowait,
            **(self.tries.pop(0) if self.tries else {}),
        )
        self.servers[volume.key] = server
        volume.pod = pod["metadata"]["uid"]
        return server

    async def _schedule(self, volume: Volume, pod: Object, scratch: Object) -> None:
        """Find a node for the pod, once its claims are bound."""
        why = self.unschedulable
        if self.no_scratch:
            why = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims"
            self.kubernetes.event(scratch, "ProvisioningFailed", self.no_scratch)
        if why:
            scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
            told = {"conditions": [{**scheduled, "message": why}]}
            self.kubernetes.apply("pods", *key_of(pod), {"status": told})
            self.kubernetes.event(pod, "FailedScheduling", why)
            self._says(volume, pod, "Pending")
            await self.scheduling.wait()
        self._apply(scratch, {"status": {"phase": "Bound"}})

    async def _succeed(
        self, volume: Volume, pod: Object, server: UploadServer, restarts: int
    ) -> None:
        """Give the volume to the claim; the DataVolume has succeeded before that is done."""
        ended = {"exitCode": 0, "reason": "Completed", "message": "Upload Complete"}
        capacity = {"storage": str(volume.size)}
        spec = {"capacity": capacity, "accessModes": volume.claim["spec"]["accessModes"]}
        new = {"metadata": {"name": volume.made}, "spec": spec}
        self.kubernetes.create("persistentvolumes", new)
        container = objects.container(restarts, "", terminated=ended)
        self._mark(volume.claim, {PRIME: None})
        self._says(volume, pod, "Succeeded", container)
        await self.binding.wait()
        bound = {"phase": "Bound", "capacity": capacity}
        self._apply(volume.claim, {"spec": {"volumeName": volume.made}, "status": bound})
        self._delete("persistentvolumeclaims", volume.prime)
        source = volume.claim["spec"]["dataSourceRef"]["name"]
        namespace = volume.key[0]
        self.kubernetes.delete("volumeuploadsources", namespace, source)
        await asyncio.to_thread(shutil.rmtree, server.scratch.parent, ignore_errors=True)
        self._sync(volume.object)

    # --- what the API shows

    def _says(
        self, volume: Volume, pod: Object, phase: str, container: Object | None = None
    ) -> None:
        """Write how the pod does: on itself, on both claims, on the DataVolume."""
        now: Object = {"phase": phase}
        if container:
            ready = {"type": "Ready", "status": str(container["ready"])}
            now |= {"conditions": [ready], "containerStatuses": [container]}
        whole = self.kubernetes.apply("pods", *key_of(pod), {"status": now})
        marks = objects.marks(whole)
        for claim in (volume.prime, volume.claim):
            self._mark(claim, marks)
        self._sync(volume.object)

    def _sync(self, volume: Object, *, waits: bool = False) -> None:
        """Give a DataVolume the status that follows from its claims, and the events of it."""
        key = key_of(volume)
        before = self.kubernetes.get("datavolumes", *key).get("status") or {}
        claim = self.kubernetes.find("persistentvolumeclaims", *key)
        prime = None
        if claim:
            named = key[0], f"prime-{claim['metadata']['uid']}"
            prime = self.kubernetes.find("persistentvolumeclaims", *named)
        after = status.status(before, claim, prime, waits, self.kubernetes.store.stamp())
        self.kubernetes.apply("datavolumes", *key, {"status": after})
        for kind, reason, message in status.events(key[1], before, after):
            self.kubernetes.event(volume, reason, message, kind)

    def _mark(self, claim: Object, annotations: Mapping[str, str | None]) -> None:
        self._apply(claim, {"metadata": {"annotations": dict(annotations)}})

    def _apply(self, claim: Object, patch: Object) -> None:
        self.kubernetes.apply("persistentvolumeclaims", *key_of(claim), patch)

    def _delete(self, resource: str, found: Object) -> None:
        with contextlib.suppress(Refused):
            self.kubernetes.delete(resource, *key_of(found))


def key_of(found: Object) -> Key:
    """Return an object's namespace and name."""
    return found["metadata"]["namespace"], found["metadata"]["name"]
