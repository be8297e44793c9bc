"""What one client may have of the service, how fast and how slowly, and who it is."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from importer.api.clients import Clients
from importer.app import listening
from importer.config import Config
from importer.errors import CallerError
from tests import images
from tests.servers.running import Client, config, running
from tests.servers.tus import Tus

KiB, MiB = 1 << 10, 1 << 20


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A raw disk of 1 MiB."""
    return images.raw(tmp_path_factory.mktemp("limits") / "disk.raw", MiB).read_bytes()


def limited(folder: Path, **limits: Any) -> Any:
    """Run a service with these settings of ``[upload]``."""
    return running(config(folder / "data", upload=limits))


@pytest.mark.parametrize("name", ["per_client", "open"])
async def test_open_uploads_are_bounded(tmp_path: Path, disk: bytes, name: str) -> None:
    """Resumable or in one request: one more is refused with 429 until another ends."""
    async with limited(tmp_path, **{name: 2}) as client:
        tus, gate = Tus(client), asyncio.Event()
        putting = asyncio.create_task(client.put("one", held(disk, gate)))
        await client.until("one", "Transferring", "Inspecting")
        path = await tus.begun("two", MiB)
        assert (await tus.create("three", MiB)).status == 429
        status, told = await client.put("three", disk)
        assert (status, told["error"]["slug"]) == (429, "too-many-uploads")
        assert name in told["error"]["message"]
        assert sorted(await client.names()) == ["one", "two"]
        gate.set()
        assert (await putting)[0] == 200
        assert (await client.put("three", disk))[0] == 200
        assert (await tus.patch(path, 0, disk)).status == 204
        await client.until("two", "Ready")
        assert len(client.service.allowance.shares) == 0


@pytest.mark.parametrize("name", ["client_bytes", "open_bytes"])
async def test_bytes_of_open_uploads_are_bounded(tmp_path: Path, disk: bytes, name: str) -> None:
    """By what they announce; where they announce nothing, by what has come."""
    async with limited(tmp_path, **{name: 2 * MiB}) as client:
        tus = Tus(client)
        first = await tus.begun("one", MiB)
        assert (await tus.create("two", MiB + 1)).status == 429
        assert (await client.put("two", disk + disk))[0] == 429
        open_ended = await tus.begun("two", None)
        told = await tus.patch(open_ended, 0, b"", Upload_Length=str(MiB + 1))
        assert told.status == 429
        assert (await tus.head(open_ended)).headers["Upload-Defer-Length"] == "1"
        assert (await tus.patch(open_ended, 0, disk, Upload_Length=str(MiB))).status == 204
        await client.until("two", "Ready")
        assert (await client.put("three", pieces(disk, disk)))[0] == 429
        assert (await tus.ask("DELETE", first)).status == 204
        assert (await client.put("three", pieces(disk, disk)))[0] == 200


@pytest.mark.parametrize("way", ["PUT", "PATCH"])
async def test_a_client_that_drips_is_sent_away(tmp_path: Path, disk: bytes, way: str) -> None:
    """Bytes that come, but fewer than [upload] least_rate over a while, end the request."""
    async with limited(tmp_path, stall=0.5, least_rate=MiB) as client:
        if way == "PUT":
            status, told = await client.put("disk", dripping(disk))
            assert (status, told["error"]["slug"]) == (400, "upload-incomplete")
            assert "least_rate" in told["error"]["message"]
            assert await client.names() == {}
        else:
            path = await Tus(client).begun("disk", MiB)
            answer = await Tus(client).patch(path, 0, dripping(disk))
            assert (answer.status, b"least_rate" in answer.body) == (400, True)
            offset = (await Tus(client).head(path)).offset
            assert (await Tus(client).patch(path, offset, disk[offset:])).status == 204
            await client.until("disk", "Ready")


async def test_a_form_whose_file_never_begins(tmp_path: Path) -> None:
    """One that drips its parts' headers ends like one that sends nothing."""

    async def form() -> AsyncIterator[bytes]:
        yield b"--x\r\nContent-Disposition: form-data;"
        while True:
            yield b" a=b;"
            await asyncio.sleep(0.02)

    async with limited(tmp_path, stall=0.5) as client:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        status, told = await client.ask(
            "PUT", "/v1/images/disk/content", data=form(), headers=headers
        )
        assert (status, told["error"]["slug"]) == (400, "upload-incomplete")
        assert await client.names() == {}


@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_headers_that_never_end(tmp_path: Path, before: bytes) -> None:
    """A connection that drips its headers is closed, at its beginning as after an answer."""
    settings = config(tmp_path / "data", service={"idle": 0.5})
    async with running(settings) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", port(client))
        writer.write(before)
        if before:
            assert b"200 OK" in await reader.readuntil(b'"ok"}')
        writer.write(b"GET /v1/images HTTP/1.1\r\nHost: x\r\n")
        dripping = asyncio.create_task(drip(writer))
        assert await reader.read() == b""
        dripping.cancel()
        writer.close()


@pytest.mark.parametrize("header", ["X-Long: " + "x" * 9000, "\r\n".join(["X-Many: x"] * 200)])
async def test_headers_are_bounded(client: Client, header: str) -> None:
    """Too long or too many are refused with 400, and the service goes on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port(client))
    writer.write(f"GET /healthz HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
    assert b" 400 " in await reader.readline()
    writer.close()
    assert (await client.ask("GET", "/healthz"))[0] == 200


async def test_a_query_is_bounded(client: Client) -> None:
    """As long as every parameter may be it is read; longer than any is refused with 400."""
    for length, status in ((60_000, b" 401 "), (70_000, b" 400 ")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port(client))
        writer.write(f"GET /v1/images?x={'x' * length} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert status in await reader.readline()
        writer.close()


async def test_a_client_that_is_gone_without_a_word_is_noticed(tmp_path: Path) -> None:
    """Its connection is probed after 30 s of silence, and given up a minute later."""

    async def options(request: web.Request) -> web.Response:
        assert request.transport
        ends = request.transport.get_extra_info("socket")
        names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        values = [ends.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
        alive = ends.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        return web.json_response([alive, *values])

    app = web.Application()
    app.router.add_get("/", options)
    async with listening(app, "localhost", 0, Config()) as base:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"[1, 30, 10, 6, 120000]")
        writer.close()


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::/64"),
        ("10.0.0.1", "10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, evil", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "x" * 5000, "10.0.0.1"),
        ("2001:db8:0:1::5", "198.51.100.7", "2001:db8:0:1::/64"),
        ("fd00::1", "198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
    ],
)
def test_who_the_client_is(peer: str, forwarded: str, client: str) -> None:
    """Only a trusted proxy is believed, and only what it says itself."""
    clients = Clients(["10.0.0.0/8", "fd00::/8"])
    assert clients.address(peer, [forwarded] if forwarded else []) == client


async def test_limits_count_by_the_client_behind_a_proxy(tmp_path: Path) -> None:
    """Two clients of one trusted proxy do not share a limit; a made-up header helps nobody."""
    for trusted, status in (["127.0.0.0/8"], 201), ([], 429):
        settings = config(
            tmp_path / str(status),
            upload={"per_client": 1},
            service={"trusted_proxies": trusted},
        )
        async with running(settings) as client:
            tus = Tus(client)
            tus.headers["X-Forwarded-For"] = "198.51.100.1"
            await tus.begun("one", MiB)
            assert (await tus.create("two", MiB)).status == 429
            tus.headers["X-Forwarded-For"] = "198.51.100.2"
            assert (await tus.create("two", MiB)).status == status


def test_a_proxy_that_is_no_network() -> None:
    """The configuration is refused, and named."""
    with pytest.raises(CallerError, match="trusted_proxies"):
        Clients(["10.0.0.1/8"])


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service on an empty directory."""
    async with running(config(tmp_path / "data")) as client:
        yield client


def port(client: Client) -> int:
    """Return where the service listens."""
    return int(client.base.rpartition(":")[2])


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """Send *parts* without saying how many bytes they are."""
    for part in parts:
        yield part


async def held(content: bytes, gate: asyncio.Event) -> AsyncIterator[bytes]:
    """Send half of *content*, and the rest when the gate is open."""
    yield content[: len(content) // 2]
    await gate.wait()
    yield content[len(content) // 2 :]


async def dripping(content: bytes) -> AsyncIterator[bytes]:
    """Send a byte now and then."""
    for at in range(len(content)):
        yield content[at : at + 1]
        await asyncio.sleep(0.02)


async def drip(writer: asyncio.StreamWriter) -> None:
    """Send a header's letters one by one, without end."""
    while True:
        writer.write(b"X-A: b\r\n")
        await asyncio.sleep(0.05)
