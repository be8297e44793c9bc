"""Memory is bounded by what is under way, whatever the files' sizes."""

import asyncio
from pathlib import Path

import pytest

from importer.units import MiB
from tests.servers.faults import FaultServer
from tests.servers.process import Process, serving


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A raw disk of 192 MiB, all data."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        for number in range(1, 193):
            block = bytearray(number.to_bytes(8, "big") * (MiB // 8))
            block[510:512] = b"\x55\xaa"
            file.write(block)
    return path


async def imported(service: Process, name: str, url: str) -> None:
    """Import *url* and wait until it is there."""
    wanted = {"name": name, "spec": {"source": {"type": "url", "url": url}}}
    images = f"{service.base}/v1/images"
    async with service.http.post(images, json=wanted) as response:
        assert response.status == 201
    async with service.http.get(f"{images}/{name}/events") as stream:
        async for line in stream.content:
            assert b'"phase":"Failed"' not in line
            if b'"phase":"Ready"' in line:
                return
    raise AssertionError("the event stream ended")


@pytest.mark.timeout(180)
async def test_four_imports_of_four_connections_each(tmp_path: Path, disk: Path) -> None:
    """768 MiB over sixteen connections at once stay under 250 MiB of memory."""
    async with FaultServer(disk) as server, serving(tmp_path / "data") as service:
        await asyncio.gather(*(imported(service, f"n{n}", server.url()) for n in range(4)))
        assert server.accepted <= 16
        assert service.peak_rss < 250 * MiB
