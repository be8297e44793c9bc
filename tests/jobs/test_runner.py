"""What the runner does when the world around it is not as it was."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from tests import images
from tests.servers.gated import Gate, gated
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer
from tests.targets.conftest import loop


async def test_a_class_that_is_configured_no_more(tmp_path: Path) -> None:
    """The service starts without it, its images stay listed, and come back with the class."""
    data, disk = tmp_path / "data", images.make("qcow2", tmp_path)
    both = {"classes": ["local=images", "other=others"]}
    async with running(config(data, local=both)) as client:
        assert (await client.put("disk", disk.read_bytes(), storageClass="other"))[0] == 200
    async with running(config(data)) as client:
        assert await client.names() == {"disk": "Ready"}
        status, answer = await client.ask("DELETE", "/v1/images/disk")
        assert (status, answer["error"]["slug"]) == (404, "not-found")
        assert "other" in answer["error"]["message"]
        assert await client.names() == {"disk": "Ready"}
    async with running(config(data, local=both)) as client:
        assert (await client.ask("DELETE", "/v1/images/disk"))[0] == 204
    assert list((data / "others").iterdir()) == []


async def test_queued_urls_do_not_refuse_uploads(tmp_path: Path) -> None:
    """The limit of waiting uploads counts uploads; one too many is told to come back."""
    settings = config(tmp_path / "data", jobs={"workers": 1, "waiting_uploads": 1})
    content = images.make("qcow2", tmp_path).read_bytes()
    async with WebServer(content, stall_after=1000) as server, running(settings) as client:
        for number in range(5):
            await client.fetch(f"url-{number}", server.url())
        first = asyncio.create_task(client.put("first", content))
        await client.until("first", "Pending")
        await waits(client, "first")
        status, answer = await client.put("second", content)
        assert (status, answer["error"]["slug"]) == (429, "too-many-uploads")
        server.released.set()
        assert (await first)[0] == 200


async def waits(client: Client, name: str) -> None:
    """Wait until the runner holds the upload."""
    image = next(i for i in await client.service.images.list() if i.name == name)
    while not client.service.runner.is_running(image):
        await asyncio.sleep(0)


async def test_stopping_leaves_what_runs_for_the_next_start(tmp_path: Path) -> None:
    """Told to stop, the service ends its imports cleanly; the next one takes them up."""
    data, disk = tmp_path / "data", images.raw(tmp_path / "disk.raw")
    async with WebServer(disk, stall_after=1 << 20) as server:
        async with running(config(data)) as client:
            await client.fetch("disk", server.url())
            await client.until("disk", "Transferring")
        assert list((data / "images").iterdir()) == []
        server.released.set()
        async with running(config(data)) as client:
            assert (await client.until("disk"))["status"]["phase"] == "Ready"


async def test_an_upload_while_stopping_says_so(tmp_path: Path) -> None:
    """A client whose upload is stopped is told to send again, and the image waits for it."""
    gate = Gate("before prepare")
    settings = config(tmp_path / "data")
    async with running(settings, gated(settings, gate)) as client:
        content = images.make("qcow2", tmp_path).read_bytes()
        upload = asyncio.create_task(client.put("disk", content))
        await gate.reached.wait()
        await client.service.runner.stop()
        status, answer = await upload
        assert (status, answer["error"]["slug"]) == (503, "shutting-down")
        status, answer = await client.fetch("other", "http://example.test/x")
        assert (status, answer["error"]["slug"]) == (503, "shutting-down")
    async with running(settings) as client:
        assert "other" not in await client.names()


async def test_nothing_is_left_running(tmp_path: Path) -> None:
    """After imports that ended in every way no task and no file descriptor is left."""
    content = images.make("qcow2", tmp_path).read_bytes()

    async def broken() -> AsyncIterator[bytes]:
        yield content[:1000]
        raise RuntimeError("the client broke")

    async with running(config(tmp_path / "data")) as client:
        await client.put("warm", content)
        before = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        for number in range(5):
            await client.put(f"good-{number}", content)
            await client.put(f"bad-{number}", b"no image")
            with contextlib.suppress(aiohttp.ClientConnectionError):
                await client.put(f"broken-{number}", broken())
        async with client.http.get(f"{client.base}/v1/events") as stream:
            while any("broken" in name for name in await client.names()):
                await stream.content.readline()
        while (len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))) > before:
            await asyncio.sleep(0.01)


async def test_an_image_on_a_device_that_is_in_use_cannot_be_deleted(tmp_path: Path) -> None:
    """While somebody holds the device the delete is refused and the image stays; then it goes."""
    disk, file = images.raw(tmp_path / "disk.raw"), tmp_path / "device"
    file.write_bytes(os.urandom(16 << 20))
    with loop(file) as device:
        settings = config(tmp_path / "data", local={"classes": [f"fast={device}"]})
        async with running(settings) as client:
            status, image = await client.put("disk", disk.read_bytes())
            assert status == 200, image
            assert device.read_bytes()[: disk.stat().st_size] == disk.read_bytes()
            held = os.open(device, os.O_RDWR | os.O_EXCL)
            try:
                status, answer = await client.ask("DELETE", "/v1/images/disk")
                assert (status, answer["error"]["slug"]) == (409, "target-busy")
                assert await client.names() == {"disk": "Ready"}
            finally:
                os.close(held)
            assert (await client.ask("DELETE", "/v1/images/disk"))[0] == 204
            assert await client.names() == {}
