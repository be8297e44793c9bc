"""CDI's fake in a fake cluster: DataVolumes live as the facts say."""

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from importer.units import MiB
from tests import images
from tests.servers.cdi import Cdi
from tests.servers.cdi.claims import IMMEDIATE
from tests.servers.certificates import Authority
from tests.servers.kubernetes import Cluster, FakeKubernetes, Object, serving
from tests.servers.page import Page
from tests.servers.replay import compared, until

TOKENS = "/apis/upload.cdi.kubevirt.io/v1beta1/namespaces/{}/uploadtokenrequests"
SIZE = 8 * MiB


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the proxy's certificate."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A small raw disk."""
    return images.make("raw", tmp_path, SIZE)


@dataclass
class Client:
    """Does what a client of CDI does."""

    cdi: Cdi
    cluster: Cluster
    http: aiohttp.ClientSession

    @property
    def kubernetes(self) -> FakeKubernetes:
        return self.cdi.kubernetes

    def create(self, name: str = "vol", **changes: Any) -> None:
        """Create a DataVolume; *changes* are parts of its ``storage``, or its annotations."""
        annotations = changes.pop("annotations", {})
        size = {"resources": {"requests": {"storage": str(SIZE)}}}
        spec = {"source": {"upload": {}}, "storage": {"storageClassName": "lh2", **size, **changes}}
        meta = {"name": name, "namespace": "default", "annotations": annotations}
        self.kubernetes.create("datavolumes", {"metadata": meta, "spec": spec})

    async def phase(self, *phases: str, restarts: int = 0) -> Object:
        """Wait for a phase; return the DataVolume."""

        def there(one: Object) -> bool:
            status = one.get("status", {})
            return status.get("phase") in phases and status.get("restartCount", 0) >= restarts

        return await self.kubernetes.until("datavolumes", "default", "vol", there)

    async def token(self, claim: str = "vol", user: str = "admin-token") -> tuple[int, Object]:
        """Ask for an upload token."""
        asked = {
            "apiVersion": "upload.cdi.kubevirt.io/v1beta1",
            "kind": "UploadTokenRequest",
            "metadata": {"name": claim, "namespace": "default"},
            "spec": {"pvcName": claim},
        }
        url = self.cluster.url + TOKENS.format("default")
        headers = {"Authorization": f"Bearer {user}"}
        async with self.http.post(url, json=asked, headers=headers) as answer:
            return answer.status, await answer.json()

    async def upload(self, path: Path, to: str = "upload", claim: str = "vol") -> tuple[int, str]:
        """Upload a file."""
        _, asked = await self.token(claim)
        headers = {"Authorization": f"Bearer {asked['status']['token']}"}
        tls = self.cdi.authority.client()
        url = f"{self.cdi.url}/v1beta1/{to}"
        with path.open("rb") as file:
            async with self.http.post(url, data=file, headers=headers, ssl=tls) as answer:
                return answer.status, await answer.text()

    async def bound(self) -> None:
        """Wait until the claim is bound, and all else is gone."""
        await self.kubernetes.until(
            "persistentvolumeclaims",
            "default",
            "vol",
            lambda one: one["status"]["phase"] == "Bound",
        )
        await until(lambda: len(self.kubernetes.all("persistentvolumeclaims")) == 1)

    def reasons(self) -> list[str]:
        """Return the reasons of all warnings."""
        events = self.kubernetes.all("events")
        return [one["reason"] for one in events if one["type"] == "Warning"]


@asynccontextmanager
async def client(root: Path, authority: Authority, **fields: Any) -> AsyncIterator[Client]:
    """Run CDI on a cluster of its own, with a Longhorn v2 class."""
    kubernetes = FakeKubernetes()
    provisioner = {"provisioner": "driver.longhorn.io", "parameters": {"dataEngine": "v2"}}
    kubernetes.create("storageclasses", {"metadata": {"name": "lh2"}, **provisioner})
    late = {"provisioner": "lvm.driver.harvesterhci.io"}
    late["volumeBindingMode"] = "WaitForFirstConsumer"
    kubernetes.create("storageclasses", {"metadata": {"name": "lvm"}, **late})
    kubernetes.create("storageclasses", {"metadata": {"name": "odd"}, "provisioner": "x.example"})
    async with (
        Cdi(kubernetes, root / "cdi", authority=authority, **fields) as cdi,
        serving(kubernetes) as cluster,
        aiohttp.ClientSession() as http,
    ):
        yield Client(cdi, cluster, http)


@pytest.mark.parametrize("mode", ["Block", "Filesystem"])
@pytest.mark.parametrize("to", ["upload", "upload-async"])
@pytest.mark.parametrize("kind", ["raw", "raw.zstd", "qcow2", "vmdk-stream", "qcow2.gzip"])
async def test_upload_ends_in_a_bound_claim(
    kind: str, to: str, mode: str, tmp_path: Path, disk: Path, authority: Authority
) -> None:
    """Whatever form came, the volume holds the guest's bytes, and only the claim is left."""
    name, _, packed = kind.partition(".")
    path = images.make(name, tmp_path, SIZE)
    path = images.compressed(path, packed) if packed else path
    async with client(tmp_path, authority) as user:
        user.create(volumeMode=mode, accessModes=["ReadWriteOnce"])
        await user.phase("UploadReady")
        assert await user.upload(path, to) == (200, "")
        await user.phase("Succeeded")
        await user.bound()
        assert compared(user.cdi.volume("default", "vol"), disk) == "Images are identical."
        claims = user.kubernetes.all("persistentvolumeclaims")
        assert [(one["metadata"]["name"], one["status"]["phase"]) for one in claims] == [
            ("vol", "Bound")
        ]
        assert user.kubernetes.all("pods") == []


async def test_size_of_a_claim(tmp_path: Path, disk: Path, authority: Authority) -> None:
    """A block claim is as large as asked; one with a file system has its overhead on top."""
    async with client(tmp_path, authority) as user:
        user.create(accessModes=["ReadWriteOnce"], volumeMode="Block")
        user.create("fs", accessModes=["ReadWriteOnce"], volumeMode="Filesystem")
        await user.kubernetes.until("persistentvolumeclaims", "default", "fs")
        sizes = {
            one["metadata"]["name"]: int(one["spec"]["resources"]["requests"]["storage"])
            for one in user.kubernetes.all("persistentvolumeclaims")
        }
        assert (sizes["vol"], sizes["fs"]) == (SIZE, 8924052)  # ceil(8 MiB / 0.94)


async def test_waiting_for_a_consumer(tmp_path: Path, authority: Authority) -> None:
    """Without the annotation the claim waits; with it, the upload may begin."""
    async with client(tmp_path, authority) as user:
        user.create(storageClassName="lvm")
        await user.phase("PendingPopulation")
        user.kubernetes.delete("datavolumes", "default", "vol")
        user.create(storageClassName="lvm", annotations={IMMEDIATE: "true"})
        await user.phase("UploadReady")


@pytest.mark.parametrize(
    ("fields", "storage", "reason"),
    [
        ({"unprovisionable": {"lh2": "no disk"}}, {}, "ProvisioningFailed"),
        ({"exceeded_quota": "exceeded quota: q"}, {}, "ErrExceededQuota"),
        ({}, {"storageClassName": "odd"}, "ErrClaimNotValid"),
        ({}, {"storageClassName": None}, "ErrClaimNotValid"),
        ({"pod_waits": ("ImagePullBackOff", "not found")}, {}, "ImagePullFailed"),
        ({"unschedulable": "0/1 nodes are available"}, {}, "FailedScheduling"),
        ({"no_scratch": "no disk"}, {}, "FailedScheduling"),
    ],
)
async def test_stuck_volume_says_why(
    fields: Object, storage: Object, reason: str, tmp_path: Path, authority: Authority
) -> None:
    """What keeps an upload from being ready is in an event."""
    async with client(tmp_path, authority, **fields) as user:
        user.create(**storage)
        await until(lambda: reason in user.reasons())
        await user.phase("", "Pending", "UploadScheduled")


async def test_convert_fails_after_the_200(
    tmp_path: Path, disk: Path, authority: Authority
) -> None:
    """The pod restarts, the count goes up, and the same volume takes another upload."""
    broken = {"convert_error": "qemu-img: error while reading", "convert_failures": 1}
    path = images.make("qcow2", tmp_path, SIZE)
    async with client(tmp_path, authority, tries=[broken]) as user:
        user.create()
        await user.phase("UploadReady")
        user.cdi.restarting.clear()
        assert await user.upload(path, "upload-async") == (200, "")
        volume = await user.phase("UploadScheduled", restarts=1)
        running = next(one for one in volume["status"]["conditions"] if one["type"] == "Running")
        assert (running["status"], running["reason"]) == ("False", "Error")
        assert "error while reading" in running["message"]
        assert "Error" in user.reasons()
        user.cdi.restarting.set()
        await user.phase("UploadReady", restarts=1)
        assert await user.upload(path, "upload-async") == (200, "")
        await user.phase("Succeeded")


async def test_pod_is_killed_amid_an_upload(
    tmp_path: Path, disk: Path, authority: Authority
) -> None:
    """The proxy answers 502, and another pod takes the upload from its start."""
    async with client(tmp_path, authority, tries=[{"kill_after": MiB}]) as user:
        user.create()
        await user.phase("UploadReady")
        status, text = await user.upload(disk)
        assert (status, text.startswith("error in upload-proxy")) == (502, True)
        await user.phase("UploadReady")
        await until(lambda: user.cdi.server("default", "vol").alive)
        assert await user.upload(disk) == (200, "")
        await user.phase("Succeeded")


async def test_pod_is_deleted(tmp_path: Path, disk: Path, authority: Authority) -> None:
    """Whoever deletes the pod, another follows."""
    async with client(tmp_path, authority) as user:
        user.create()
        await user.phase("UploadReady")
        before = user.cdi.server("default", "vol")
        pod = user.kubernetes.all("pods")[0]["metadata"]
        user.kubernetes.delete("pods", "default", pod["name"])
        await until(lambda: user.cdi.server("default", "vol") is not before)
        await user.phase("UploadReady")
        assert await user.upload(disk) == (200, "")


async def test_pod_fails_for_good(tmp_path: Path, authority: Authority) -> None:
    """An event is all there is: the phase goes no further."""
    async with client(tmp_path, authority) as user:
        user.create()
        await user.phase("UploadReady")
        await user.cdi.fail_pod("default", "vol")
        assert "UploadFailed" in user.reasons()
        await user.phase("UploadScheduled")


async def test_clocks_apart(tmp_path: Path, disk: Path, authority: Authority) -> None:
    """A proxy that is more than five minutes and the leeway ahead takes no token at all."""
    async with client(tmp_path, authority) as user:
        user.create()
        await user.phase("UploadReady")
        user.cdi.proxy.skew = 311
        assert (await user.upload(disk))[0] == 401
        user.cdi.proxy.skew = -11
        assert (await user.upload(disk))[0] == 401
        user.cdi.proxy.skew = 0
        assert (await user.upload(disk))[0] == 200


async def test_done_volume_takes_no_more(tmp_path: Path, disk: Path, authority: Authority) -> None:
    """Before it is bound the proxy says why; after that it waits in vain for a prime claim."""
    async with client(tmp_path, authority) as user:
        user.create()
        await user.phase("UploadReady")
        user.cdi.binding.clear()
        user.cdi.proxy.poll, user.cdi.proxy.ready_limit = 0.01, 0.02
        await user.upload(disk)
        volume = await user.phase("Succeeded")
        bound = next(one for one in volume["status"]["conditions"] if one["type"] == "Bound")
        assert (bound["status"], bound["message"]) == ("False", "PVC vol Pending")
        assert "deadline exceeded" in (await user.upload(disk))[1]
        user.cdi.binding.set()
        await user.bound()
        status, text = await user.upload(disk)
        assert (status, "deadline exceeded" in text) == (503, True)


async def test_claim_is_lost(tmp_path: Path, authority: Authority) -> None:
    """The one way to the phase Failed."""
    async with client(tmp_path, authority) as user:
        user.create()
        await user.phase("UploadReady")
        user.cdi.lose_claim("default", "vol")
        await user.phase("Failed")


async def test_unbound_claim_says_why_in_its_condition(
    tmp_path: Path, authority: Authority
) -> None:
    """What the provisioner said of the prime claim stands in the DataVolume."""
    async with client(tmp_path, authority, unprovisionable={"lh2": "no disk"}) as user:
        user.create()
        await until(lambda: "ProvisioningFailed" in user.reasons())
        volume = await user.phase("Pending")
        bound = next(one for one in volume["status"]["conditions"] if one["type"] == "Bound")
        assert bound["message"].startswith("target PVC vol Pending and [prime-")
        assert bound["message"].endswith("] : no disk")


@pytest.mark.parametrize(
    ("asked", "why"),
    [({}, "Storage size is missing"), ({"storage": "512Ki"}, "should be at least 1MiB")],
)
async def test_webhook_refuses(
    asked: Object, why: str, tmp_path: Path, authority: Authority
) -> None:
    """A volume without a size, or smaller than 1 MiB, never becomes an object."""
    async with client(tmp_path, authority) as user:
        spec = {"source": {"upload": {}}, "storage": {"resources": {"requests": asked}}}
        url = f"{user.cluster.url}/apis/cdi.kubevirt.io/v1beta1/namespaces/default/datavolumes"
        headers = {"Authorization": "Bearer admin-token"}
        body = {"metadata": {"name": "vol"}, "spec": spec}
        async with user.http.post(url, json=body, headers=headers) as answer:
            assert (answer.status, why in await answer.text()) == (422, True)


async def test_ingress_page(tmp_path: Path, disk: Path, authority: Authority) -> None:
    """An ingress' page has nothing of the proxy's, and may come after the server worked."""
    async with client(tmp_path, authority) as user:
        user.create()
        await user.phase("UploadReady")
        user.cdi.proxy.pages += [Page(413), Page(502, after=MiB), Page(504, reaches=True)]
        for status in (413, 502, 504):
            answered, text = await user.upload(disk)
            assert (answered, "nginx" in text) == (status, True)
        await user.phase("Succeeded")


@pytest.mark.parametrize("phase", ["UploadReady", "Succeeded"])
async def test_deleting_leaves_nothing(
    phase: str, tmp_path: Path, disk: Path, authority: Authority
) -> None:
    """Claims, volumes, pods and files go with the DataVolume."""
    async with client(tmp_path, authority) as user:
        user.create()
        await user.phase("UploadReady")
        if phase == "Succeeded":
            await user.upload(disk)
            await user.phase(phase)
            await user.bound()
        user.kubernetes.delete("datavolumes", "default", "vol")
        await until(lambda: not user.cdi.volume("default", "vol").parent.exists())
        for left in ("persistentvolumeclaims", "persistentvolumes", "pods", "volumeuploadsources"):
            assert user.kubernetes.all(left) == []


async def test_another_of_the_same_name(tmp_path: Path, disk: Path, authority: Authority) -> None:
    """A DataVolume that follows one of its name at once has a volume of its own."""
    async with client(tmp_path, authority) as user:
        for _ in range(3):
            user.create()
            await user.phase("UploadReady")
            user.kubernetes.delete("datavolumes", "default", "vol")
        user.create()
        await user.phase("UploadReady")
        assert await user.upload(disk) == (200, "")
        await user.bound()
        assert compared(user.cdi.volume("default", "vol"), disk) == "Images are identical."


async def test_token_is_as_recorded(tmp_path: Path, authority: Authority) -> None:
    """Its claims, its algorithm, and whom it is given to: transcript ``cdi-virtctl``."""
    async with client(tmp_path, authority) as user:
        user.kubernetes.user("nobody", [])
        status, refused = await user.token(user="nobody-token")
        assert (status, refused["message"]) == (
            403,
            "uploadtokenrequests.upload.cdi.kubevirt.io is forbidden: "
            'User "nobody" cannot create resource "uploadtokenrequests" in API group '
            '"upload.cdi.kubevirt.io" in the namespace "default"',
        )
        status, asked = await user.token("does-not-exist")
        assert (status, asked["metadata"]["creationTimestamp"]) == (200, None)
        head, body, _ = asked["status"]["token"].split(".")
        assert unpacked(head) == {"alg": "PS256"}
        said = unpacked(body)
        assert (said["exp"] - said["iat"], said["nbf"] - said["iat"]) == (300, 0)
        assert {name: said[name] for name in said if name not in ("exp", "iat", "nbf")} == {
            "iss": "cdi-apiserver",
            "name": "does-not-exist",
            "namespace": "default",
            "operation": "Upload",
            "resource": {"group": "", "resource": "persistentvolumeclaims", "version": "v1"},
        }


def unpacked(part: str) -> Any:
    """Return what a part of a token says."""
    return json.loads(base64.urlsafe_b64decode(part + "=="))


async def test_holes_stay_holes(tmp_path: Path, authority: Authority) -> None:
    """A disk of holes takes no space, though its zeros were sent as bytes."""
    path = tmp_path / "large.raw"
    with path.open("wb") as file:
        file.truncate(64 * MiB)
    packed = path.with_suffix(".zst")
    subprocess.run(["zstd", "-q", "-1", str(path), "-o", str(packed)], check=True)
    async with client(tmp_path, authority) as user:
        user.create(resources={"requests": {"storage": "64Mi"}})
        await user.phase("UploadReady")
        assert await user.upload(packed) == (200, "")
        await user.phase("Succeeded")
        status = user.cdi.volume("default", "vol").stat()
        assert (status.st_size, status.st_blocks * 512 < MiB) == (64 * MiB, True)


async def test_second_upload_while_one_runs(
    tmp_path: Path, disk: Path, authority: Authority
) -> None:
    """Only one upload at a time: the other gets 503 with nothing to read."""
    async with client(tmp_path, authority) as user:
        user.create()
        await user.phase("UploadReady")
        path = images.make("qcow2", tmp_path, SIZE)
        server = user.cdi.server("default", "vol")
        server.converting.clear()
        first = asyncio.create_task(user.upload(path))
        await until(lambda: server.received == path.stat().st_size)
        assert await user.upload(disk) == (503, "")
        server.converting.set()
        assert await first == (200, "")
