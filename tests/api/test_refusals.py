"""Bad input gets the right answer, and directory and store are as before."""

import asyncio
import gzip
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests import images
from tests.servers.gated import Gate, gated
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer

MiB = 1 << 20


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service that has one image already; after each test only that is there."""
    settings = config(
        tmp_path / "data",
        limits={"free_space": 0, "virtual_size": 1 << 30, "image_size": 64 * MiB},
        upload={"stall": 0.5},
        url={"allow_addresses": ["127.0.0.0/8"], "stall": 0.5},
    )
    async with running(settings) as client:
        await client.put("first", images.raw(tmp_path / "first.raw").read_bytes())
        yield client
        assert client.files() == ["first.raw"]
        left = await client.names()
        assert left.pop("first") == "Ready"
        assert set(left.values()) <= {"Failed", "Cancelled"}
        assert not client.service.runner._jobs


@pytest.fixture
def qcow2(tmp_path: Path) -> bytes:
    """A good image."""
    return images.make("qcow2", tmp_path).read_bytes()


def slug(answer: object) -> str:
    return answer["error"]["slug"]


def with_backing_file(folder: Path) -> bytes:
    (folder / "secret").write_bytes(bytes(MiB))
    path = folder / "backed.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", folder / "secret", "-F", "raw", path],
        check=True,
    )
    return path.read_bytes()


def with_data_file(folder: Path) -> bytes:
    path = folder / "data.qcow2"
    options = f"data_file={folder}/elsewhere.raw,data_file_raw=on"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, "1M"], check=True
    )
    return path.read_bytes()


def with_extents_elsewhere(folder: Path) -> bytes:
    path = folder / "flat.vmdk"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", path, "1M"],
        check=True,
    )
    return path.read_bytes()


def with_unknown_feature(folder: Path) -> bytes:
    content = bytearray(images.make("qcow2", folder).read_bytes())
    content[72] |= 0x80  # incompatible_features, bit 63
    return bytes(content)


def too_large_inside(folder: Path) -> bytes:
    return images.empty(folder / "large.qcow2", "qcow2", 2 << 30).read_bytes()


def cut_off(folder: Path) -> bytes:
    content = images.make("qcow2", folder).read_bytes()
    return content[: len(content) // 2]


def garbage_claiming_qcow2(folder: Path) -> bytes:
    return b"QFI\xfb\0\0\0\3" + os.urandom(100_000)


def a_bomb(folder: Path) -> bytes:
    """Two GiB of zeros in two MiB."""
    block = gzip.compress(bytes(64 * MiB), 9)
    return block * 32


def a_page(folder: Path) -> bytes:
    return b"<!DOCTYPE html>\n<html><body>Please log in</body></html>" + b" " * 2000


BAD = {
    "empty": (lambda folder: b"", "not-an-image"),
    "page": (a_page, "not-an-image"),
    "pdf": (lambda folder: b"%PDF-1.7\n" + os.urandom(5000), "not-an-image"),
    "odd": (lambda folder: os.urandom(1000), "not-an-image"),
    "backing file": (with_backing_file, "unsafe-image"),
    "data file": (with_data_file, "unsafe-image"),
    "extents elsewhere": (with_extents_elsewhere, "unsafe-image"),
    "unknown feature": (with_unknown_feature, "unsupported-image"),
    "too large inside": (too_large_inside, "limit-exceeded"),
    "cut off": (cut_off, "corrupt-image"),
    "garbage": (garbage_claiming_qcow2, None),
    "bomb": (a_bomb, "limit-exceeded"),
}


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_upload_is_refused(client: Client, tmp_path: Path, what: str) -> None:
    """Each is refused by name; an image that was made for the upload is forgotten again."""
    make, expected = BAD[what]
    status, answer = await client.put("bad", make(tmp_path))
    assert status in (413, 422)
    assert slug(answer) == expected or (expected is None and answer["error"]["side"] == "image")
    assert await client.names() == {"first": "Ready"}


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_url_fails_and_says_why(client: Client, tmp_path: Path, what: str) -> None:
    """The image stays as Failed with the reason, and was tried once only."""
    make, expected = BAD[what]
    async with WebServer(make(tmp_path)) as server:
        await client.fetch("bad", server.url())
        image = await client.until("bad")
    assert (image["status"]["phase"], image["status"]["attempt"]) == ("Failed", 1)
    error = image["status"]["error"]
    assert error["slug"] == expected or (expected is None and error["side"] == "image")
    assert error["message"]


@pytest.mark.parametrize("what", [what for what in BAD if what not in ("cut off", "bomb", "odd")])
async def test_inspecting_refuses_the_same(client: Client, tmp_path: Path, what: str) -> None:
    """What an import would refuse for its head, inspect refuses too."""
    make, expected = BAD[what]
    async with WebServer(make(tmp_path)) as server:
        status, answer = await client.ask("POST", "/v1/inspect", json={"url": server.url()})
    assert status in (413, 422), answer
    assert slug(answer) == expected or expected is None


async def test_a_wrong_checksum(client: Client, qcow2: bytes) -> None:
    """Both values are named, and nothing stays."""
    status, answer = await client.put("bad", qcow2, checksum="sha256:" + "0" * 64)
    assert (status, slug(answer)) == (422, "checksum-mismatch")
    assert "expected 000000" in answer["error"]["message"]


async def test_a_taken_name(client: Client, qcow2: bytes) -> None:
    """Neither upload nor URL replaces an image."""
    status, answer = await client.put("first", qcow2)
    assert (status, slug(answer)) == (409, "name-taken")
    status, answer = await client.fetch("first", "http://example.test/x")
    assert (status, slug(answer)) == (409, "name-taken")


async def test_an_unknown_storage_class(client: Client, qcow2: bytes) -> None:
    """The error names the classes that there are."""
    status, answer = await client.put("bad", qcow2, storageClass="gold")
    assert (status, slug(answer)) == (422, "unknown-storage-class")
    assert "there are local" in answer["error"]["message"]
    assert await client.names() == {"first": "Ready"}


async def test_a_size_that_lies(client: Client, qcow2: bytes) -> None:
    """A size that differs from the length, or from what came, either way, is refused."""
    status, answer = await client.put("bad", qcow2, size=str(len(qcow2) + 1))
    assert (status, slug(answer)) == (422, "size-mismatch")

    async def chunked(content: bytes) -> AsyncIterator[bytes]:
        yield content

    for lie in (-1, 1):
        status, answer = await client.put("bad", chunked(qcow2), size=str(len(qcow2) + lie))
        assert (status, slug(answer)) == (422, "size-mismatch")
        assert str(len(qcow2) + lie) in answer["error"]["message"]


async def test_a_body_larger_than_its_length(client: Client, qcow2: bytes) -> None:
    """Of a body that goes on after its length only a part came: a cut-off image, not a good one."""
    request = (
        f"PUT /v1/images/bad/content HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {client.service.token}\r\nContent-Length: {len(qcow2) // 2}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", int(client.base.rpartition(":")[2]))
    writer.write(request.encode() + qcow2)
    assert b"422" in await reader.readline()
    writer.close()


async def test_a_client_that_goes_away(client: Client) -> None:
    """Half a body leaves nothing: the connection's end is not the file's."""
    await half_an_upload(client, close=True)
    async with client.http.get(f"{client.base}/v1/events") as stream:
        while "gone" in await client.names():
            await stream.content.readline()


async def test_a_client_that_falls_silent(client: Client) -> None:
    """Silence ends an upload after the limit, and the client is told."""
    reader, writer = await half_an_upload(client, close=False)
    answer = await reader.read()
    assert b"400 Bad Request" in answer
    assert b"upload-incomplete" in answer
    writer.close()
    assert await client.names() == {"first": "Ready"}


async def half_an_upload(
    client: Client, *, close: bool
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send the first half of a body, and hang up or just stop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(client.base.rpartition(":")[2]))
    writer.write(
        f"PUT /v1/images/gone/content HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {client.service.token}\r\n"
        f"Content-Length: {8 * MiB}\r\n\r\n".encode()
    )
    content = bytearray(4 * MiB)
    content[510:512] = b"\x55\xaa"
    writer.write(bytes(content))
    await writer.drain()
    await client.until("gone", "Transferring")
    if close:
        writer.transport.abort()
    return reader, writer


async def test_a_server_that_goes_away(client: Client, qcow2: bytes) -> None:
    """A source that breaks at every try ends as Failed after all of them, with both numbers."""
    async with WebServer(qcow2, short_after=len(qcow2) // 2, ranges=False, etag="") as server:
        await client.fetch("bad", server.url(), retries=2)
        image = await client.until("bad")
        assert len(server.requests) == 3
    assert image["status"]["error"]["slug"] == "source-truncated"
    assert f"of {len(qcow2)} bytes" in image["status"]["error"]["message"]


@pytest.mark.parametrize(
    ("path", "slug"),
    [("http://10.0.0.1/x", "address-refused"), ("ftp://h/x", "bad-request")],
)
async def test_a_url_that_must_not_be(client: Client, path: str, slug: str) -> None:
    """A forbidden address fails by name; a URL that is none is refused at once."""
    status, answer = await client.fetch("bad", path)
    if status == 201:
        answer = {"error": (await client.until("bad"))["status"]["error"]}
    assert answer["error"]["slug"] == slug


async def test_two_uploads_to_one_name(client: Client, qcow2: bytes) -> None:
    """The second is refused while the first goes on to be Ready."""
    hold = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield qcow2[:MiB]
        await hold.wait()
        yield qcow2[MiB:]

    first = asyncio.create_task(client.put("twice", slow()))
    await client.until("twice", "Inspecting", "Transferring")
    status, answer = await client.put("twice", qcow2)
    assert (status, slug(answer)) == (409, "name-taken")
    hold.set()
    assert (await first)[0] == 200
    assert (await client.ask("DELETE", "/v1/images/twice"))[0] == 204


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system is not possible here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("known", [True, False])
async def test_a_full_disk(small_disk: Path, tmp_path: Path, *, known: bool) -> None:
    """Too little room is found first when the size is known, else when it runs out; both clean."""
    settings = config(
        tmp_path / "data",
        local={"classes": [f"local={small_disk}"]},
        limits={"free_space": MiB},
    )
    content = bytearray(os.urandom(30 * MiB))
    content[510:512] = b"\x55\xaa"

    async def chunked() -> AsyncIterator[bytes]:
        for start in range(0, len(content), MiB):
            yield bytes(content[start : start + MiB])

    async with running(settings) as client:
        status, answer = await client.put("big", bytes(content) if known else chunked())
        assert (status, slug(answer)) == (507, "no-space")
        assert await client.names() == {}
    assert list(small_disk.iterdir()) == []


async def test_a_full_disk_while_converting(small_disk: Path, tmp_path: Path) -> None:
    """Room that runs out in qemu-img's hands is the same clear error, and nothing stays."""
    disk = images.raw(tmp_path / "big.raw", 40 * MiB, data=30 * MiB)
    content = images.convert(disk, tmp_path / "big.qcow2", "qcow2", "-c").read_bytes()
    settings = config(
        tmp_path / "data", local={"classes": [f"local={small_disk}"]}, limits={"free_space": MiB}
    )
    async with running(settings) as client:
        status, answer = await client.put("big", content, format="raw")
        assert (status, slug(answer)) == (507, "no-space")
    assert list(small_disk.iterdir()) == []


async def test_a_file_that_is_in_the_way(client: Client, qcow2: bytes) -> None:
    """A file that no image of ours made is neither replaced nor removed."""
    stranger = client.data / "images" / "stranger.raw"
    stranger.write_bytes(b"mine")
    status, answer = await client.put("stranger", qcow2)
    assert (status, slug(answer)) == (409, "target-busy")
    assert stranger.read_bytes() == b"mine"
    stranger.unlink()


@pytest.mark.parametrize("phase", ["Pending", "Inspecting", "Transferring"])
async def test_cancelling_while_the_source_is_waited_for(
    client: Client, tmp_path: Path, phase: str
) -> None:
    """In every phase a cancel ends the import and leaves nothing but its record."""
    content = images.raw(tmp_path / "c.raw", 8 * MiB, data=8 * MiB).read_bytes()
    async with WebServer(
        content, stall_after=2 * MiB if phase == "Transferring" else 1000
    ) as server:
        busy = 4 if phase == "Pending" else 0  # as many as workers
        for number in range(busy):
            await client.fetch(f"busy-{number}", server.url())
            await client.until(f"busy-{number}", "Inspecting")
        await client.fetch("bad", server.url(), retries=0)
        await client.until("bad", phase)
        status, image = await client.ask("POST", "/v1/images/bad/cancel")
        assert (status, image["status"]["phase"]) == (200, "Cancelled")
        for number in range(busy):
            assert (await client.ask("DELETE", f"/v1/images/busy-{number}"))[0] == 204
    status, answer = await client.ask("POST", "/v1/images/bad/cancel")
    assert (status, slug(answer)) == (409, "wrong-phase")


@pytest.mark.parametrize(
    ("point", "phase"),
    [
        ("before prepare", "Preparing"),
        ("after write", "Transferring"),
        ("before finish", "Processing"),
        ("after finish", "Processing"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_cancelling_while_the_target_works(
    tmp_path: Path, point: str, phase: str, method: str
) -> None:
    """A cancel or a delete while the target prepares, or with the image made but not yet Ready."""
    content = images.make("qcow2", tmp_path).read_bytes()
    settings, gate = config(tmp_path / "data"), Gate(point)
    async with running(settings, gated(settings, gate)) as client:
        upload = asyncio.create_task(client.put("bad", content, format="raw"))
        await gate.reached.wait()
        assert (await client.image("bad"))["status"]["phase"] == phase
        path = "/v1/images/bad/cancel" if method == "POST" else "/v1/images/bad"
        status, _ = await client.ask(method, path)
        assert status == (200 if method == "POST" else 204)
        status, answer = await upload
        assert (status, slug(answer)) == (409, "cancelled")
        assert client.files() == []
        assert await client.names() == {}


async def test_deleting_while_it_runs(client: Client) -> None:
    """A delete stops the import first; then nothing is left of it at all."""
    content = bytearray(8 * MiB)
    content[510:512] = b"\x55\xaa"
    async with WebServer(bytes(content), stall_after=2 * MiB) as server:
        await client.fetch("bad", server.url())
        await client.until("bad", "Transferring")
        assert (await client.ask("DELETE", "/v1/images/bad"))[0] == 204
    assert await client.names() == {"first": "Ready"}


async def test_a_failed_image_can_be_tried_again(client: Client, qcow2: bytes) -> None:
    """After the cause is gone, retry makes it Ready."""
    async with WebServer(qcow2, statuses=[404]) as server:
        await client.fetch("again", server.url())
        assert (await client.until("again"))["status"]["phase"] == "Failed"
        assert (await client.ask("POST", "/v1/images/again/retry"))[0] == 200
        assert (await client.until("again", "Ready"))["status"]["error"] is None
    status, answer = await client.ask("POST", "/v1/images/again/retry")
    assert (status, slug(answer)) == (409, "wrong-phase")
    assert (await client.ask("DELETE", "/v1/images/again"))[0] == 204


async def test_a_failed_upload_of_a_named_image_can_be_sent_again(
    client: Client, qcow2: bytes
) -> None:
    """An image that was named first says Failed and why, and takes a better file."""
    wanted = {"name": "named", "spec": {"source": {"type": "upload"}}}
    assert (await client.ask("POST", "/v1/images", json=wanted))[0] == 201
    assert (await client.put("named", b"no image at all"))[0] == 422
    assert (await client.image("named"))["status"]["phase"] == "Failed"
    assert (await client.put("named", qcow2))[0] == 200
    assert (await client.ask("DELETE", "/v1/images/named"))[0] == 204


async def test_a_refusal_costs_no_byte_of_the_body(client: Client) -> None:
    """A client that waits for 100 Continue is refused before it sends anything."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(client.base.rpartition(":")[2]))
    writer.write(
        b"PUT /v1/images/first/content HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        b"Authorization: Bearer " + client.service.token.encode() + b"\r\n"
        b"Content-Length: 1000000000\r\n\r\n"
    )
    assert await reader.readline() == b"HTTP/1.1 409 Conflict\r\n"
    writer.close()


@pytest.mark.parametrize(
    ("headers", "status", "expected"),
    [
        ({"Authorization": ""}, 401, "unauthorized"),
        ({"Authorization": "Bearer wrong"}, 401, "unauthorized"),
        ({"Origin": "https://evil.test"}, 403, "origin-refused"),
        ({"Origin": "null"}, 403, "origin-refused"),
    ],
)
async def test_who_may_not_ask(client: Client, headers: dict, status: int, expected: str) -> None:
    """Without the token, or from another site's page, nothing is answered."""
    for method, path in (
        ("GET", "/v1/images"),
        ("DELETE", "/v1/images/first"),
        ("GET", "/metrics"),
    ):
        got, answer = await client.ask(method, path, headers=headers)
        assert (got, slug(answer)) == (status, expected)


async def test_the_page_and_health_need_no_token(client: Client) -> None:
    """Probes and browsers get in without."""
    async with aiohttp.ClientSession() as nobody:
        for path in ("/healthz", "/readyz", "/"):
            async with nobody.get(client.base + path) as response:
                assert response.status == 200
        async with nobody.get(client.base + "/", headers={"Origin": client.base}) as response:
            assert response.status == 200


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """Two services cannot share a port or a data directory, and the second says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "importer", "serve", "--data", str(tmp_path / "d")),
            *("--listen", f"127.0.0.1:{taken.getsockname()[1]}"),
            stderr=subprocess.PIPE,
        )
        _, err = await process.communicate()
    assert process.returncode == 2
    assert b"cannot listen" in err


async def test_without_a_token_only_loopback_names_are_served(tmp_path: Path) -> None:
    """A page whose name was rebound to this machine is refused, whatever its Origin says."""
    settings = config(tmp_path / "data", service={"no_token": True})
    async with running(settings) as client, aiohttp.ClientSession() as nobody:
        url = f"{client.base}/v1/images"
        async with nobody.get(url) as response:
            assert response.status == 200
        rebound = {"Host": "evil.test", "Origin": "http://evil.test"}
        async with nobody.get(url, headers=rebound) as response:
            assert response.status == 403
