"""Harvester's clients send to this service instead, and the image becomes ready in Harvester."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from tests import images
from tests.servers.harvester import IMAGES, Harvester
from tests.servers.kubernetes import Object
from tests.servers.recorded import Files
from tests.servers.replay import until
from tests.servers.running import Client, config, running
from tests.servers.site import Site, site

MiB = 1 << 20
PATH = "/v1/harvester/harvesterhci.io.virtualmachineimages"
BOUNDARY = "2cc0c7bb9e1f5c3f2e6a0d5f"
BACKENDS = {"backingimage": "longhorn", "cdi": "longhorn-v2"}


@dataclass
class Front:
    """The service in a Harvester cluster."""

    client: Client
    site: Site
    harvester: Harvester
    root: Path

    def made(self, backend: str, name: str = "image-x7k2p", **spec: Any) -> Object:
        """Make an image as Harvester's clients do, and return it."""
        whole = {
            "backend": backend,
            "displayName": "Debian_12.qcow2",
            "sourceType": "upload",
            "targetStorageClassName": BACKENDS[backend],
            **spec,
        }
        meta = {"name": name, "namespace": "default"}
        return self.site.kubernetes.create(IMAGES, {"metadata": meta, "spec": whole})

    async def says(self, name: str, condition: Callable[[Object], Any]) -> Object:
        """Return the image once *condition* holds of what Harvester says of it."""
        return await self.site.kubernetes.until(IMAGES, "default", name, condition)

    async def ready(self, name: str = "image-x7k2p") -> Object:
        """Return the image once Harvester calls it imported."""
        return await self.says(name, lambda found: imported(found) == "True")

    async def post(self, body: Any, size: int | str, **more: Any) -> tuple[int, str]:
        """Upload as any of the clients: *more* are its headers and the like."""
        name = more.pop("name", "image-x7k2p")
        url = f"{self.client.base}{PATH}/default/{name}?action=upload&size={size}"
        async with self.client.http.post(url, data=body, **more) as answer:
            assert answer.status == 200 or answer.content_type == "text/plain"
            return answer.status, await answer.text()

    async def over(self) -> Any:
        """Return the service's own record once its import is over."""
        _, told = await self.client.ask("GET", "/v1/images")
        (image,) = told["items"]
        known = SimpleNamespace(uid=image["uid"])
        await until(lambda: not self.client.service.runner.is_running(known))
        return await self.client.image(image["name"])

    def disk(self, backend: str, image: Object) -> tuple[Path, str]:
        """Return the file that guests will see, and its format."""
        if backend == "backingimage":
            path = self.site.longhorn.file(f"vmi-{image['metadata']['uid']}")
            return path, "qcow2" if path.read_bytes()[:4] == b"QFI\xfb" else "raw"
        whole = self.root / "volume"
        content = self.site.cdi.volume("default", image["metadata"]["name"]).read_bytes()
        whole.write_bytes(content[: 64 * MiB])
        return whole, "raw"


def imported(image: Object) -> str:
    """Return what the condition Imported says."""
    told = image.get("status", {}).get("conditions", [])
    return next((str(one["status"]) for one in told if one["type"] == "Imported"), "")


@asynccontextmanager
async def front(root: Path, **fields: Any) -> AsyncIterator[Front]:
    """Run them; *fields*: of ``longhorn`` and ``cdi``."""
    async with (
        site(root / "site", **fields) as cluster,
        Harvester(cluster.kubernetes, cluster.longhorn) as harvester,
        running(
            config(
                root / "data",
                kubernetes={"enabled": True, "kubeconfig": str(cluster.kubeconfig)},
                longhorn={"url": cluster.longhorn.url},
                local={"classes": []},
            )
        ) as client,
    ):
        yield Front(client, cluster, harvester, root)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files that are sent."""
    return Files(tmp_path_factory.mktemp("files"))


def page(content: bytes, backend: str) -> tuple[Any, dict[str, str]]:
    """Return what Harvester's page sends: axios, FormData, a field for each backend.

    harvester-ui-extension: models/harvesterhci.io.virtualmachineimage.js:316-356.
    """
    field = {"cdi": "file", "backingimage": "chunk"}[backend]
    whole = form(field, "debian-12.qcow2", content)
    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(len(whole)),
        "File-Size": str(len(content)),
        "Accept": "application/json",
    }
    return io.BytesIO(whole), headers


def terraform(content: bytes, _: str) -> tuple[Any, dict[str, str]]:
    """Return what its Terraform provider sends: an io.Pipe, so no length; always ``chunk``.

    terraform-provider-harvester: internal/provider/image/resource_image.go:207-314.
    """
    whole = form("chunk", "/images/debian-12.qcow2", content)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 32 * 1024):  # io.Copy's buffer
            yield whole[start : start + 32 * 1024]

    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "User-Agent": "Go-http-client/1.1",
    }
    return pieces(), headers


def command(content: bytes, _: str) -> tuple[Any, dict[str, str]]:
    """Return what harvester-cli sends: all of it in memory, ``chunk`` (cmd/image.go:189-290)."""
    whole = form("chunk", "debian-12.qcow2", content)
    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(len(whole)),
        "User-Agent": "Go-http-client/1.1",
    }
    return io.BytesIO(whole), headers


def form(field: str, filename: str, content: bytes) -> bytes:
    """Return a body as browsers and Go's ``multipart.Writer`` make it."""
    named = f'form-data; name="{field}"; filename="{filename}"'
    kind = "Content-Type: application/octet-stream"
    head = f"--{BOUNDARY}\r\nContent-Disposition: {named}\r\n{kind}\r\n\r\n"
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("client", [page, terraform, command], ids=lambda one: one.__name__)
async def test_the_image_becomes_ready_in_harvester(
    tmp_path: Path, files: Files, client: Callable[..., Any], backend: str
) -> None:
    """Whichever client sends it, in its own form: 200, nothing more, and the same disk."""
    async with front(tmp_path) as there:
        image = there.made(backend)
        await there.says("image-x7k2p", lambda found: imported(found) == "Unknown")
        content = files["small.qcow2"].read_bytes()
        body, headers = client(content, backend)
        assert await there.post(body, len(content), headers=headers) == (200, "")
        ready = await there.ready()
        assert ready["status"]["virtualSize"] == 64 * MiB
        assert ready["status"]["size"] == len(content)
        assert images.same(files["small.raw"], "raw", *there.disk(backend, image))
        own = await there.over()
        assert own["status"]["phase"] == "Ready", own["status"]["error"]
        assert own["name"] == f"debian-12-{image['metadata']['uid'][:8]}"
        assert (own["spec"]["storageClass"], own["spec"]["backend"]) == (BACKENDS[backend], backend)


async def test_the_volume_is_harvesters(tmp_path: Path, files: Files) -> None:
    """Its name and namespace are the image's, which owns it: it goes when the image goes."""
    async with front(tmp_path) as there:
        image = there.made("cdi")
        content = files["small.qcow2"].read_bytes()
        body, headers = page(content, "cdi")
        await there.post(body, len(content), headers=headers)
        volume = there.site.kubernetes.get("datavolumes", "default", "image-x7k2p")
        (owner,) = volume["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("VirtualMachineImage", image["metadata"]["uid"])
        own = await there.over()
        assert (await there.client.ask("DELETE", f"/v1/images/{own['name']}"))[0] == 204
        assert there.site.kubernetes.find("datavolumes", "default", "image-x7k2p")
        body, headers = page(content, "cdi")
        status, said = await there.post(body, len(content), headers=headers)
        assert (status, "already exists" in said) == (409, True)


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_backing_file_is_refused_before_a_byte_is_sent(
    tmp_path: Path, files: Files, backend: str
) -> None:
    """The answer says why, Harvester's image says so too, and another upload makes it ready."""
    async with front(tmp_path) as there:
        there.made(backend)
        content = files["backing.qcow2"].read_bytes()
        body, headers = page(content, backend)
        status, said = await there.post(body, len(content), headers=headers)
        assert (status, "backing file" in said) == (500, True)
        image = await there.says("image-x7k2p", lambda found: imported(found) == "False")
        (told,) = [one for one in image["status"]["conditions"] if one["type"] == "Imported"]
        assert (told["reason"], told["message"]) == ("UploadFailed", said)
        assert there.site.longhorn.manager.requests == []
        assert there.site.kubernetes.all("datavolumes") == []
        assert await there.client.names() == {}
        content = files["small.qcow2"].read_bytes()
        body, headers = page(content, backend)
        assert (await there.post(body, len(content), headers=headers))[0] == 200
        await there.ready()


async def test_a_failed_upload_leaves_no_volume(tmp_path: Path, files: Files) -> None:
    """CDI's pod is killed amid it: Harvester's image says that it failed; the next try makes it."""
    async with front(tmp_path, cdi={"tries": [{"kill_after": 4 * MiB}]}) as there:
        there.made("cdi")
        content = files["small.qcow2"].read_bytes()
        body, headers = page(content, "cdi")
        status, _ = await there.post(body, len(content), headers=headers)
        assert status in (500, 503)
        assert there.site.kubernetes.all("datavolumes") == []
        await there.says("image-x7k2p", lambda found: imported(found) == "False")
        body, headers = terraform(content, "cdi")
        assert (await there.post(body, len(content), headers=headers))[0] == 200
        await there.ready()


async def test_an_odd_size_is_padded_unless_a_checksum_is_given(
    tmp_path: Path, files: Files
) -> None:
    """Longhorn takes whole sectors only; padded, the file's checksum would be another."""
    content = files["small.qcow2"].read_bytes() + bytes(100)
    async with front(tmp_path) as there:
        image = there.made("backingimage")
        body, headers = page(content, "backingimage")
        assert (await there.post(body, len(content), headers=headers))[0] == 200
        await there.ready()
        made, _ = there.disk("backingimage", image)
        assert made.read_bytes() == content + bytes(412)
        there.made("backingimage", "other", checksum=hashlib.sha512(content).hexdigest())
        body, headers = page(content, "backingimage")
        status, said = await there.post(body, len(content), headers=headers, name="other")
        assert status == 500
        assert said == (
            f"upload failed: the uploaded file size {len(content)} should be a multiple of 512 "
            "bytes since Longhorn uses directIO by default"
        )


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_checksum_is_compared(tmp_path: Path, files: Files, backend: str) -> None:
    """SHA-512 of the file, for backend cdi too, where Harvester compares nothing."""
    async with front(tmp_path) as there:
        there.made(backend, checksum="f" * 128)
        content = files["small.qcow2"].read_bytes()
        body, headers = page(content, backend)
        status, said = await there.post(body, len(content), headers=headers)
        assert (status, "sha512 is" in said) == (500, True)
        await there.says("image-x7k2p", lambda found: imported(found) == "False")
        there.made(backend, "right", checksum=files.sha512("small.qcow2"))
        body, headers = page(content, backend)
        assert (await there.post(body, len(content), headers=headers, name="right"))[0] == 200
        await there.ready("right")


async def test_many_at_once_each_cut_and_sent_again(tmp_path: Path, files: Files) -> None:
    """Six images of both backends, whose clients lose their connection half-way, all get ready."""
    content = files["small.qcow2"].read_bytes()
    async with front(tmp_path) as there:
        names = {f"image-{number}": list(BACKENDS)[number % 2] for number in range(6)}
        made = {name: there.made(backend, name) for name, backend in names.items()}

        async def send(name: str, backend: str) -> None:
            with pytest.raises(aiohttp.ClientError):
                await there.post(cut(content), len(content), headers=FORM, name=name)
            await there.says(name, lambda found: imported(found) == "False")
            if backend == "backingimage":
                await there.harvester.again(made[name])
            body, headers = terraform(content, backend)
            status, said = await there.post(body, len(content), headers=headers, name=name)
            assert (status, said) == (200, "")
            await there.ready(name)

        await asyncio.gather(*(send(name, backend) for name, backend in names.items()))
        for name, backend in names.items():
            assert images.same(files["small.raw"], "raw", *there.disk(backend, made[name]))


FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


async def cut(content: bytes) -> AsyncIterator[bytes]:
    """Yield a form whose sender goes away in the middle."""
    whole = form("chunk", "x", content)
    yield whole[: len(whole) // 2]
    raise ConnectionResetError("the link is lost")


async def test_requests_that_cannot_be(tmp_path: Path, files: Files) -> None:
    """An image that is not there, is downloaded, has no size or no field: in Harvester's form."""
    async with front(tmp_path) as there:
        content = files["odd.bin"].read_bytes()
        body, headers = page(content, "cdi")
        status, said = await there.post(body, 1000, headers=headers)
        assert (status, "virtualmachineimages" in said) == (404, True)
        there.made("cdi", sourceType="download", url="http://example.org/x")
        assert (await there.post(page(content, "cdi")[0], 1000, headers=headers))[0] == 500
        there.made("cdi", "image-2")
        odd = {"headers": headers, "name": "image-2"}
        status, said = await there.post(page(content, "cdi")[0], "", **odd)
        assert (status, said) == (500, 'strconv.ParseInt: parsing "": invalid syntax')
        wrong = io.BytesIO(form("content", "x", content))
        kind = {"Content-Type": headers["Content-Type"]}
        status, said = await there.post(wrong, 1000, headers=kind, name="image-2")
        assert (status, "chunk or file" in said) == (500, True)


async def test_who_may_ask(tmp_path: Path) -> None:
    """Our token, and without a cluster 503: both as a text."""
    async with running(config(tmp_path / "data")) as client:
        url = f"{client.base}{PATH}/default/x?action=upload&size=512"
        async with client.http.post(url, data=b"") as answer:
            assert (answer.status, answer.content_type) == (503, "text/plain")
            assert "cluster" in await answer.text()
        async with aiohttp.ClientSession() as http, http.post(url, data=b"") as answer:
            assert (answer.status, answer.content_type) == (401, "text/plain")
