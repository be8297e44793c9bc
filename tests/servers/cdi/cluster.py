"""CDI in a cluster: DataVolumes of a fake API get claims, upload pods, and an end.

The populator's way, which is the usual one: bytes go to a prime claim, whose volume then becomes
the claim's (facts, A5). Phases, annotations and events are those of the facts; where they name a
thing without its words, the words are CDI's by memory. Gates and faults are fields.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.servers.cdi import claims, objects, token
from tests.servers.cdi.upload_proxy import PRIME, Annotations, Key, UploadProxy
from tests.servers.cdi.upload_server import KILLED, UploadServer
from tests.servers.certificates import Authority
from tests.servers.kubernetes import FakeKubernetes, Object, Refused, User, denied
from tests.servers.listening import Listening
from tests.servers.tasks import Tasks

WEBHOOK = "datavolume-validate.cdi.kubevirt.io"
BUNDLE = "cdi-uploadproxy-signer-bundle"
FAILED = -1
"""Instead of an exit code: no other pod follows."""


class _NoClaim(Exception):
    """No claim is made; an event says why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class _Claims(Mapping[Key, Annotations]):
    """The annotations of the API's claims, as the proxy looks at them."""

    kubernetes: FakeKubernetes

    def __getitem__(self, key: Key) -> Annotations:
        found = self.kubernetes.find("persistentvolumeclaims", *key)
        if found is None:
            raise KeyError(key)
        return found["metadata"].get("annotations") or {}

    def __iter__(self) -> Iterator[Key]:
        every = self.kubernetes.all("persistentvolumeclaims")
        return ((one["metadata"]["namespace"], one["metadata"]["name"]) for one in every)

    def __len__(self) -> int:
        return len(list(iter(self)))


@dataclass
class _Volume:
    """One DataVolume that is being filled."""

    object: Object
    claim: Object
    prime: Object
    block: bool
    size: int
    overhead: float
    restarts: int = 0
    exits: "asyncio.Queue[int]" = field(default_factory=asyncio.Queue)

    @property
    def key(self) -> Key:
        """Namespace and name of the claim that is written."""
        return self.prime["metadata"]["namespace"], self.prime["metadata"]["name"]


@dataclass
class Cdi:
    """CDI's controllers, its token API and its upload proxy."""

    kubernetes: FakeKubernetes
    root: Path
    authority: Authority
    """Signs the proxy's certificate; the cluster has it in a ConfigMap."""

    host: str = "127.0.0.1"
    tries: list[dict[str, Any]] = field(default_factory=list)
    """Fields of the next upload servers, one dict each, as ``{"kill_after": 4096}``."""

    unprovisionable: dict[str, str] = field(default_factory=dict)
    """Storage class → why it makes no volumes: an event ``ProvisioningFailed``."""

    exceeded_quota: str = ""
    """Why the namespace takes no more claims."""

    pod_waits: tuple[str, str] = ("", "")
    """Reason and message of what holds pods back, as ``("ImagePullBackOff", "...")``."""

    scheduling: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to keep pods from running."""

    restarting: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold containers in kubelet's back-off."""

    rebinding: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold volumes between the upload's success and the claim."""

    def __post_init__(self) -> None:
        for gate in (self.scheduling, self.restarting, self.rebinding):
            gate.set()
        self.servers: dict[Key, UploadServer] = {}
        self.proxy = UploadProxy(_Claims(self.kubernetes), self.servers)
        self._tasks = Tasks()
        self._lives: dict[Key, asyncio.Task[Any]] = {}
        self._volumes: dict[Key, _Volume] = {}
        tls = self.authority.server("cdi-uploadproxy", self.host, "localhost")
        self._listening = Listening(self.proxy.app(), self.host, tls=tls)

    async def __aenter__(self) -> Self:
        self.kubernetes.answer("uploadtokenrequests", self._token)
        self.kubernetes.admit("datavolumes", self._admit)
        await self._listening.__aenter__()
        self._install()
        self._tasks.start(self._profiles())
        self._tasks.start(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listening.close()
        for server in self.servers.values():
            await server.kill()
        await self._tasks.close()

    @property
    def url(self) -> str:
        """What stands for ``https://cdi-uploadproxy.cdi``."""
        return self._listening.url

    def volume(self, namespace: str, name: str) -> Path:
        """Return the file that a DataVolume's volume is."""
        return self._folder(namespace, name) / "data" / "disk.img"

    def server(self, namespace: str, name: str) -> UploadServer:
        """Return the upload server of a DataVolume."""
        return self.servers[self._volumes[namespace, name].key]

    def _folder(self, namespace: str, name: str) -> Path:
        return self.root / namespace / name

    # --- what is installed

    def _install(self) -> None:
        address = self.url.removeprefix("https://")
        status = {"uploadProxyURL": address, "filesystemOverhead": {"global": str(claims.OVERHEAD)}}
        config = {"metadata": {"name": "config"}, "spec": {}, "status": status}
        self.kubernetes.create("cdiconfigs", config)
        bundle = {"name": BUNDLE, "namespace": "cdi"}
        data = {"ca-bundle.crt": self.authority.pem}
        self.kubernetes.create("configmaps", {"metadata": bundle, "data": data})

    async def _profiles(self) -> None:
        async for change in self.kubernetes.watch("storageclasses"):
            with contextlib.suppress(Refused):  # the test made one
                if change.type == "ADDED":
                    self.kubernetes.create("storageprofiles", claims.profile(change.object))

    def _token(self, user: User, namespace: str, asked: Object) -> Object:
        """Answer an UploadTokenRequest; whether the claim exists is not looked at (A4)."""
        now = self.kubernetes.store.now().timestamp()
        signed = token.sign(token.claims(namespace, asked["spec"]["pvcName"], now))
        meta = {**asked["metadata"], "namespace": namespace, "creationTimestamp": None}
        return {**asked, "metadata": meta, "status": {"token": signed}}

    def _admit(self, verb: str, new: Object, old: Object | None) -> None:
        if verb != "create":
            return
        meta = new["metadata"]
        if not claims.wanted(new).get("resources", {}).get("requests", {}).get("storage"):
            raise denied(WEBHOOK, "PVC size is missing", 422, "Invalid")
        if self.kubernetes.find("persistentvolumeclaims", meta["namespace"], meta["name"]):
            taken = f"Destination PVC {meta['namespace']}/{meta['name']} already exists"
            raise denied(WEBHOOK, taken, 422, "Invalid")

    # --- the controller

    async def _watch(self) -> None:
        async for change in self.kubernetes.watch("datavolumes"):
            meta = change.object["metadata"]
            key = meta["namespace"], meta["name"]
            if change.type == "ADDED":
                self._lives[key] = self._tasks.start(self._live(change.object))
            elif change.type == "DELETED":
                self._lives.pop(key).cancel()
                self._tasks.start(self._remove(key))

    async def _remove(self, key: Key) -> None:
        volume = self._volumes.pop(key, None)
        if volume and (server := self.servers.pop(volume.key, None)):
            await server.kill()
        folder = self._folder(*key)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _live(self, volume: Object) -> None:
        with contextlib.suppress(Refused):  # deleted meanwhile
            self._phase(volume, "Pending", (False, "Pending", ""))
            try:
                made = self._claim(volume)
            except _NoClaim as exc:
                self.kubernetes.event(volume, exc.reason, str(exc))
                self._phase(volume, "Pending", (False, exc.reason, str(exc)))
                return
            if made:
                await self._fill(made)

    def _claim(self, volume: Object) -> _Volume | None:
        """Make the claims; return None when they wait for something."""
        cls = claims.storage_class(self.kubernetes, volume)
        if cls is None:
            why = "PVC spec is missing accessMode and no storageClass to choose profile"
            raise _NoClaim("ErrClaimNotValid", why)
        try:
            spec = claims.spec(self.kubernetes, volume, cls)
        except claims.Invalid as exc:
            raise _NoClaim("ErrClaimNotValid", str(exc)) from exc
        if self.exceeded_quota:
            raise _NoClaim("ErrExceededQuota", self.exceeded_quota)
        claim = self.kubernetes.create("persistentvolumeclaims", objects.claim(volume, spec))
        if claims.waits(volume, cls):
            why = "waiting for first consumer to be created before binding"
            self.kubernetes.event(claim, "WaitForFirstConsumer", why, "Normal")
            self._phase(volume, "PendingPopulation", (False, "", ""))
            return None
        return self._prime(volume, claim, cls)

    def _prime(self, volume: Object, claim: Object, cls: Object) -> _Volume | None:
        meta, spec = claim["metadata"], claim["spec"]
        prime = self.kubernetes.create("persistentvolumeclaims", objects.prime(claim))
        named = {PRIME: prime["metadata"]["name"]}
        self._apply(claim, {"metadata": {"annotations": named}})
        if why := self.unprovisionable.get(spec["storageClassName"]):
            self.kubernetes.event(prime, "ProvisioningFailed", why)
            self.kubernetes.event(claim, "ProvisioningFailed", why)
            return None
        capacity = spec["resources"]["requests"]
        self._apply(prime, {"status": {"phase": "Bound", "capacity": capacity}})
        block = spec["volumeMode"] == "Block"
        share = 0.0 if block else claims.overhead(self.kubernetes, cls)
        made = _Volume(volume, claim, prime, block, int(capacity["storage"]), share)
        self._volumes[meta["namespace"], meta["name"]] = made
        return made

    async def _fill(self, volume: _Volume) -> None:
        """Run upload pods until one succeeds; one that was killed is followed by another."""
        while True:
            pod = self.kubernetes.create("pods", objects.pod(volume.prime))
            self.kubernetes.create("persistentvolumeclaims", objects.scratch(volume.prime, pod))
            if await self._run(volume, pod):
                return

    async def _run(self, volume: _Volume, pod: Object) -> bool:
        """Run one pod; return whether nothing is left to do."""
        server = await self._start(volume, pod)
        while True:
            self._ready(volume, pod)
            code = await volume.exits.get()
            if code == 0:
                await self._succeed(volume, pod, server)
                return True
            if code == KILLED:
                self._delete(pod)
                return False
            if code == FAILED:
                return True
            volume.restarts += 1
            self._says(volume, pod, "Running", (False, "Error", server.termination))
            await self.restarting.wait()
            server.restart()

    async def _start(self, volume: _Volume, pod: Object) -> UploadServer:
        volume.restarts = 0
        reason, message = self.pod_waits
        self._says(volume, pod, "Pending", (False, reason or "ContainerCreating", message))
        if reason:
            self.kubernetes.event(pod, reason, message)
        await self.scheduling.wait()
        meta = volume.object["metadata"]
        server = UploadServer(
            self._folder(meta["namespace"], meta["name"]),
            size=volume.size,
            overhead=volume.overhead,
            block=volume.block,
            preallocation=bool(volume.object["spec"].get("preallocation")),
            exited=volume.exits.put_nowait,
            **(self.tries.pop(0) if self.tries else {}),
        )
        self.servers[volume.key] = server
        return server

    def _ready(self, volume: _Volume, pod: Object) -> None:
        self._says(volume, pod, "Running", (True, "Pod is running", ""))

    async def _succeed(self, volume: _Volume, pod: Object, server: UploadServer) -> None:
        """Give the volume to the claim."""
        self._says(volume, pod, "Succeeded", (False, "Completed", "Upload Complete"))
        await self.rebinding.wait()
        name = f"pvc-{volume.prime['metadata']['uid']}"
        capacity = {"storage": str(volume.size)}
        spec = {"capacity": capacity, "accessModes": volume.claim["spec"]["accessModes"]}
        self.kubernetes.create("persistentvolumes", {"metadata": {"name": name}, "spec": spec})
        bound = {"phase": "Bound", "capacity": capacity}
        self._apply(volume.claim, {"spec": {"volumeName": name}, "status": bound})
        self._delete(volume.prime)
        shutil.rmtree(server.scratch.parent, ignore_errors=True)
        done = (False, "Completed", "Upload Complete")
        self._phase(volume.object, "Succeeded", done, bound=True)
        what = f"Successfully uploaded into {volume.claim['metadata']['name']}"
        self.kubernetes.event(volume.object, "UploadSucceeded", what, "Normal")

    # --- what the API shows

    def _says(
        self, volume: _Volume, pod: Object, phase: str, running: tuple[bool, str, str]
    ) -> None:
        """Write on pod, claims and DataVolume how the pod does."""
        ready, reason, message = running
        state = objects.container(ready, volume.restarts, message, self.pod_waits)
        ready_condition = {"type": "Ready", "status": str(ready)}
        status = {"phase": phase, "conditions": [ready_condition], "containerStatuses": [state]}
        self.kubernetes.apply("pods", *_key(pod), {"status": status})
        annotations = objects.written(
            phase, ready=ready, restarts=volume.restarts, reason=reason, message=message
        )
        for claim in (volume.prime, volume.claim):
            self._apply(claim, {"metadata": {"annotations": annotations}})
        if phase != "Succeeded":
            shown = "UploadReady" if ready else "UploadScheduled"
            self._phase(volume.object, shown, running, volume.restarts)

    def _phase(
        self,
        volume: Object,
        phase: str,
        running: tuple[bool, str, str],
        restarts: int | None = None,
        *,
        bound: bool = False,
    ) -> None:
        name, now = volume["metadata"]["name"], self.kubernetes.store.stamp()
        status: Object = {"phase": phase, "progress": "N/A", "claimName": name}
        status["conditions"] = objects.conditions(name, bound, running, now)
        if restarts is not None:
            status["restartCount"] = restarts
        self.kubernetes.apply("datavolumes", *_key(volume), {"status": status})

    # --- faults

    async def kill_pod(self, namespace: str, name: str) -> None:
        """Kill a DataVolume's upload pod; CDI makes another."""
        await self.server(namespace, name).kill()

    async def fail_pod(self, namespace: str, name: str) -> None:
        """Let the upload pod end as Failed: an event, and the phase stays (A5)."""
        volume = self._volumes[namespace, name]
        pod = self.kubernetes.get("pods", namespace, f"cdi-upload-{volume.key[1]}")
        server = self.server(namespace, name)
        server.exited = lambda code: None
        await server.kill()
        volume.exits.put_nowait(FAILED)
        self._says(volume, pod, "Failed", (False, "Error", "the pod failed"))
        self.kubernetes.event(volume.object, "UploadFailed", f"Upload into {name} failed")

    def lose_claim(self, namespace: str, name: str) -> None:
        """Let the claim lose its volume: the one way to the phase Failed (A5)."""
        claim = self.kubernetes.get("persistentvolumeclaims", namespace, name)
        self._apply(claim, {"status": {"phase": "Lost"}})
        why = "The PVC lost its volume"
        volume = self.kubernetes.get("datavolumes", namespace, name)
        self._phase(volume, "Failed", (False, "ClaimLost", why))
        self.kubernetes.event(volume, "ClaimLost", why)

    # --- the API

    def _apply(self, claim: Object, patch: Object) -> None:
        self.kubernetes.apply("persistentvolumeclaims", *_key(claim), patch)

    def _delete(self, found: Object) -> None:
        plural = {"Pod": "pods", "PersistentVolumeClaim": "persistentvolumeclaims"}[found["kind"]]
        with contextlib.suppress(Refused):
            self.kubernetes.delete(plural, *_key(found))


def _key(found: Object) -> Key:
    return found["metadata"]["namespace"], found["metadata"]["name"]
