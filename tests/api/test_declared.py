"""A disk that is sent in another form than the user's file has: in one request, and over tus."""

import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from importer.units import MiB
from tests import images
from tests.servers.running import Client, config, running
from tests.servers.tus import Tus

FRAME = {"wire": "raw+zstd", "fileFormat": "raw", "fileSize": str(8 * MiB)}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    settings = config(tmp_path / "data", limits={"free_space": 0, "image_size": 64 * MiB})
    async with running(settings) as client:
        yield client


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return images.raw(tmp_path / "disk.raw")


def frame(path: Path) -> bytes:
    """Return *path* as a zstd frame; of zstd's own making, compressed blocks and all."""
    done = subprocess.run(["zstd", "-q", "-c", str(path)], capture_output=True, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"wire": "raw+zstd"}, "fileFormat and fileSize"),
        ({"wire": "raw+zstd", "fileFormat": "raw"}, "fileFormat and fileSize"),
        ({"wire": "qcow2", "fileSize": "1"}, "fileFormat and fileSize"),
        ({"fileFormat": "raw", "fileSize": "1"}, "wire="),
        ({"wire": "as-is", "fileSize": "1"}, "wire="),
        ({**FRAME, "wire": "raw"}, "wire='raw'"),
        ({**FRAME, "fileFormat": "floppy"}, "fileFormat='floppy'"),
        ({**FRAME, "fileSize": "-1"}, "fileSize='-1'"),
        ({"target": "[]"}, "no JSON object"),
    ],
)
async def test_refused_parameters(client: Client, query: dict[str, str], named: str) -> None:
    """What the form is of must be said, all of it, and only of a form: 400 by name."""
    status, answer = await client.put("disk", b"x" * MiB, **query)
    assert (status, answer["error"]["slug"]) == (400, "bad-request")
    assert named in answer["error"]["message"]
    begun = await Tus(client).create("disk", MiB, **query)
    assert begun.status == 400
    assert named.partition("=")[0] in json.loads(begun.body)["error"]["message"]
    assert await client.names() == {}


async def test_limit_is_of_the_file(client: Client, disk: Path) -> None:
    """A frame of a few bytes for a file that is larger than allowed is refused."""
    query = FRAME | {"fileSize": str(65 * MiB)}
    status, answer = await client.put("disk", frame(disk), **query)
    assert (status, answer["error"]["slug"]) == (413, "limit-exceeded")
    assert "68157440" in answer["error"]["message"]
    assert (await client.names(), client.files()) == ({}, [])


async def test_status_is_of_the_file(client: Client, disk: Path) -> None:
    """Format, size and checksum are the client's file's, and nothing of the frame's is told."""
    checksum = "sha1:" + "AB" * 20
    query = FRAME | {"fileFormat": "qcow2", "fileSize": "12345", "checksum": checksum}
    status, image = await client.put("disk", frame(disk), **query, format="raw")
    assert status == 200, image
    told = image["status"]
    assert (told["format"], told["size"], told["virtualSize"]) == ("qcow2", 12345, 8 * MiB)
    assert (told["compression"], told["plan"]["wire"]) == (None, "raw+zstd")
    assert told["checksums"] == {"sha1": "ab" * 20}
    assert (client.data / "images/disk.raw").read_bytes() == disk.read_bytes()


async def test_tus_tells_the_same(client: Client, disk: Path) -> None:
    """Upload-Metadata says what the query does; how long the form is may be told at its end."""
    checksum, body = "sha1:" + "AB" * 20, frame(disk)
    told = FRAME | {"fileFormat": "qcow2", "fileSize": "12345", "checksum": checksum}
    tus = Tus(client)
    path = await tus.begun("disk", None, **told, format="raw", target="{}")
    assert (await tus.patch(path, 0, body)).offset == len(body)
    ended = await tus.patch(path, len(body), None, Upload_Length=str(len(body)))
    assert ended.status == 204
    told = (await client.until("disk", "Ready"))["status"]
    assert (told["format"], told["size"], told["virtualSize"]) == ("qcow2", 12345, 8 * MiB)
    assert (told["plan"]["wire"], told["checksums"]) == ("raw+zstd", {"sha1": "ab" * 20})
    assert (client.data / "images/disk.raw").read_bytes() == disk.read_bytes()


@pytest.mark.parametrize("chunked", [False, True])
async def test_cut_frame(client: Client, disk: Path, chunked: bool) -> None:
    """A frame that ends too early, though its request is whole, makes no image."""
    whole = frame(disk)
    status, answer = await client.put("disk", cut(whole) if chunked else whole[:-9], **FRAME)
    assert status == 422, answer
    assert answer["error"]["side"] == "image"
    assert (await client.names(), client.files()) == ({}, [])


async def cut(body: bytes) -> AsyncIterator[bytes]:
    yield body[:-9]


@pytest.mark.parametrize("size", [8 * MiB + 1, 7 * MiB, 0])
async def test_other_size(client: Client, disk: Path, size: int) -> None:
    """A raw file's disk has the file's size: another one is refused."""
    status, answer = await client.put("disk", frame(disk), **FRAME | {"fileSize": str(size)})
    assert (status, answer["error"]["slug"]) == (422, "size-mismatch")
    assert (await client.names(), client.files()) == ({}, [])


@pytest.mark.parametrize("kind", ["plain", "qcow2"])
async def test_no_frame(client: Client, tmp_path: Path, kind: str) -> None:
    """A body that is not the form it is said to be is refused, and named."""
    path = images.make("qcow2" if kind == "qcow2" else "raw", tmp_path)
    status, answer = await client.put("disk", path.read_bytes(), **FRAME)
    assert (status, answer["error"]["side"]) == (422, "image")
    assert (await client.names(), client.files()) == ({}, [])


async def test_waiting_image_has_a_checksum(client: Client, disk: Path) -> None:
    """Where the image asks for a checksum, a client that did not compare it is refused."""
    spec: dict[str, Any] = {"source": {"type": "upload"}, "checksum": "md5:" + "0" * 32}
    await client.ask("POST", "/v1/images", json={"name": "disk", "spec": spec})
    status, answer = await client.put("disk", frame(disk), **FRAME)
    assert (status, answer["error"]["side"]) == (400, "caller")
    assert "checksum" in answer["error"]["message"]
    assert (await Tus(client).create("disk", None, **FRAME)).status == 400
    assert (await client.names())["disk"] != "Ready"
