"""kill -9 at any point, start again: every image is finished or queued again, and none is half."""

import asyncio
import contextlib
import random
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest

from tests import images
from tests.crash.dying import Mortal, dying
from tests.servers.gated import POINTS
from tests.servers.running import Client, config, running, until
from tests.servers.tus import Tus
from tests.servers.web import WebServer

MiB = 1 << 20


def mortal(data: Path, point: str) -> AbstractAsyncContextManager[Mortal]:
    """Run a service that dies at *point*."""
    return dying("tests.crash.mortal", str(data), point)


async def ask(http: aiohttp.ClientSession, method: str, url: str, **kwargs: object) -> None:
    """Send a request to a service that may die of it."""
    with contextlib.suppress(aiohttp.ClientError, OSError):
        async with http.request(method, url, **kwargs) as response:
            await response.read()


async def reaches(http: aiohttp.ClientSession, events: str, phase: str) -> None:
    """Wait until the image is in *phase*."""
    async with http.get(events) as stream:
        async for line in stream.content:
            if f'"phase":"{phase}"'.encode() in line:
                return
    raise AssertionError(f"never {phase}")


def wanted(url: str, format: str | None) -> dict:
    source = {"type": "url", "url": url}
    return {"name": "disk", "spec": {"source": source, "format": format, "retries": 0}}


async def is_whole(client: Client, disk: Path) -> None:
    """Assert that the image is Ready, equals *disk*, and is all that is there."""
    image = await client.until("disk")
    assert image["status"]["phase"] == "Ready", image
    file = Path(image["status"]["target"]["name"])
    assert images.same(disk, "raw", file, file.suffix[1:])
    assert client.files() == [file.name]


@pytest.mark.parametrize("format", [None, "qcow2"])
@pytest.mark.parametrize("point", [point for point in POINTS if "remove" not in point])
async def test_killed_while_importing_a_url(tmp_path: Path, point: str, format: str | None) -> None:
    """After the restart the image becomes Ready by itself, whole, with nothing beside it."""
    data, disk = tmp_path / "data", images.raw(tmp_path / "disk.raw", 8 * MiB, 4 * MiB)
    async with WebServer(disk) as server:
        async with mortal(data, point) as (process, http, base):
            await ask(http, "POST", f"{base}/v1/images", json=wanted(server.url(), format))
            assert await process.wait() == -signal.SIGKILL
        async with running(config(data)) as client:
            await is_whole(client, disk)


@pytest.mark.parametrize("phase", ["Pending", "Inspecting", "Transferring"])
async def test_killed_from_outside(tmp_path: Path, phase: str) -> None:
    """Killed while it waits for the source, or for its turn, it is queued again."""
    data, disk = tmp_path / "data", images.raw(tmp_path / "disk.raw", 8 * MiB, 4 * MiB)
    async with WebServer(disk) as server:
        server.stall_after = 2 * MiB if phase == "Transferring" else 1000
        async with mortal(data, "never") as (process, http, base):
            others = 4 if phase == "Pending" else 0
            for number in range(others):
                other = wanted(server.url(), None) | {"name": f"other-{number}"}
                await ask(http, "POST", f"{base}/v1/images", json=other)
            await ask(http, "POST", f"{base}/v1/images", json=wanted(server.url(), None))
            await server.stalled.wait()
            await reaches(http, f"{base}/v1/images/disk/events", phase)
            process.kill()
        server.released.set()
        async with running(config(data)) as client:
            for number in range(others):
                await client.until(f"other-{number}", "Ready")
                assert (await client.ask("DELETE", f"/v1/images/other-{number}"))[0] == 204
            await is_whole(client, disk)


@pytest.mark.parametrize("point", ["before prepare", "amid write", "after finish"])
async def test_killed_while_taking_an_upload(tmp_path: Path, point: str) -> None:
    """After the restart the image waits for its bytes, nothing of the first try is left, and the
    same upload makes it Ready."""
    data, disk = tmp_path / "data", images.raw(tmp_path / "disk.raw", 8 * MiB, 4 * MiB)
    async with mortal(data, point) as (process, http, base):
        await ask(http, "PUT", f"{base}/v1/images/disk/content", data=disk.open("rb"))
        assert await process.wait() == -signal.SIGKILL
    async with running(config(data)) as client:
        assert await client.names() == {"disk": "Pending"}
        assert client.files() == []
        assert (await client.put("disk", disk.read_bytes()))[0] == 200
        await is_whole(client, disk)


@pytest.mark.parametrize("point", ["before prepare", "amid write"])
async def test_killed_while_taking_a_resumable_upload(tmp_path: Path, point: str) -> None:
    """After the restart the same upload stands at 0, and its client goes on with it."""
    data, disk = tmp_path / "data", images.raw(tmp_path / "disk.raw", 8 * MiB, 4 * MiB)
    content = disk.read_bytes()
    async with mortal(data, point) as (process, http, base):
        tus = Tus(SimpleNamespace(base=base, http=http))
        path = await tus.begun("disk", len(content))
        with contextlib.suppress(aiohttp.ClientError, OSError):
            await tus.patch(path, 0, content)
        assert await process.wait() == -signal.SIGKILL
    async with running(config(data)) as client:
        assert (await client.names(), client.files()) == ({"disk": "Pending"}, [])
        assert (await Tus(client).head(path)).offset == 0
        await Tus(client).send(path, content)
        await is_whole(client, disk)


@pytest.mark.parametrize("point", ["before remove", "after remove"])
async def test_killed_while_deleting(tmp_path: Path, point: str) -> None:
    """A delete that was begun is finished at the next start."""
    data, disk = tmp_path / "data", images.raw(tmp_path / "disk.raw")
    async with mortal(data, point) as (process, http, base):
        await ask(http, "PUT", f"{base}/v1/images/disk/content", data=disk.open("rb"))
        await ask(http, "DELETE", f"{base}/v1/images/disk")
        assert await process.wait() == -signal.SIGKILL
    async with running(config(data)) as client:
        assert await client.names() == {}
        assert client.files() == []


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Two hundred kills at random moments: no image lost, none half, no file left."""
    data, disk = tmp_path / "data", images.raw(tmp_path / "disk.raw", 64 * MiB, 48 * MiB)
    moments = random.Random(20261123)
    async with WebServer(disk) as server:
        for kill in range(200):
            async with mortal(data, "never") as (process, http, base):
                await ask(http, "POST", f"{base}/v1/images", json=wanted(server.url(), "qcow2"))
                await asyncio.sleep(moments.uniform(0, 1.5))
                process.kill()
            async with running(config(data)) as client:
                await is_whole(client, disk)
                assert (await client.ask("DELETE", "/v1/images/disk"))[0] == 204, kill
                await until(lambda: client.files() == [])
