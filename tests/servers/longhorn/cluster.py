"""Longhorn in a cluster: BackingImages of a fake API get data sources, and become ready.

The steps and the words are those of facts, E1, E2 and E4. Its gates and faults are fields.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.servers.clock import Clock
from tests.servers.kubernetes import Change, FakeKubernetes, Object, Refused
from tests.servers.listening import Listening
from tests.servers.longhorn import objects
from tests.servers.longhorn.data_source import DISK, DataSource
from tests.servers.longhorn.manager import LonghornManager
from tests.servers.longhorn.webhooks import Webhooks
from tests.servers.tasks import Tasks

_addresses: Iterator[int] = itertools.count()


@dataclass
class Longhorn:
    """longhorn-manager, its webhooks, and the pods of data sources."""

    kubernetes: FakeKubernetes
    root: Path
    namespace: str = "longhorn-system"
    disks: list[str] = field(default_factory=lambda: [DISK, "disk-2", "disk-3"])
    """Disks that copies may lie on; the first gets the file, the others get it from there."""

    v2: bool = False
    """Whether BackingImages of engine v2 are taken, as before 1.12 (facts, E5)."""

    tries: list[dict[str, Any]] = field(default_factory=list)
    """Fields of the next data sources, one dict each, as ``{"fail_after": 4096}``."""

    clock: Clock = field(default_factory=Clock)
    data_source_port: int = 8000
    scheduling: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to keep pods from running. It is, when they are unschedulable."""

    unschedulable: str = ""
    """What the scheduler says of pods meanwhile."""

    transferring: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold images at ``ready-for-transfer``."""

    removing: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold deleted BackingImages in the API by their finalizer."""

    cleans_up: bool = True
    """Whether a failed file turns from ``failed`` to ``failed-and-cleanup``."""

    manager: LonghornManager = field(default_factory=LonghornManager)

    def __post_init__(self) -> None:
        for gate in (self.scheduling, self.transferring, self.removing):
            gate.set()
        if self.unschedulable:
            self.scheduling.clear()
        self._webhooks = Webhooks(self.kubernetes, self.namespace, self.v2)
        self._tasks = Tasks()
        self._sources: dict[str, DataSource] = {}
        self._pods: dict[str, str] = {}
        self._lives: dict[str, asyncio.Task[Any]] = {}
        self._listening = Listening(self.manager.app())

    async def __aenter__(self) -> Self:
        self.kubernetes.admit("backingimages", self._webhooks.admit)
        await self._listening.__aenter__()
        self._tasks.start(self._watch())
        self._tasks.start(self._watch_pods())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listening.close()
        for source in self._sources.values():
            await source.kill()
        await self._tasks.close()

    @property
    def url(self) -> str:
        """What stands for ``http://longhorn-backend:9500``."""
        return self._listening.url

    def source(self, name: str) -> DataSource:
        """Return the data source of an image."""
        return self._sources[name]

    def file(self, name: str) -> Path:
        """Return the file that an image is."""
        return self.source(name).path

    def create(self, image: Object) -> Object:
        """Create a BackingImage as clients of the API do, past the webhooks."""
        self._webhooks.admit("create", image, None)
        return self.kubernetes.create("backingimages", image)

    # --- the controller

    async def _watch(self) -> None:
        async for change in self.kubernetes.watch("backingimages", self.namespace):
            name = change.object["metadata"]["name"]
            if change.type == "ADDED":
                self._lives[name] = self._tasks.start(self._live(change.object))
            elif change.object["metadata"].get("deletionTimestamp") or change.type == "DELETED":
                self._end(name, change)

    async def _watch_pods(self) -> None:
        """Kill the data sources whose pods somebody deletes."""
        async for change in self.kubernetes.watch("pods", self.namespace):
            uid = change.object["metadata"]["uid"]
            for name in [name for name, pod in self._pods.items() if pod == uid]:
                if change.type == "DELETED" and name in self.manager.sources:
                    await self.kill_pod(name)

    def _end(self, name: str, change: Change) -> None:
        life = self._lives.pop(name, None)
        if life:
            life.cancel()
            self.manager.files.pop(name, None)
            source = self._sources.pop(name, None)
            self._tasks.start(self._remove(name, source, change.type == "MODIFIED"))

    async def _remove(self, name: str, source: DataSource | None, held: bool) -> None:
        await self._stop(name)
        self._forget("backingimagedatasources", name)
        if source:
            await asyncio.to_thread(shutil.rmtree, source.root)
        await self.removing.wait()
        if held:
            self._apply("backingimages", name, {"metadata": {"finalizers": None}})

    async def _stop(self, name: str) -> None:
        """End an image's data source and its pod."""
        self.manager.waiting.discard(name)
        source = self.manager.sources.pop(name, None)
        if source:
            await source.kill()
        self._forget("pods", f"backing-image-ds-{name}")

    async def _live(self, image: Object) -> None:
        """Make the data source and its pod, and let it take the file."""
        name = image["metadata"]["name"]
        self._apply("backingimages", name, {"status": objects.unborn(image)})
        self._create("backingimagedatasources", objects.data_source(image))
        pod = self._create("pods", objects.pod(image))
        self._pods[name] = pod["metadata"]["uid"]
        self.manager.waiting.add(name)
        if not self.scheduling.is_set():
            self._pod_waits(pod)
        await self.scheduling.wait()
        self._apply("pods", pod["metadata"]["name"], objects.RUNNING)
        source = await self._serve(image)
        self.manager.sources[name] = self._sources[name] = source
        self.manager.waiting.discard(name)
        source.changed = lambda: self._mirror(image, source)
        address = {"ip": source.host, "storageIP": source.host}
        self._apply("backingimagedatasources", name, {"status": address})
        self._mirror(image, source)

    def _pod_waits(self, pod: Object) -> None:
        if self.unschedulable:
            self.kubernetes.event(pod, "FailedScheduling", self.unschedulable)
            told = {"reason": "Unschedulable", "message": self.unschedulable}
            scheduled = {"type": "PodScheduled", "status": "False", **told}
            name = pod["metadata"]["name"]
            self._apply("pods", name, {"status": {"conditions": [scheduled]}})

    async def _serve(self, image: Object) -> DataSource:
        meta, spec = image["metadata"], image["spec"]
        fields = self.tries.pop(0) if self.tries else {}
        fields = {"port": self.data_source_port, "sync_port": self.data_source_port + 1, **fields}
        for _ in range(10):
            source = DataSource(
                self.root / meta["uid"],
                meta["name"],
                uuid=meta["uid"][:8],
                source_type=spec["sourceType"],
                parameters=spec.get("sourceParameters") or {},
                checksum=spec.get("checksum", ""),
                clock=self.clock,
                host=_address(),
                **fields,
            )
            with contextlib.suppress(OSError):  # another process has that address
                return await source.__aenter__()
        raise RuntimeError(f"port {fields['port']} is taken at every address: is it at 0.0.0.0?")

    # --- what the API shows

    def _mirror(self, image: Object, source: DataSource) -> None:
        """Copy a data source's state to its objects, as the monitor does."""
        name, told = image["metadata"]["name"], source.info()
        if self.manager.sources.get(name) is not source:
            return
        self._show(name, told["state"], told)
        if told["state"] == "ready-for-transfer" and not source.transferred:
            self._tasks.start(self._transfer(image, source))
        if told["state"] == "failed":
            self._tasks.start(self._clean(name, told))

    def _show(self, name: str, state: str, told: Object) -> None:
        """Write a state on the data source's object, and on its image's (bic.go:1287-1437)."""
        shown = {"currentState": state, "progress": told["progress"], "message": told["message"]}
        sizes = {"size": told["size"], "checksum": told["currentChecksum"]}
        self._apply("backingimagedatasources", name, {"status": {**shown, **sizes}})
        known = {key: value for key, value in sizes.items() if value}
        copy = {DISK: self._copy(state, told["progress"], told["message"])}
        self._apply("backingimages", name, {"status": {**known, "diskFileStatusMap": copy}})

    async def _clean(self, name: str, told: Object) -> None:
        """Delete the pod of a failed data source, and have the file cleaned up (E4)."""
        await self._stop(name)
        gone = {"ip": "", "storageIP": ""}
        self._apply("backingimagedatasources", name, {"status": gone})
        if self.cleans_up:
            self._show(name, "failed-and-cleanup", told)

    def _copy(self, state: str, progress: int, message: str) -> Object:
        at = {"lastStateTransitionTime": self.kubernetes.store.stamp(), "dataEngine": "v1"}
        return {"state": state, "progress": progress, "message": message, **at}

    async def _transfer(self, image: Object, source: DataSource) -> None:
        """Hand the file over to the backing image manager; the pod goes."""
        name, copies = image["metadata"]["name"], image["spec"]["minNumberOfCopies"]
        await self.transferring.wait()
        if self.manager.sources.get(name) is not source or source.transferred:
            return
        source.changed = lambda: None
        source.transfer()
        told = source.info()
        ready = {disk: self._copy("ready", 100, "") for disk in self.disks[:copies]}
        sizes = {key: told[key] for key in ("size", "virtualSize", "realSize")}
        status = {**sizes, "checksum": told["currentChecksum"], "diskFileStatusMap": ready}
        over = {"spec": {"fileTransferred": True}, "status": {"currentState": "ready"}}
        self.manager.files[name] = source.path
        self._apply("backingimagedatasources", name, over)
        self._apply("backingimages", name, {"status": status})
        await self._stop(name)

    # --- faults

    def fail(self, name: str, message: str) -> None:
        """Let the data source of an image fail now."""
        self.source(name).fail(message)

    def lose(self, name: str, disk: str = DISK) -> None:
        """Let the copy on a disk of a ready image fail: `ready` does not last for ever."""
        copy = self._copy("failed", 0, "backing image file is missing")
        self._apply("backingimages", name, {"status": {"diskFileStatusMap": {disk: copy}}})

    async def kill_pod(self, name: str) -> None:
        """Kill an image's data-source pod: an upload's is not made again.

        One that had begun fails. One that had not stays ``pending``, and nothing ever comes of it
        (backing_image_data_source_controller.go:514-525).
        """
        told = self.source(name).info()
        await self._stop(name)
        if told["state"] != "pending":
            why = "cannot find the pod dedicated to prepare the first backing image file"
            told["message"] = why
            self._show(name, "failed", told)
            await self._clean(name, told)

    # --- the API

    def _create(self, resource: str, new: Object) -> Object:
        new["metadata"]["namespace"] = self.namespace
        return self.kubernetes.create(resource, new)

    def _apply(self, resource: str, name: str, patch: Object) -> None:
        with contextlib.suppress(Refused):  # deleted meanwhile
            self.kubernetes.apply(resource, self.namespace, name, patch)

    def _forget(self, resource: str, name: str) -> None:
        with contextlib.suppress(Refused):
            self.kubernetes.delete(resource, self.namespace, name)


def _address() -> str:
    """Return a loopback address of its own: a data source's port is the same for all."""
    number = next(_addresses)
    return f"127.{16 + os.getpid() % 200}.{number // 250 % 250}.{1 + number % 250}"
