"""CDI in a cluster: DataVolumes of a fake API get claims, upload pods, and an end.

The populator's way, which is the usual one: bytes go to a prime claim, whose volume then becomes
the claim's (facts, A5). Gates and faults are fields.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.servers.cdi import claims, objects, status, token
from tests.servers.cdi.clones import Cloning
from tests.servers.cdi.filling import FAILED, Volume, key_of
from tests.servers.cdi.upload_proxy import PRIME, Key, UploadProxy
from tests.servers.cdi.upload_server import UploadServer
from tests.servers.certificates import Authority
from tests.servers.kubernetes import FakeKubernetes, Object, Refused, User, denied
from tests.servers.listening import Listening
from tests.servers.tasks import Tasks

WEBHOOK = "datavolume-validate.cdi.kubevirt.io"
BUNDLE = "cdi-uploadproxy-signer-bundle"


class _NoClaim(Exception):
    """No claim is made; an event says why."""

    def __init__(self, phase: str, reason: str, *messages: str) -> None:
        super().__init__(messages[0])
        self.phase = phase
        self.reason = reason
        self.messages = messages


@dataclass(frozen=True)
class _Claims(Mapping[Key, Object]):
    """The API's claims, as the proxy looks at them."""

    kubernetes: FakeKubernetes

    def __getitem__(self, key: Key) -> Object:
        found = self.kubernetes.find("persistentvolumeclaims", *key)
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[Key]:
        every = self.kubernetes.all("persistentvolumeclaims")
        return ((one["metadata"]["namespace"], one["metadata"]["name"]) for one in every)

    def __len__(self) -> int:
        return len(list(iter(self)))


@dataclass
class Cdi(Cloning):
    """CDI's controllers, its token API and its upload proxy."""

    authority: Authority = field(kw_only=True)
    """Signs the proxy's certificate; the cluster has it in a ConfigMap."""

    host: str = "127.0.0.1"
    unprovisionable: dict[str, str] = field(default_factory=dict)
    """Storage class → why it makes no volumes: an event ``ProvisioningFailed``."""

    exceeded_quota: str = ""
    """Why the namespace takes no more claims."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.proxy = UploadProxy(_Claims(self.kubernetes), self.servers)
        self._tasks = Tasks()
        self._lives: dict[Key, asyncio.Task[Any]] = {}
        tls = self.authority.server("cdi-uploadproxy", self.host, "localhost")
        self._listening = Listening(self.proxy.app(), self.host, tls=tls)

    async def __aenter__(self) -> Self:
        self.kubernetes.answer("uploadtokenrequests", self._token)
        self.kubernetes.admit("datavolumes", self._admit)
        await self._listening.__aenter__()
        self._install()
        self._tasks.start(self._profiles())
        self._tasks.start(self._watch())
        self._tasks.start(self._watch_pods())
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
        """Return the file that a DataVolume's volume is, or was."""
        return self._folders.get((namespace, name), self.root) / "data" / "disk.img"

    def server(self, namespace: str, name: str) -> UploadServer:
        """Return the upload server of a DataVolume."""
        return self.servers[self._volumes[namespace, name].key]

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
        """Refuse what CDI: webhooks/datavolume-validate.go refuses."""
        if verb != "create":
            return
        meta, name = new["metadata"], "Storage" if "storage" in new["spec"] else "PVC"
        asked = claims.wanted(new).get("resources", {}).get("requests", {}).get("storage")
        if not asked:
            raise denied(WEBHOOK, f"{name} size is missing", 422, "Invalid")
        if claims.size(asked) < claims.MiB:
            raise denied(WEBHOOK, f"{name} size should be at least 1MiB", 422, "Invalid")
        found = self.kubernetes.find("persistentvolumeclaims", meta["namespace"], meta["name"])
        owners = found["metadata"].get("ownerReferences") or [] if found else []
        if found and not any(one["kind"] == "DataVolume" for one in owners):
            taken = f"Destination PVC {meta['namespace']}/{meta['name']} already exists"
            raise denied(WEBHOOK, taken, 422, "Invalid")

    # --- the controller

    async def _watch(self) -> None:
        async for change in self.kubernetes.watch("datavolumes"):
            meta = change.object["metadata"]
            key = meta["namespace"], meta["name"]
            if change.type == "ADDED":
                self._folders[key] = self.root / meta["uid"]
                self._lives[key] = self._tasks.start(self._live(change.object))
            elif change.type == "DELETED":
                self._lives.pop(key).cancel()
                self._uncloned(key)
                # Another of that name may come before this one's work is done.
                volume, folder = self._volumes.pop(key, None), self._folders[key]
                self._tasks.start(self._remove(volume, folder))

    async def _watch_pods(self) -> None:
        """Kill the servers whose pods somebody deletes."""
        async for change in self.kubernetes.watch("pods"):
            uid = change.object["metadata"]["uid"]
            for volume in list(self._volumes.values()):
                if change.type == "DELETED" and volume.pod == uid:
                    await self.servers[volume.key].kill()

    async def _remove(self, volume: Volume | None, folder: Path) -> None:
        if volume and (server := self.servers.pop(volume.key, None)):
            await server.kill()
            with contextlib.suppress(Refused):  # the upload had not come so far
                self.kubernetes.delete("persistentvolumes", "", volume.made)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _live(self, volume: Object) -> None:
        with contextlib.suppress(Refused):  # deleted meanwhile
            self._sync(volume)
            cls = claims.storage_class(self.kubernetes, volume)
            if cls and "pvc" in volume["spec"]["source"]:
                await self._clone(volume, cls)
                return
            try:
                made = self._claim(volume)
            except _NoClaim as exc:
                self._without(volume, exc)
                return
            if made:
                await self._fill(made)

    def _without(self, volume: Object, why: _NoClaim) -> None:
        """Say that there is no claim, and why."""
        told = why.reason, str(why)
        conditions = status.conditions(why.phase, None, told, self.kubernetes.store.stamp())
        now = {"status": {"phase": why.phase, "conditions": conditions}}
        self.kubernetes.apply("datavolumes", *key_of(volume), now)
        for message in why.messages:
            self.kubernetes.event(volume, why.reason, message)

    def _claim(self, volume: Object) -> Volume | None:
        """Make the claims; return None when they wait for something."""
        cls = claims.storage_class(self.kubernetes, volume)
        if cls is None:
            why = "PVC spec is missing accessMode and no storageClass to choose profile"
            raise _NoClaim("", "ErrClaimNotValid", why)
        try:
            spec = claims.spec(self.kubernetes, volume, cls)
        except claims.Invalid as exc:
            raise _NoClaim("", "ErrClaimNotValid", *exc.args) from exc
        if self.exceeded_quota:
            raise _NoClaim("Pending", "ErrExceededQuota", self.exceeded_quota)
        source = self.kubernetes.create("volumeuploadsources", objects.upload_source(volume))
        new = objects.claim(volume, spec, source)
        claim = self.kubernetes.create("persistentvolumeclaims", new)
        if claims.waits(volume, cls):
            why = "waiting for first consumer to be created before binding"
            self.kubernetes.event(claim, "WaitForFirstConsumer", why, "Normal")
            self._sync(volume, waits=True)
            return None
        prime = self.kubernetes.create("persistentvolumeclaims", objects.prime(claim, source))
        self._mark(claim, {PRIME: prime["metadata"]["name"]})
        return self._provision(volume, claim, prime, cls)

    def _provision(
        self, volume: Object, claim: Object, prime: Object, cls: Object
    ) -> Volume | None:
        spec = claim["spec"]
        if why := self.unprovisionable.get(spec["storageClassName"]):
            self._unbound(volume, claim, prime, why)
            return None
        capacity = spec["resources"]["requests"]
        self._apply(prime, {"status": {"phase": "Bound", "capacity": capacity}})
        block = spec["volumeMode"] == "Block"
        share = 0.0 if block else claims.overhead(self.kubernetes, cls)
        made = Volume(volume, claim, prime, block, int(capacity["storage"]), share)
        self._volumes[key_of(claim)] = made
        self._sync(volume)
        return made

    def _unbound(self, volume: Object, claim: Object, prime: Object, why: str) -> None:
        """Say that the provisioner makes no volume: CDI copies that event (util.go:2256-2395)."""
        self.kubernetes.event(prime, "ProvisioningFailed", why)
        told = f"[{prime['metadata']['name']}] : {why}"
        self.kubernetes.event(claim, "ProvisioningFailed", told)
        bound = objects.BOUND
        self._mark(claim, {bound: "false", f"{bound}.reason": "Pending", f"{bound}.message": why})
        self._sync(volume)

    # --- faults

    async def kill_pod(self, namespace: str, name: str) -> None:
        """Kill a DataVolume's upload pod; CDI makes another."""
        await self.server(namespace, name).kill()

    async def fail_pod(self, namespace: str, name: str) -> None:
        """Let the upload pod end as Failed: an event, and no phase says so (A5)."""
        volume, server = self._volumes[namespace, name], self.server(namespace, name)
        pod = self.kubernetes.get("pods", namespace, f"cdi-upload-{volume.key[1]}")
        server.exited = lambda code: None
        await server.kill()
        volume.exits.put_nowait(FAILED)
        ended = {"exitCode": 1, "reason": "Error", "message": "the node went"}
        container = objects.container(0, "", terminated=ended)
        self._says(volume, pod, "Failed", container)
        self.kubernetes.event(volume.claim, "UploadFailed", f"Upload into {name} failed")

    def lose_claim(self, namespace: str, name: str) -> None:
        """Let the claim lose its volume: the one way to the phase Failed (A5)."""
        claim = self.kubernetes.get("persistentvolumeclaims", namespace, name)
        self._apply(claim, {"status": {"phase": "Lost"}})
        self._sync(claim)
