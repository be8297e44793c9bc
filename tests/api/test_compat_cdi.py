"""Clients of CDI's upload proxy get from this service what the real proxy was seen to answer."""

import io
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from importer.units import MiB
from tests import images
from tests.servers.cdi import UploadProxy, UploadServer, token
from tests.servers.cdi.upload_proxy import POD_PHASE, POD_READY
from tests.servers.certificates import Authority
from tests.servers.kubernetes import FakeKubernetes, Object, serving
from tests.servers.listening import Listening
from tests.servers.recorded import Files, Scene, scenes
from tests.servers.replay import Step, until
from tests.servers.running import Client, config, running
from tests.servers.test_cdi_transcripts import CLAIMS, CdiReplay

PLACE = {"metadata": {"name": "place"}, "provisioner": "peers.example/none"}
ELSEWHERE = "https://ui.example"
OWN_CORS = ("vary", "access-control-allow-origin")
"""Headers that follow this service's own rules for pages of other origins."""

LEFT_OUT = {
    "healthz": "the service has a /healthz of its own",
    "CORS preflight (OPTIONS) for POST /v1beta1/upload-form-async, from another origin": (
        "the service answers preflights by [service] origins"
    ),
    "unknown path": "not a path of the proxy's uploads",
}
"""Recorded scenes that are not this service's to play, and why."""

SCENES = [scene for scene in scenes("cdi-proxy-*.json") if scene.title not in LEFT_OUT]


@dataclass(frozen=True)
class Claims(Mapping[tuple[str, str], Object]):
    """The API's claims, as the proxy looks at them."""

    kubernetes: FakeKubernetes

    def __getitem__(self, key: tuple[str, str]) -> Object:
        if found := self.kubernetes.find("persistentvolumeclaims", *key):
            return found
        raise KeyError(key)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(())

    def __len__(self) -> int:
        return len(self.kubernetes.all("persistentvolumeclaims"))


@dataclass
class Front:
    """The service before CDI's upload proxy, and one upload server behind that."""

    client: Client
    kubernetes: FakeKubernetes
    proxy: UploadProxy
    server: UploadServer

    def signed(self) -> str:
        """Return a token of CDI's for the claim that takes an upload."""
        now = self.kubernetes.store.now().timestamp()
        return token.sign(token.claims("demo", "up1", now))

    def token(self) -> dict[str, str]:
        """Return the headers of a client with that token."""
        return {"Authorization": f"Bearer {self.signed()}"}

    async def over(self, name: str) -> Any:
        """Return the record once its import is over."""
        image = await self._record(name)
        known = SimpleNamespace(uid=image["uid"])
        await until(lambda: not self.client.service.runner.is_running(known))
        return await self._record(name)

    async def _record(self, name: str) -> Any:
        path, query = f"/v1/images/{name}", {"namespace": "demo"}
        status, image = await self.client.ask("GET", path, params=query)
        assert status == 200
        return image

    async def post(
        self, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Upload *body* as a client of CDI does, which knows no token of ours."""
        headers = self.token() if headers is None else headers
        body = io.BytesIO(body) if isinstance(body, bytes) else body
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(self.client.base + path, data=body) as answer,
        ):
            return answer.status, await answer.text()


@dataclass
class ServiceReplay(CdiReplay):
    """Plays one scene to the service."""

    def context(self, request: Step) -> bool:
        return True

    def received(self) -> int:
        # The service keeps a little back: that the server is busy is what the scene is about.
        return 1 << 60 if self.server.uploading else 0

    async def _files(self, wanted: Step, where: str) -> None:
        # The claim's size is known: what is too large for it is refused before a byte is sent.
        await super()._files({} if "too large" in self.scene.title else wanted, where)

    async def _compare(self, request: Step, answer: Step, where: str) -> None:
        async with self._sent(request, self._whole(request)) as got:
            text = await got.text()
        assert got.status == answer["status"], f"{where}: {got.status} {text}"
        assert text.strip() == answer.get("body", "").strip(), where
        for name, value in answer["headers"].items():
            if name not in OWN_CORS:
                assert got.headers.get(name) == value, f"{where}: {name}"


@asynccontextmanager
async def front(root: Path, size: int = 100 * MiB, **settings: Any) -> AsyncIterator[Front]:
    """Run them; *size*: bytes of the claims."""
    kubernetes, authority = FakeKubernetes(), Authority(root / "ca")
    kubernetes.create("namespaces", {"metadata": {"name": "demo"}})
    kubernetes.create("storageclasses", PLACE)
    for name, told in CLAIMS.items():
        kubernetes.create("persistentvolumeclaims", claim(name, told, size))
    server = UploadServer(root / "cdi", size)
    server.exited = lambda code: done(kubernetes) if code == 0 else None
    proxy = UploadProxy(Claims(kubernetes), {("demo", "up1"): server})
    (root / "ca.pem").write_text(authority.pem)
    async with (
        Listening(proxy.app(), tls=authority.server("proxy", "127.0.0.1")) as listening,
        serving(kubernetes) as api,
        running(
            config(
                root / "data",
                service={"origins": [ELSEWHERE]},
                kubernetes={
                    "enabled": True,
                    "kubeconfig": str(api.kubeconfig(root / "kubeconfig")),
                },
                cdi={"url": listening.url, "ca": str(root / "ca.pem")},
                local={"classes": []},
                **settings,
            )
        ) as client,
    ):
        yield Front(client, kubernetes, proxy, server)


def claim(name: str, told: dict[str, str], size: int) -> Object:
    """Return a claim, and what CDI has written on it."""
    meta = {"name": name, "namespace": "demo", "annotations": told}
    requests = {"requests": {"storage": str(size)}}
    return {"metadata": meta, "spec": {"storageClassName": "place", "resources": requests}}


def done(kubernetes: FakeKubernetes) -> None:
    """Let CDI say that the upload has succeeded."""
    told = {"metadata": {"annotations": {POD_PHASE: "Succeeded", POD_READY: "false"}}}
    kubernetes.apply("persistentvolumeclaims", "demo", "up1", told)


def restarted(kubernetes: FakeKubernetes) -> None:
    """Let CDI say that the upload's pod was started again."""
    told = {"cdi.kubevirt.io/storage.pod.restarts": "1"}
    change = {"metadata": {"annotations": told}}
    kubernetes.apply("persistentvolumeclaims", "demo", "up1", change)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files that were sent."""
    return Files(tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_the_recorded_request_gets_the_recorded_answer(
    scene: Scene, files: Files, tmp_path: Path
) -> None:
    """Success and errors: status, text and headers are the real proxy's, and so is the volume."""
    size = int(scene.server.get("size", "100Mi").removesuffix("Mi")) * MiB
    async with front(tmp_path, size) as there:
        replay = ServiceReplay(scene, files, there.client.base, server=there.server)
        there.proxy.clock = replay.clock
        await replay.play()


@pytest.mark.parametrize("path", ["/v1beta1/upload", "/v1alpha1/upload-async"])
async def test_a_backing_file_is_refused_before_a_byte_is_sent(
    tmp_path: Path, files: Files, path: str
) -> None:
    """CDI would open a backing file that exists in its pod; and the claim takes the next upload."""
    async with front(tmp_path) as there:
        status, said = await there.post(path, files["backing.qcow2"].read_bytes())
        assert status == 400
        assert said.startswith("Saving stream failed: ")
        assert "backing file" in said
        await until(lambda: not there.server.uploading)
        assert there.server.received == 0
        assert await there.client.names() == {}
        assert (await there.post(path, files["small.qcow2"].read_bytes()))[0] == 200


async def test_a_form_with_a_backing_file_is_refused_too(tmp_path: Path, files: Files) -> None:
    """The file is found in its field, whatever comes before it."""
    async with front(tmp_path) as there:
        form = aiohttp.FormData({"comment": "first"})
        form.add_field("file", files["backing.qcow2"].read_bytes(), filename="x")
        status, said = await there.post("/v1beta1/upload-form", form)
        assert (status, "backing file" in said) == (400, True)
        assert there.server.received == 0


async def test_a_form_without_the_field_breaks_nothing(tmp_path: Path, files: Files) -> None:
    """The real server's handler panics and takes no upload any more; here the next one is taken."""
    async with front(tmp_path) as there:
        for wrong in ({"chunk": io.BytesIO(b"x" * 600)}, b"no form"):
            status, said = await there.post("/v1beta1/upload-form", wrong)
            assert (status, "'file'" in said) == (400, True)
            await until(lambda: not there.server.uploading)
        form = {"file": io.BytesIO(files["small.qcow2"].read_bytes())}
        assert (await there.post("/v1beta1/upload-form", form))[0] == 200


async def test_an_upload_is_an_image_like_any_other(tmp_path: Path, files: Files) -> None:
    """It is listed with its plan and sizes, counted as its class's, and Ready when CDI says so."""
    async with front(tmp_path) as there:
        assert (await there.post("/v1beta1/upload-async", files["small.raw"].read_bytes()))[
            0
        ] == 200
        (name,) = [one for one in await there.client.names() if one.startswith("up1-")]
        image = await there.over(name)
        assert image["spec"]["storageClass"] == "place"
        assert image["status"]["target"] == {"kind": "PersistentVolumeClaim", "name": "demo/up1"}
        assert image["status"]["virtualSize"] == 64 * MiB
        async with there.client.http.get(there.client.base + "/metrics") as answer:
            told = await answer.text()
        labels = 'backend="cdi",engine="peers.example/none"'
        assert (
            f'importer_images_total{{{labels},outcome="ready",reason="",storage_class="place"}}'
            in told
        )


async def test_zeros_do_not_travel(tmp_path: Path) -> None:
    """A raw disk that is mostly empty goes on in a zstd frame, which CDI takes."""
    disk = images.raw(tmp_path / "disk.raw", 768 * MiB, 2 * MiB)
    async with front(tmp_path, 800 * MiB) as there:
        with disk.open("rb") as file:
            assert (await there.post("/v1beta1/upload", file))[0] == 200
        assert there.server.received < 3 * MiB
        assert images.same(disk, "raw", cut(there.server.volume, 768 * MiB), "raw")


def cut(volume: Path, size: int) -> Path:
    """Return *volume* without what is behind the disk."""
    with volume.open("r+b") as file:
        file.truncate(size)
    return volume


async def test_deleting_its_record_leaves_the_claim(tmp_path: Path, files: Files) -> None:
    """The claim is its maker's; and a record that was deleted comes again with another upload."""
    async with front(tmp_path) as there:
        await there.post("/v1beta1/upload", files["small.qcow2"].read_bytes())
        (name,) = await there.client.names()
        await there.over(name)
        gone = await there.client.ask("DELETE", f"/v1/images/{name}", params={"namespace": "demo"})
        assert gone[0] == 204
        assert there.kubernetes.find("persistentvolumeclaims", "demo", "up1")


async def test_a_record_is_not_ours_to_try_again(tmp_path: Path, files: Files) -> None:
    """CDI fails after its answer: the record says why, and only CDI's client can begin anew."""
    async with front(tmp_path) as there:
        there.server.convert_error = "qemu-img: error while reading"
        there.server.exited = lambda code: restarted(there.kubernetes)
        content = files["small.qcow2"].read_bytes()
        assert (await there.post("/v1beta1/upload-async", content))[0] == 200
        (name,) = await there.client.names()
        image = await there.over(name)
        assert image["status"]["phase"] == "Failed"
        assert image["spec"]["source"]["into"] == "PersistentVolumeClaim demo/up1"
        query = {"namespace": "demo"}
        path = f"/v1/images/{name}"
        status, said = await there.client.ask("POST", f"{path}/retry", params=query)
        assert (status, said["error"]["slug"]) == (409, "wrong-phase")
        status, said = await there.client.ask("PUT", f"{path}/content", params=query, data=b"x")
        assert (status, said["error"]["slug"]) == (409, "wrong-phase")
        there.server.convert_error = None
        there.server.restart()
        there.server.exited = lambda code: done(there.kubernetes)
        assert (await there.post("/v1beta1/upload", content))[0] == 200
        assert (await there.over(name))["status"]["phase"] == "Ready"


async def test_nobody_else_says_what_is_filled(tmp_path: Path) -> None:
    """It is the service's own word: a request of the API with it is refused."""
    async with running(config(tmp_path / "data")) as client:
        source = {"type": "upload", "into": "PersistentVolumeClaim demo/up1"}
        status, said = await client.ask(
            "POST", "/v1/images", json={"name": "disk", "spec": {"source": source}}
        )
        assert (status, said["error"]["slug"]) == (400, "bad-request")


async def test_a_stopped_service_tells_its_client_to_send_again(
    tmp_path: Path, files: Files
) -> None:
    """503, as CDI says when it is busy; what had been begun is in no list."""
    async with front(tmp_path) as there:
        content = files["small.raw"].read_bytes()

        async def half() -> AsyncIterator[bytes]:
            yield content[: 8 * MiB]
            await until(lambda: there.server.received)
            await there.client.service.runner.stop()
            yield content[8 * MiB :]

        assert (await there.post("/v1beta1/upload", half()))[0] == 503
        assert await there.client.names() == {}


async def test_a_service_that_comes_back_forgets_what_was_not_over(
    tmp_path: Path, files: Files
) -> None:
    """CDI makes the volume all the same, and whoever waits for it asks CDI."""
    async with front(tmp_path) as there:
        there.server.exited = lambda code: None
        content = files["small.qcow2"].read_bytes()
        assert (await there.post("/v1beta1/upload-async", content))[0] == 200
        assert list((await there.client.names()).values()) == ["Processing"]
    async with running(config(tmp_path / "data")) as client:
        assert await client.names() == {}


async def test_a_compressed_disk_is_undone_on_its_way(tmp_path: Path, files: Files) -> None:
    """Its size need not be known: the claim is there."""
    async with front(tmp_path) as there:
        packed = files["small.raw.gz"].read_bytes()
        assert (await there.post("/v1beta1/upload", packed))[0] == 200
        assert there.server.volume.read_bytes()[: 64 * MiB] == files["small.raw"].read_bytes()


async def test_without_a_cluster_every_path_answers_503(tmp_path: Path) -> None:
    """In CDI's form: a text."""
    async with running(config(tmp_path / "data")) as client:
        for path in ("/v1beta1/upload", "/v1alpha1/upload-form-async"):
            async with (
                aiohttp.ClientSession() as http,
                http.post(client.base + path, data=b"x") as answer,
            ):
                assert answer.status == 503
                assert answer.content_type == "text/plain"
                assert "cluster" in await answer.text()


async def test_a_page_of_another_site_is_refused(tmp_path: Path) -> None:
    """The token is CDI's, the rule for origins is this service's."""
    async with front(tmp_path) as there:
        headers = {**there.token(), "Origin": "https://evil.example"}
        assert (await there.post("/v1beta1/upload", b"x", headers))[0] == 403
        assert there.proxy.requests == []


async def test_a_token_of_ours_opens_nothing_of_cdis(tmp_path: Path) -> None:
    """CDI is asked, and it says no."""
    async with front(tmp_path) as there:
        headers = {"Authorization": f"Bearer {there.client.service.token}"}
        assert (await there.post("/v1beta1/upload", b"x", headers))[0] == 401


async def test_an_archive_is_sent_elsewhere(tmp_path: Path) -> None:
    """A tar is no disk image: what takes it is named."""
    async with front(tmp_path) as there:
        told = {"metadata": {"annotations": {"cdi.kubevirt.io/storage.contentType": "archive"}}}
        there.kubernetes.apply("persistentvolumeclaims", "demo", "up1", told)
        status, said = await there.post("/v1beta1/upload", b"x" * 1024)
        assert (status, "archive" in said) == (400, True)
        assert there.server.received == 0
