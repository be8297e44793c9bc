"""Whole imports from servers as they are; what is logged of them holds no secret."""

import asyncio
import gzip
import io
import lzma
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.config import Log
from importer.logs import set_up_logs
from tests import images
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service on an empty directory."""
    async with running(config(tmp_path / "data")) as client:
        yield client


@pytest.mark.parametrize(
    ("pack", "compression"),
    [
        (lambda disk: disk, None),
        (gzip.compress, "gzip"),
        (lambda disk: gzip.compress(lzma.compress(disk)), "xz"),
    ],
)
@pytest.mark.parametrize("length", [True, False])
async def test_a_coding_for_the_road_is_undone(
    client: Client, tmp_path: Path, pack: object, compression: str | None, *, length: bool
) -> None:
    """``Content-Encoding: gzip`` may be a lie, the truth, or come on top of the file's own xz."""
    disk = images.make("qcow2", tmp_path)
    headers = {"Content-Encoding": "gzip"}
    async with WebServer(pack(disk.read_bytes()), headers=headers, length=length) as server:
        await client.fetch("disk", server.url())
        image = await client.until("disk")
    assert image["status"]["phase"] == "Ready", image
    assert image["status"]["compression"] == compression
    assert Path(image["status"]["target"]["name"]).read_bytes() == disk.read_bytes()


@pytest.mark.parametrize("pack", [gzip.compress, lambda disk: gzip.compress(lzma.compress(disk))])
async def test_a_transfer_coding_is_undone(client: Client, tmp_path: Path, pack: object) -> None:
    """``Transfer-Encoding: gzip, chunked`` (RFC 9112 section 7), which we did not ask for."""
    disk = images.make("qcow2", tmp_path)
    body = pack(disk.read_bytes())

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await client.fetch("disk", f"http://127.0.0.1:{port}/disk")
        image = await client.until("disk")
    assert image["status"]["phase"] == "Ready", image
    assert Path(image["status"]["target"]["name"]).read_bytes() == disk.read_bytes()


async def test_a_compression_inside_a_compression_is_refused(
    client: Client, tmp_path: Path
) -> None:
    """Without such a header one layer is undone, and what is inside must be a disk."""
    content = images.make("qcow2", tmp_path).read_bytes()
    status, answer = await client.put("disk", gzip.compress(lzma.compress(content)))
    assert (status, answer["error"]["slug"]) == (422, "not-an-image")
    assert "xz" in answer["error"]["message"]


async def test_a_server_that_names_no_length(client: Client, tmp_path: Path) -> None:
    """Without a length the total is unknown, and the image whole."""
    disk = images.raw(tmp_path / "disk.raw")
    async with WebServer(disk, length=False, redirect={"/latest": "/disk"}) as server:
        await client.fetch("disk", server.url("/latest"))
        image = await client.until("disk")
    assert image["status"]["phase"] == "Ready", image
    assert image["status"]["size"] == disk.stat().st_size


async def test_no_secret_is_logged(tmp_path: Path) -> None:
    """Whatever happens to a URL with credentials, the log has neither them nor its query."""
    logged = io.StringIO()
    async with running(config(tmp_path / "data")) as client:
        set_up_logs(Log(level="debug", format="json"), logged)
        async with WebServer(b"no image", statuses=[503, 403]) as server:
            url = server.url("/x?sig=HUSHHUSH").replace("http://", "http://me:HUSHHUSH@")
            for name in ("refused", "no-image"):
                await client.fetch(name, url)
                await client.until(name)
        await client.fetch("unreachable", url, retries=0)
        await client.until("unreachable")
    assert "image is failed" in logged.getvalue()
    assert "trying again" in logged.getvalue()
    assert "HUSH" not in logged.getvalue()
