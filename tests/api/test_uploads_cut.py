"""Uploads over a way that breaks at seeded points end right, with clients that exist today."""

import asyncio
import os
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
from psutil import Process as Psutil
from tusclient.client import TusClient

from tests import images
from tests.servers.cutting import Cutting
from tests.servers.process import Process, serving
from tests.servers.running import config, running, until
from tests.servers.tus import Tus

MiB = 1 << 20
GRID = 256 * 1024


def points(seed: int, size: int, count: int) -> list[int]:
    """Return *count* places in *size* bytes, apart from each other, the same for each *seed*."""
    return sorted(random.Random(seed).sample(range(GRID, size - MiB, GRID), count))


def disk(number: int, size: int) -> bytes:
    """Return a raw disk of *size* bytes like no other."""
    content = bytearray(images.numbers(number << 40, size))
    content[510:512] = b"\x55\xaa"
    return bytes(content)


@pytest.mark.parametrize(("seed", "chunk"), [(1, MiB), (2, 3 * MiB + 5), (3, 64 * MiB)])
async def test_tuspy_over_a_way_that_breaks(tmp_path: Path, seed: int, chunk: int) -> None:
    """The public Python client ends Ready and byte-identical, whatever its chunks' size."""
    size = 12 * MiB
    file = tmp_path / "My Disk.raw"
    file.write_bytes(disk(seed, size))
    async with (
        running(config(tmp_path / "data")) as client,
        Cutting(client.base, points(seed, size, 5)) as way,
    ):
        service = TusClient(
            f"{way.url}/v1/uploads", {"Authorization": f"Bearer {client.service.token}"}
        )
        told = {"filename": file.name, "storageClass": "local"}

        def upload() -> None:
            with file.open("rb") as stream:
                service.uploader(
                    file_stream=stream,
                    chunk_size=chunk,
                    metadata=told,
                    retries=20,
                    retry_delay=0,
                ).upload()

        await asyncio.to_thread(upload)
        image = await client.until("my-disk")
        assert image["status"]["phase"] == "Ready", image
        assert way.cuts == 5
        assert Path(image["status"]["target"]["name"]).read_bytes() == file.read_bytes()


@pytest.mark.timeout(120)
async def test_eight_uploads_that_are_cut(tmp_path: Path) -> None:
    """Eight at once, each cut four times, all end right, and nothing is left of them."""
    await many(tmp_path, 8, 16 * MiB, 4)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_thirty_two_uploads_that_are_cut(tmp_path: Path) -> None:
    """The same with 32."""
    await many(tmp_path, 32, 16 * MiB, 8)


async def test_no_task_and_no_socket_stays(tmp_path: Path) -> None:
    """Of uploads that were cut, cancelled and refused, nothing goes on in the service."""
    async with running(config(tmp_path / "data", jobs={"workers": 2})) as client:
        before = remaining()
        for _ in range(2):  # the first opens what stays open
            before = remaining()
            async with aiohttp.ClientSession(headers=client.http.headers) as http:
                here = SimpleNamespace(base=client.base, http=http)
                await asyncio.gather(*(in_loop(here, number) for number in range(4)))
                tus = Tus(here)
                path = await tus.begun("away", 4 * MiB)
                assert (await tus.patch(path, 0, disk(1, 2 * MiB))).status == 204
                assert (await tus.ask("DELETE", path)).status == 204
                bad = await tus.begun("bad", 4 * MiB)
                assert (await tus.patch(bad, 0, b"\x89PNG\r\n\x1a\n" + bytes(2 * MiB))).status
                await client.until("bad", "Failed")
            for name in await client.names():
                if name != "bad":
                    await client.until(name, "Ready")
                assert (await client.ask("DELETE", f"/v1/images/{name}"))[0] == 204
        await until(lambda: remaining() <= before)


async def in_loop(service: SimpleNamespace, number: int) -> None:
    """Upload disk *number* over a way of its own that is cut twice."""
    content = disk(number, 8 * MiB)
    async with Cutting(service.base, points(number, 8 * MiB, 2)) as way:
        tus = Tus(SimpleNamespace(base=way.url, http=service.http))
        path = await Tus(service).begun(f"disk-{number}", len(content))
        await tus.send(path, content)
        assert way.cuts == 2


def remaining() -> tuple[int, int]:
    """Return how many tasks there are in this loop, and how many open files and sockets."""
    return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))


async def many(folder: Path, count: int, size: int, cuts: int) -> None:
    """Upload *count* disks of *size* bytes at once, each cut *cuts* times."""
    settings = {"IMPORTER_JOBS_WORKERS": str(count)}
    async with serving(folder / "data", settings) as service:
        await all_of(folder, service, [count], size, 0)  # opens what stays open: store, log
        before = held(service)
        await all_of(folder, service, range(count), size, cuts)
        assert held(service) == before
        await until(lambda: not connections(service))
        assert service.peak_rss < 300 * MiB


async def all_of(
    folder: Path, service: Process, numbers: Iterable[int], size: int, cuts: int
) -> None:
    """Upload the disks of these *numbers* over connections that end with this."""
    headers = service.http.headers
    async with aiohttp.ClientSession(headers=headers) as http:
        client = replace(service, http=http)
        await asyncio.gather(*(one(folder, client, number, size, cuts) for number in numbers))


async def one(folder: Path, service: Process, number: int, size: int, cuts: int) -> None:
    """Upload disk *number* over a way of its own and look at what became of it."""
    name, content = f"disk-{number}", disk(number, size)
    async with Cutting(service.base, points(number, size, cuts)) as way:
        tus = Tus(SimpleNamespace(base=way.url, http=service.http))
        path = await Tus(service).begun(name, size)
        assert await tus.send(path, content) >= bool(cuts)
        assert way.cuts == cuts
    await ready(service, name)
    assert (folder / "data" / "images" / f"{name}.raw").read_bytes() == content


async def ready(service: Process, name: str) -> None:
    """Follow an image's events to their end."""
    async with service.http.get(f"{service.base}/v1/images/{name}/events") as stream:
        told = await stream.read()
    assert b'"phase":"Ready"' in told.rpartition(b"event: image")[2]


def held(service: Process) -> tuple[int, int]:
    """Return how many files the service has open, and how many processes it has running."""
    process = Psutil(service.process.pid)
    return len(process.open_files()), len(process.children())


def connections(service: Process) -> list[object]:
    """Return the connections that the service has."""
    every = Psutil(service.process.pid).net_connections("tcp4")
    return [connection for connection in every if connection.status != "LISTEN"]
