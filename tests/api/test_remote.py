"""Images from servers and buckets that want to know who asks: through the whole service."""

import asyncio
import hashlib
import lzma
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from backports import zstd

from tests.servers.gated import Gate, gated
from tests.servers.moto import moto_server
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer

MiB = 1 << 20
DISK = bytes(510) + b"\x55\xaa" + os.urandom(3 * MiB) + bytes(5 * MiB)
SHA256 = hashlib.sha256(DISK).hexdigest()


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service on an empty directory."""
    async with running(config(tmp_path / "data")) as client:
        yield client


async def create(client: Client, name: str, source: dict, **spec: object) -> tuple[int, dict]:
    wanted = {"name": name, "spec": {"source": source, **spec}}
    return await client.ask("POST", "/v1/images", json=wanted)


def kept(client: Client) -> bytes:
    """Return all that the service has written down."""
    return b"".join(path.read_bytes() for path in client.data.glob("importer.db*"))


async def test_a_bucket_is_imported_with_the_imports_own_keys(client: Client) -> None:
    """The keys are neither shown nor stored in clear, and a later try has them again."""
    async with moto_server() as moto:
        await asyncio.to_thread(moto.client.create_bucket, Bucket="images")
        source = {
            "type": "s3",
            "url": "s3://images/debian.raw",
            "endpoint": moto.endpoint,
            "accessKeyId": "SECRET1",
            "secretAccessKey": "SECRET2",
        }
        status, image = await create(client, "debian", source)
        hidden = {**source, "accessKeyId": "***", "secretAccessKey": "***"}
        assert (status, image["spec"]["source"]) == (201, hidden)
        failed = await client.until("debian", "Failed")
        assert failed["status"]["error"]["slug"] == "source-failed"
        assert "no such key (NoSuchKey)" in failed["status"]["error"]["message"]

        await moto.put("images", "debian.raw", DISK)
        assert (await client.ask("POST", "/v1/images/debian/retry"))[0] == 200
        ready = await client.until("debian", "Ready")
        assert ready["status"]["checksums"]["sha256"] == SHA256
        assert ready["spec"]["source"] == hidden
        assert b"SECRET" not in kept(client)

        status, info = await client.ask("POST", "/v1/inspect", json={"source": source})
        assert (status, info["format"], info["size"]) == (200, "raw", len(DISK))


async def test_a_bucket_of_others_is_refused_at_once(client: Client) -> None:
    """The service's own keys are for nothing until the configuration says for what."""
    status, answer = await create(client, "x", {"type": "s3", "url": "s3://images/k"})
    assert (status, answer["error"]["slug"]) == (403, "address-refused")
    assert "[s3] buckets" in answer["error"]["message"]
    assert await client.names() == {}


async def test_headers_and_a_checksum_file(client: Client) -> None:
    """A server that wants a token is given it; the checksum is looked up beside the image."""
    async with Files(
        {"/d/disk.raw": DISK, "/d/SHA256SUMS": f"{SHA256}  disk.raw\n".encode()}
    ) as files:
        source = {"type": "url", "url": files.url("/d/disk.raw")}
        status, answer = await create(client, "disk", source, checksum=files.url("/d/SHA256SUMS"))
        assert (status, answer["error"]["slug"]) == (502, "source-failed")

        source["headers"] = {"Authorization": "Bearer SECRET"}
        status, image = await create(client, "disk", source, checksum=files.url("/d/SHA256SUMS"))
        assert status == 201, image
        assert image["spec"]["checksum"] == f"sha256:{SHA256}"
        assert image["spec"]["source"]["headers"] == {"Authorization": "***"}
        ready = await client.until("disk", "Ready")
    assert ready["status"]["size"] == len(DISK)
    assert b"SECRET" not in kept(client)


async def test_a_wrong_checksum_file_makes_no_image(client: Client) -> None:
    """The hash of the file is compared with what was found, to the last byte."""
    other = hashlib.sha256(b"other").hexdigest()
    async with Files({"/disk.raw": DISK, "/SUMS": f"{other}  disk.raw\n".encode()}) as files:
        headers = {"Authorization": "Bearer SECRET"}
        source = {"type": "url", "url": files.url("/disk.raw"), "headers": headers}
        await create(client, "disk", source, checksum=files.url("/SUMS"))
        failed = await client.until("disk", "Failed")
    assert failed["status"]["error"]["slug"] == "checksum-mismatch"
    assert client.files() == []


async def test_headers_that_cannot_be_sent_are_refused_at_once(client: Client) -> None:
    """Nothing is stored of an import that could never be asked for."""
    source = {"type": "url", "url": "https://images.example/d", "headers": {"Range": "bytes=1-"}}
    status, answer = await create(client, "x", source)
    assert (status, answer["error"]["slug"]) == (400, "bad-request")
    assert await client.names() == {}


async def test_an_xz_of_many_blocks_is_told_and_imported(client: Client) -> None:
    """Its size inside is read from its end; expanded by several threads it is the same disk."""
    command = ["xz", "-c", "-T2", "-0", "--block-size=1MiB"]
    packed = subprocess.run(command, input=DISK, capture_output=True, check=True).stdout
    async with WebServer(packed) as server:
        url = server.url("/disk.raw.xz")
        _, info = await client.ask("POST", "/v1/inspect", json={"url": url})
        assert (info["compression"], info["virtualSize"]) == ("xz", len(DISK))
        assert server.sent < 2 * MiB + 100_000
        await client.fetch("disk", url)
        ready = await client.until("disk", "Ready")
    assert ready["status"]["checksums"]["sha256"] == hashlib.sha256(packed).hexdigest()
    stored = await asyncio.to_thread(Path(ready["status"]["target"]["name"]).read_bytes)
    assert stored == DISK


class Files:
    """Files behind a token; everybody else is told to go."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files
        self._runner = web.ServerRunner(web.Server(self._answer))

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.headers.get("Authorization") != "Bearer SECRET":
            return web.Response(status=401)
        return web.Response(body=self._files[request.path])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}{path}"

    async def __aenter__(self) -> "Files":
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


@pytest.mark.parametrize("packed", ["xz", "zstd"])
async def test_the_size_of_a_compressed_disk_is_known_before_its_place_is_made(
    tmp_path: Path, packed: str
) -> None:
    """An xz file tells at its end, a zstd file in its first frame: neither is read for it."""
    content = os.urandom(2 * MiB) + bytes(9 * MiB)
    pack = {"xz": lzma.compress, "zstd": zstd.compress}[packed]
    settings, gate = config(tmp_path / "data"), Gate("before prepare")
    async with (
        WebServer(pack(content)) as server,
        running(settings, gated(settings, gate)) as client,
    ):
        await client.fetch("disk", server.url())
        await gate.reached.wait()
        image = await client.image("disk")
        assert (image["status"]["phase"], image["status"]["virtualSize"]) == (
            "Preparing",
            len(content),
        )
        gate.opened.set()
        assert (await client.until("disk"))["status"]["virtualSize"] == len(content)
