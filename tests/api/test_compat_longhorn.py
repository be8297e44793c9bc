"""Clients of longhorn-manager's upload action get from this service what Longhorn answers.

The transcripts were taken at the data source's own port; the manager in front of it passes its
answers on, but says first, as JSON, when there is none that waits (LHM: api/forwarder.go:175-212).
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from importer.api.compat.words import authorised_elsewhere
from importer.config import Compat
from importer.errors import CallerError
from tests import images
from tests.servers.clock import HandClock
from tests.servers.kubernetes import Object
from tests.servers.recorded import Files, Scene, scenes
from tests.servers.replay import Replay, Step, until
from tests.servers.running import Client, config, running
from tests.servers.site import Site, site

MiB = 1 << 20
SPACE = "longhorn-system"
BUSY = "upload server for backing image {name} has not been initiated"
GONE = "cannot find pod for backing image data source {name}"

BY_THE_MANAGER = {
    "connection broken midway (curl killed after 3 s at 2 MB/s)": {2: GONE, 3: GONE},
    "second upload after the first finished": {2: GONE},
    "second upload while the first is running (first one limited to 2 MB/s)": {2: BUSY},
    "nobody uploads for 62 s": {1: GONE},
}
"""Scene → its uploads, from 1, that the manager answers before they reach the data source."""

LEFT_OUT = {
    "the client stalls in the middle (1 MB sent, then silence): how long until it fails?": (
        "no answer; that the service keeps Longhorn from waiting is tested in tests/targets"
    ),
    "upload to a download-type server": "a BackingImage that is downloaded is never pending",
    "wrong paths and methods": "paths of the data source, which nobody outside sees",
}
"""Recorded scenes with uploads that are not this service's to play, and why."""

SCENES = [
    scene
    for scene in scenes("longhorn-*.json")
    if scene.title not in LEFT_OUT and "action=upload" in json.dumps(scene.steps)
]


@dataclass
class ServiceReplay(Replay):
    """Plays the uploads of one scene to the service."""

    site: Site = field(kw_only=True)
    bearer: str = field(kw_only=True)
    uploads: int = 0

    @property
    def name(self) -> str:
        return str(self.scene.server["name"])

    def url(self, request: Step) -> str:
        query = request["path"].partition("?")[2]
        return f"{self.base}/v1/backingimages/{self.name}?{query}"

    def headers(self, request: Step) -> dict[str, str]:
        return {**super().headers(request), "Authorization": f"Bearer {self.bearer}"}

    def received(self) -> int:
        # The service keeps a little back: that Longhorn is busy is what the scene is about.
        return 1 << 60 if self.site.longhorn.source(self.name).received else 0

    async def noticed(self) -> None:
        await self._pod_gone()

    async def _step(self, step: Step, where: str) -> None:
        if "info" in step or "files" in step:
            return
        request = step.get("request", {})
        if request and "action=upload" not in request["path"]:
            return
        self.uploads += bool(request) or "begin" in step
        said = BY_THE_MANAGER.get(self.scene.title, {}).get(self.uploads)
        if request and said:
            if said == GONE:
                await self._pod_gone()
            step = {"request": request, "answer": self._by_manager(said)}
        await super()._step(step, where)

    async def _pod_gone(self) -> None:
        await self.site.kubernetes.until_gone("pods", SPACE, f"backing-image-ds-{self.name}")

    def _by_manager(self, said: str) -> Step:
        told = {"type": "error", "status": 500, "code": "Internal Server Error"}
        body = json.dumps({**told, "message": said.format(name=self.name)})
        return {"status": 500, "headers": {"content-type": "application/json"}, "body": body}


@dataclass
class Front:
    """The service before Longhorn."""

    client: Client
    site: Site

    async def made(self, name: str, **spec: Any) -> Object:
        """Make a BackingImage as Longhorn's clients do, and wait until it takes an upload."""
        self.site.longhorn.create(backing_image(name, **spec))
        return await self.site.kubernetes.until(
            "backingimagedatasources",
            SPACE,
            name,
            lambda found: found.get("status", {}).get("currentState") == "pending",
        )

    async def post(self, name: str, content: bytes, size: int | None = None) -> tuple[int, str]:
        """Upload *content* as Longhorn's page does."""
        query = {"action": "upload", "size": str(len(content) if size is None else size)}
        path = f"{self.client.base}/v1/backingimages/{name}"
        form = {"chunk": io.BytesIO(content)}
        async with self.client.http.post(path, params=query, data=form) as answer:
            return answer.status, await answer.text()

    async def over(self, name: str) -> Any:
        """Return the record of an upload once its import is over."""
        _, told = await self.client.ask("GET", "/v1/images", params={"namespace": SPACE})
        (image,) = [one for one in told["items"] if one["name"].startswith(f"{name}-")]
        known = SimpleNamespace(uid=image["uid"])
        await until(lambda: not self.client.service.runner.is_running(known))
        query = {"namespace": SPACE}
        return (await self.client.ask("GET", f"/v1/images/{image['name']}", params=query))[1]


def backing_image(name: str, **spec: Any) -> Object:
    """Return a BackingImage that waits for an upload."""
    return {
        "apiVersion": "longhorn.io/v1beta2",
        "kind": "BackingImage",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {"sourceType": "upload", "sourceParameters": {}, **spec},
    }


@asynccontextmanager
async def front(root: Path, workers: int = 4, **fields: Any) -> AsyncIterator[Front]:
    """Run them; *fields* of the fake Longhorn."""
    async with (
        site(root / "site", longhorn=fields) as cluster,
        running(
            config(
                root / "data",
                kubernetes={"enabled": True, "kubeconfig": str(cluster.kubeconfig)},
                longhorn={"url": cluster.longhorn.url},
                local={"classes": []},
                jobs={"workers": workers},
            )
        ) as client,
    ):
        yield Front(client, cluster)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files that were sent."""
    return Files(tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_the_recorded_request_gets_the_recorded_answer(
    scene: Scene, files: Files, tmp_path: Path
) -> None:
    """Success and errors: status, text and headers are those of Longhorn."""
    clock = HandClock()
    async with front(tmp_path, **({"clock": clock} if "62 s" in scene.title else {})) as there:
        checksum = scene.server.get("checksum", "")
        checksum = checksum.replace("{sha512}", files.sha512("small.qcow2"))
        checksum = checksum.replace("{wrong}", "f" * 128)
        await there.made(scene.server["name"], **({"checksum": checksum} if checksum else {}))
        replay = ServiceReplay(
            scene,
            files,
            there.client.base,
            clock=clock,
            site=there.site,
            bearer=str(there.client.service.token),
        )
        await replay.play()
        assert replay.uploads


@pytest.mark.parametrize("name", ["small.qcow2", "small.raw"])
async def test_an_upload_is_an_image_like_any_other(
    tmp_path: Path, files: Files, name: str
) -> None:
    """Longhorn has the very file, and its record is Ready when the BackingImage is."""
    async with front(tmp_path) as there:
        await there.made("disk")
        assert await there.post("disk", files[name].read_bytes()) == (200, "")
        image = await there.over("disk")
        assert image["status"]["phase"] == "Ready", image["status"]["error"]
        assert image["status"]["target"] == {"kind": "BackingImage", "name": f"{SPACE}/disk"}
        assert there.site.longhorn.file("disk").read_bytes() == files[name].read_bytes()
        assert there.site.longhorn.manager.requests == [
            f"/v1/backingimages/disk?action=upload&size={files[name].stat().st_size}"
        ]


async def test_the_clients_query_goes_nowhere(tmp_path: Path, files: Files) -> None:
    """The data source would take its first value for its own file-path, uuid and checksum."""
    async with front(tmp_path) as there:
        await there.made("disk")
        content = files["small.qcow2"].read_bytes()
        more = "&file-path=/etc/passwd&expected-checksum=&uuid=x"
        path = f"/v1/backingimages/disk?action=upload&size={len(content)}{more}"
        headers = {"X-Forwarded-For": "1.2.3.4", "Cookie": "R_SESS=secret"}
        async with there.client.http.post(
            there.client.base + path, data={"chunk": io.BytesIO(content)}, headers=headers
        ) as answer:
            assert answer.status == 200
        (told,) = there.site.longhorn.manager.requests
        assert told == f"/v1/backingimages/disk?action=upload&size={len(content)}"


@pytest.mark.parametrize("kind", ["backing", "zstd", "extended"])
async def test_what_longhorn_must_not_get_is_refused_before_a_byte_is_sent(
    tmp_path: Path, files: Files, kind: str
) -> None:
    """A backing file, and what its engine cannot read; the image waits on for its upload."""
    async with front(tmp_path) as there:
        await there.made("disk")
        content = files["backing.qcow2"] if kind == "backing" else unread(kind, files, tmp_path)
        whole = content.read_bytes()
        status, said = await there.post("disk", whole + bytes(-len(whole) % 512))
        assert status == 500
        assert ("backing file" if kind == "backing" else "cannot read this qcow2") in said
        assert there.site.longhorn.manager.requests == []
        assert await there.client.names() == {}
        assert (await there.post("disk", files["small.qcow2"].read_bytes()))[0] == 200


def unread(kind: str, files: Files, folder: Path) -> Path:
    """Return a qcow2 of a kind that libqcow does not read."""
    path = folder / "unread.qcow2"
    options = {"zstd": "compression_type=zstd", "extended": "extended_l2=on"}[kind]
    raw = str(files["small.raw"])
    images.run("qemu-img", "convert", "-O", "qcow2", "-o", options, "-f", "raw", raw, str(path))
    return path


async def test_a_format_that_longhorn_does_not_know_is_converted(
    tmp_path: Path, files: Files
) -> None:
    """Longhorn would store a VMDK as if it were the disk itself."""
    async with front(tmp_path) as there:
        await there.made("disk")
        content = files["small.vmdk"].read_bytes()
        content += bytes(-len(content) % 512)
        assert (await there.post("disk", content))[0] == 200
        image = await there.over("disk")
        assert image["status"]["phase"] == "Ready", image["status"]["error"]
        made = there.site.longhorn.file("disk")
        assert images.same(files["small.raw"], "raw", made, "qcow2")


async def test_uploads_do_not_wait_for_a_worker(tmp_path: Path, files: Files) -> None:
    """All workers are busy; Longhorn would give the image up after 60 seconds."""
    async with front(tmp_path, workers=1) as there:
        await there.made("disk")
        gate = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield bytes(2 * MiB)
            await gate.wait()

        path = f"{there.client.base}/v1/images/busy/content?storageClass=longhorn"
        busy = asyncio.create_task(there.client.http.put(path, data=slow()))
        await there.client.until("busy", "Inspecting", "Preparing", "Transferring")
        assert (await there.post("disk", files["small.qcow2"].read_bytes()))[0] == 200
        assert (await there.over("disk"))["status"]["phase"] == "Ready"
        gate.set()
        (await busy).close()


async def test_what_the_manager_says_first(tmp_path: Path) -> None:
    """An image that does not exist, and one whose pod does not run yet, in Longhorn's JSON."""
    async with front(tmp_path) as there:
        status, said = await there.post("nothing", bytes(512))
        assert (status, json.loads(said)["message"]) == (500, GONE.format(name="nothing"))
        there.site.longhorn.scheduling.clear()
        there.site.longhorn.create(backing_image("disk"))
        await there.site.kubernetes.until("pods", SPACE, "backing-image-ds-disk")
        status, said = await there.post("disk", bytes(512))
        waits = "backing image data source pod is not ready for uploading"
        assert (status, json.loads(said)["message"]) == (500, waits)


async def test_deleting_its_record_leaves_the_image(tmp_path: Path, files: Files) -> None:
    """The BackingImage is its maker's."""
    async with front(tmp_path) as there:
        await there.made("disk")
        await there.post("disk", files["small.qcow2"].read_bytes())
        await there.over("disk")
        (name,) = await there.client.names()
        query = {"namespace": SPACE}
        assert (await there.client.ask("DELETE", f"/v1/images/{name}", params=query))[0] == 204
        assert there.site.kubernetes.find("backingimages", SPACE, "disk")


async def test_our_token_is_needed_but_for_trusted_proxies(tmp_path: Path) -> None:
    """Longhorn's own API asks nobody; off by default, a proxy may let its users in."""
    async with front(tmp_path) as there, aiohttp.ClientSession() as http:
        path = "/v1/backingimages/nothing?action=upload&size=512"
        async with http.post(there.client.base + path, data=b"") as answer:
            told = await answer.json()
            assert (answer.status, told["type"], told["status"]) == (401, "error", 401)
    trusted = {"authorised_proxies": ["10.0.0.0/8", "127.0.0.0/8"]}
    other = {"authorised_proxies": ["10.0.0.0/8"]}
    for number, (proxies, status) in enumerate([(trusted, 503), (other, 401)]):
        async with (
            running(config(tmp_path / f"alone-{number}", compat=proxies)) as client,
            aiohttp.ClientSession() as http,
        ):
            async with http.post(client.base + path, data=b"") as answer:
                told = await answer.json()
                assert (answer.status, told["status"], told["type"]) == (status, status, "error")
            async with http.get(client.base + "/v1/images") as answer:
                assert answer.status == 401


def test_a_network_that_is_none_is_refused_at_the_start() -> None:
    """Rather than letting nobody in, or somebody else."""
    with pytest.raises(CallerError, match="authorised_proxies"):
        authorised_elsewhere(Compat(authorised_proxies=("10.0.0.0/8", "the ingress")))
