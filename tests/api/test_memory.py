"""Memory is bounded, whatever the image's size and however many come at once."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import images
from tests.servers.process import Process, serving
from tests.servers.web import WebServer

MiB = 1 << 20
GiB = 1 << 30

pytestmark = pytest.mark.slow


async def sparse(size: int, data: int) -> AsyncIterator[bytes]:
    """A raw disk of *size* bytes: a boot signature, *data* bytes of noise, then zeros."""
    noise = bytearray(os.urandom(MiB))
    noise[510:512] = b"\x55\xaa"
    zeros = bytes(MiB)
    for at in range(0, size, MiB):
        yield bytes(noise) if at < data else zeros


async def upload(service: Process, name: str, size: int, data: int) -> None:
    url = f"{service.base}/v1/images/{name}/content"
    headers = {"Content-Length": str(size)}
    async with service.http.put(url, data=sparse(size, data), headers=headers) as response:
        image = await response.json()
        assert response.status == 200, image
        assert image["status"]["virtualSize"] == size


async def one_upload(folder: Path, size: int) -> None:
    async with serving(folder / "data") as service:
        await upload(service, "disk", size, 64 * MiB)
        stored = folder / "data" / "images" / "disk.raw"
        assert stored.stat().st_size == size
        assert stored.stat().st_blocks * 512 <= 80 * MiB
        assert service.peak_rss < 200 * MiB


@pytest.mark.timeout(120)
async def test_a_large_sparse_upload(tmp_path: Path) -> None:
    """2 GiB of sparse raw stay under 200 MiB of memory and take the room of their data only."""
    await one_upload(tmp_path, 2 * GiB)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_a_very_large_sparse_upload(tmp_path: Path) -> None:
    """20 GiB take no more memory than 2 GiB."""
    await one_upload(tmp_path, 20 * GiB)


@pytest.mark.timeout(180)
async def test_eight_uploads_at_once(tmp_path: Path) -> None:
    """Eight uploads by eight workers stay under 300 MiB together."""
    async with serving(tmp_path / "data", {"IMPORTER_JOBS_WORKERS": "8"}) as service:
        uploads = [upload(service, f"disk-{n}", 256 * MiB, 64 * MiB) for n in range(8)]
        await asyncio.gather(*uploads)
        assert service.peak_rss < 300 * MiB


async def test_inspecting_a_huge_remote_image(tmp_path: Path) -> None:
    """Of a 100 GiB qcow2 on a web server at most 2 MiB are read."""
    path = images.empty(tmp_path / "huge.qcow2", "qcow2", 200 * GiB)
    with path.open("r+b") as file:
        file.truncate(100 * GiB)
    async with WebServer(path) as server, serving(tmp_path / "data") as service:
        body = {"url": server.url()}
        async with service.http.post(f"{service.base}/v1/inspect", json=body) as response:
            told = await response.json()
        assert (told["format"], told["virtualSize"]) == ("qcow2", 200 * GiB)
        assert told["size"] == 100 * GiB
        assert server.sent <= 2 * MiB
