"""Resumable uploads: bytes that come in many requests, from whoever has them, and one image."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import images
from tests.servers.running import Client, config, running
from tests.servers.tus import Tus

MiB = 1 << 20


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service on an empty directory."""
    async with running(config(tmp_path / "data")) as client:
        yield client


async def test_an_upload_in_pieces_ends_ready(client: Client, tmp_path: Path) -> None:
    """Pieces of any size, each in a request of its own, make the image that the file is."""
    disk = images.raw(tmp_path / "disk.raw").read_bytes()
    tus = Tus(client)
    path = await tus.begun("disk", len(disk))
    offset, ends = 0, [1, 1000, MiB, MiB + 7, 5 * MiB, len(disk)]
    for end in ends:
        answer = await tus.patch(path, offset, disk[offset:end])
        assert (answer.status, answer.offset) == (204, end)
        offset = (await tus.head(path)).offset
        assert offset == end
    image = await client.until("disk")
    assert image["status"]["phase"] == "Ready", image
    assert Path(image["status"]["target"]["name"]).read_bytes() == disk
