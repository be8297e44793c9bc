"""tus-js-client, the client of most web pages, under Node: it ends right whatever breaks."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from importer.config import Config
from tests.api.test_uploads_cut import disk, points
from tests.servers.cutting import Cutting
from tests.servers.running import Client, config, running, until

CLIENTS = Path(__file__).parents[1] / "clients"
MiB = 1 << 20
SIZE = 12 * MiB


@pytest.fixture(autouse=True, scope="module")
def installed() -> None:
    """See that the client is there."""
    if not (CLIENTS / "node_modules" / "tus-js-client").is_dir():
        pytest.fail("tus-js-client is missing: make test installs it, or npm ci in tests/clients")


@asynccontextmanager
async def uploading(
    client: Client, base: str, file: Path, **options: Any
) -> AsyncIterator[Process]:
    """Run the client on *file*."""
    told = {
        "endpoint": f"{base}/v1/uploads",
        "token": client.service.token,
        "file": str(file),
        "store": str(file.with_suffix(".store")),
        "metadata": {"filename": file.name, "storageClass": "local"},
        **options,
    }
    process = await asyncio.create_subprocess_exec(
        "node", "upload.js", json.dumps(told), cwd=CLIENTS, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ended(process: Process) -> str:
    """Return what the client says, once it has sent all."""
    said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-2000:]
    return said.decode().strip()


async def whole(client: Client, file: Path, tries: int = 1) -> None:
    """See that the image is Ready and is *file*."""
    image = await client.until("my-disk")
    assert (image["status"]["phase"], image["status"]["attempt"]) == ("Ready", tries), image
    assert Path(image["status"]["target"]["name"]).read_bytes() == file.read_bytes()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A raw disk of 12 MiB."""
    path = tmp_path / "My Disk.raw"
    path.write_bytes(disk(7, SIZE))
    return path


@pytest.mark.parametrize(("seed", "chunk"), [(1, None), (2, MiB), (3, 3 * MiB + 5)])
async def test_over_a_way_that_breaks(
    tmp_path: Path, file: Path, seed: int, chunk: int | None
) -> None:
    """Cut at seeded points, whatever its chunks' size, it goes on where the service stands."""
    async with (
        running(config(tmp_path / "data")) as client,
        Cutting(client.base, points(seed, SIZE, 5)) as way,
    ):
        async with uploading(client, way.url, file, chunkSize=chunk) as process:
            await ended(process)
        assert way.cuts == 5
        await whole(client, file)


async def test_a_creation_that_brings_bytes_and_breaks(tmp_path: Path, file: Path) -> None:
    """Nobody knows the upload that was begun; the same request begins it anew."""
    async with (
        running(config(tmp_path / "data")) as client,
        Cutting(client.base, [2 * MiB, 6 * MiB]) as way,
    ):
        options = {"chunkSize": 4 * MiB, "duringCreation": True}
        async with uploading(client, way.url, file, **options) as process:
            await ended(process)
        assert way.cuts == 2
        await whole(client, file)


async def test_killed_and_started_again(tmp_path: Path, file: Path) -> None:
    """The next run knows the upload by the file's fingerprint, and goes on with it."""
    async with running(slow(tmp_path)) as client:
        async with uploading(client, client.base, file) as process:
            await begun(client)
            process.kill()
        async with uploading(client, client.base, file) as process:
            assert await ended(process) == "resumed"
        await whole(client, file)


async def test_a_service_that_is_started_again(tmp_path: Path, file: Path) -> None:
    """The client finds its upload at 0 and sends the file again, by itself."""
    async with AsyncExitStack() as stack:
        async with running(slow(tmp_path)) as client:
            port = int(client.base.rpartition(":")[2])
            options = {"chunkSize": MiB, "delays": [50] * 600}
            process = await stack.enter_async_context(
                uploading(client, client.base, file, **options)
            )
            await begun(client)
        async with running(slow(tmp_path), port=port) as client:
            await ended(process)
            await whole(client, file, tries=2)


def slow(folder: Path) -> Config:
    """Return settings of a service that takes so long for a file that something can happen."""
    return config(folder / "data", upload={"client_rate": 8 * MiB})


async def begun(client: Client) -> None:
    """Wait until some of the only upload was taken."""
    await until(lambda: any(upload.source.offset for upload in client.service.uploads.open()))
