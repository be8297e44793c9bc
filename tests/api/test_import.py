"""Images go in by upload and by URL, and what comes out is the same disk."""

import asyncio
import bz2
import gzip
import hashlib
import json
import lzma
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from backports import zstd

from tests import images
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer

MiB = 1 << 20


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service on an empty directory."""
    async with running(config(tmp_path / "data")) as client:
        yield client


@pytest.fixture(scope="session")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which test images are made once."""
    return tmp_path_factory.mktemp("disks")


def told(path: Path) -> tuple[str, int]:
    """Return format and virtual size as qemu-img tells them."""
    text = subprocess.run(
        ["qemu-img", "info", "--output=json", path], capture_output=True, check=True
    ).stdout
    info = json.loads(text)
    return info["format"], info["virtual-size"]


def stored(client: Client, image: dict) -> Path:
    """Return the file of a finished image."""
    path = Path(image["status"]["target"]["name"])
    assert path.parent == client.data / "images"
    return path


@pytest.mark.parametrize("kind", list(images.KINDS))
@pytest.mark.parametrize("wanted", [None, "raw", "qcow2"])
async def test_every_format_keeps_its_guest_bytes(
    client: Client, disks: Path, kind: str, wanted: str | None
) -> None:
    """Uploaded in any format and stored in any, the disk equals its source by qemu-img compare."""
    path = images.make(kind, disks)
    query = {"format": wanted} if wanted else {}
    status, image = await client.put("disk", path.open("rb"), **query)
    assert (status, image["status"]["phase"]) == (200, "Ready"), image
    file, format = stored(client, image), images.KINDS[kind][0]
    assert told(file)[0] == (wanted or ("qcow2" if format == "qcow2" else "raw"))
    assert images.same(path, format, file, told(file)[0])
    assert image["status"]["virtualSize"] == images.virtual_size(path, format)
    assert image["status"]["format"] == format
    assert image["status"]["size"] == path.stat().st_size
    assert image["status"]["checksums"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert client.files() == [file.name]


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
@pytest.mark.parametrize(
    ("compression", "pack"),
    [
        ("gzip", gzip.compress),
        ("xz", lzma.compress),
        ("zstd", zstd.compress),
        ("bzip2", bz2.compress),
    ],
)
async def test_outer_compression_is_undone(
    client: Client, disks: Path, kind: str, compression: str, pack: object
) -> None:
    """A compressed file, its kind told by its magic, gives the disk inside; size and checksum are
    those of the compressed file."""
    path = images.make(kind, disks)
    packed = pack(path.read_bytes())
    async with WebServer(packed) as server:
        status, _ = await client.fetch("disk", server.url("/no-telling-name"))
        assert status == 201
        image = await client.until("disk")
    assert image["status"]["phase"] == "Ready", image
    assert image["status"]["compression"] == compression
    assert image["status"]["format"] == kind
    assert image["status"]["size"] == len(packed)
    assert image["status"]["checksums"]["sha256"] == hashlib.sha256(packed).hexdigest()
    assert images.same(path, kind, stored(client, image), kind)


@pytest.mark.parametrize("make", [images.iso, images.hybrid_iso])
async def test_an_iso_is_an_iso(client: Client, tmp_path: Path, make: object) -> None:
    """Plain and hybrid ISOs are known as such and kept byte for byte."""
    path = make(tmp_path / "cd.iso")
    status, image = await client.put("cd", path.open("rb"))
    assert (status, image["status"]["format"]) == (200, "iso"), image
    assert stored(client, image).read_bytes() == path.read_bytes()


async def test_zeros_become_holes(client: Client, disks: Path) -> None:
    """A raw file takes no more room on the target than its data."""
    path = images.make("raw", disks)
    _, image = await client.put("disk", path.read_bytes())
    file = stored(client, image)
    assert file.read_bytes() == path.read_bytes()
    assert file.stat().st_blocks * 512 <= path.stat().st_blocks * 512 + 64 * 1024


async def test_an_odd_raw_file_is_padded_to_a_sector(client: Client, disks: Path) -> None:
    """A raw disk that is no whole number of sectors gets zeros; its size stays that of the file."""
    content = images.make("raw", disks).read_bytes() + b"odd"
    _, image = await client.put("disk", content)
    assert stored(client, image).read_bytes() == content + bytes(509)
    assert image["status"]["size"] == len(content)
    assert image["status"]["virtualSize"] == len(content) + 509


async def test_a_form_takes_the_file_too(client: Client, disks: Path) -> None:
    """A browser's multipart form gives the same image as a raw body."""
    path = images.make("qcow2", disks)
    form = aiohttp.FormData()
    form.add_field("note", "before the file")
    form.add_field("file", path.open("rb"), filename="disk.qcow2")
    status, image = await client.put("disk", form)
    assert status == 200, image
    assert stored(client, image).read_bytes() == path.read_bytes()


async def test_curl_uploads(client: Client, disks: Path) -> None:
    """curl -T, with and without a length, is all that an upload needs."""
    path = images.make("qcow2", disks)
    token = (client.data / "token").read_text().strip()
    for name, more in (("with", []), ("without", ["-H", "Transfer-Encoding: chunked"])):
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "-H", f"Authorization: Bearer {token}", *more, "-T", str(path)),
            f"{client.base}/v1/images/{name}/content",
            stdout=subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert json.loads(out)["status"]["phase"] == "Ready"


async def test_an_image_that_was_named_first_takes_its_upload(client: Client, disks: Path) -> None:
    """POST makes a Pending image with its wishes, PUT fills it."""
    path = images.make("qcow2", disks)
    spec = {"source": {"type": "upload"}, "format": "raw"}
    status, image = await client.ask("POST", "/v1/images", json={"name": "disk", "spec": spec})
    assert (status, image["status"]["phase"]) == (201, "Pending")
    status, image = await client.put("disk", path.read_bytes())
    assert status == 200, image
    assert told(stored(client, image))[0] == "raw"


async def test_namespaces_keep_images_apart(client: Client, disks: Path) -> None:
    """Two namespaces may have an image of the same name, each its own file."""
    content = images.make("raw", disks).read_bytes()
    for namespace in ("default", "team-a"):
        status, _ = await client.put("disk", content, namespace=namespace)
        assert status == 200
    assert client.files() == ["disk.raw", "team-a", "team-a/disk.raw"]
    assert (await client.ask("DELETE", "/v1/images/disk?namespace=team-a"))[0] == 204
    assert client.files() == ["disk.raw"]


async def test_the_right_checksum_passes(client: Client, disks: Path) -> None:
    """A checksum of every kind is checked over the file as sent."""
    content = images.make("qcow2", disks).read_bytes()
    for number, algorithm in enumerate(("md5", "sha1", "sha256", "sha512")):
        digest = hashlib.new(algorithm, content).hexdigest()
        status, image = await client.put(f"d{number}", content, checksum=f"{algorithm}:{digest}")
        assert status == 200, image
        assert image["status"]["checksums"][algorithm] == digest


async def test_deleting_removes_file_and_record(client: Client, disks: Path) -> None:
    """After a delete neither the directory nor the list knows the image."""
    await client.put("disk", images.make("raw", disks).read_bytes())
    assert (await client.ask("DELETE", "/v1/images/disk"))[0] == 204
    assert client.files() == []
    assert await client.names() == {}
    assert (await client.ask("DELETE", "/v1/images/disk"))[0] == 404


async def test_phases_have_their_seconds(client: Client, disks: Path) -> None:
    """A finished image says what each phase took, and the events told every phase."""
    content = images.make("raw", disks).read_bytes()
    _, image = await client.put("disk", content)
    phases = image["status"]["phases"]
    names = [phase["name"] for phase in phases]
    assert names == ["Pending", "Inspecting", "Preparing", "Transferring", "Processing"]
    assert all(phase["seconds"] >= 0 for phase in phases)


async def test_a_retryable_failure_is_tried_again(client: Client, disks: Path) -> None:
    """A server that says 503 twice and then sends the file makes a Ready image at the third try."""
    content = images.make("qcow2", disks).read_bytes()
    async with WebServer(content, statuses=[503, 503]) as server:
        await client.fetch("disk", server.url())
        image = await client.until("disk")
    assert (image["status"]["phase"], image["status"]["attempt"]) == ("Ready", 3)


async def test_a_url_with_secrets_is_stored_sealed(client: Client, disks: Path) -> None:
    """User, password and signature reach the server, and no API and no disk shows them."""
    content = images.make("qcow2", disks).read_bytes()
    async with WebServer(content) as server:
        url = server.url("/disk?sig=HUSHHUSH").replace("http://", "http://me:HUSHHUSH@")
        _, image = await client.fetch("disk", url)
        assert "HUSH" not in json.dumps(image)
        image = await client.until("disk")
        assert server.requests[0].query_string == "sig=HUSHHUSH"
    assert image["status"]["phase"] == "Ready"
    for path in client.data.rglob("*"):
        assert not path.is_file() or b"HUSHHUSH" not in path.read_bytes()


async def test_many_at_once_all_end_right(client: Client, disks: Path) -> None:
    """More imports than workers, by both ways, all become Ready with their own bytes."""
    content = images.make("qcow2", disks).read_bytes()
    async with WebServer(content) as server:
        for number in range(6):
            await client.fetch(f"url-{number}", server.url())
        bodies = [content + os.urandom(number * 512) for number in range(6)]
        uploads = [client.put(f"up-{number}", body) for number, body in enumerate(bodies)]
        results = await asyncio.gather(*uploads)
        for number in range(6):
            await client.until(f"url-{number}")
    assert {status for status, _ in results} == {200}
    assert set((await client.names()).values()) == {"Ready"}
