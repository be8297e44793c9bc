"""Resumable uploads: bytes that come in many requests, from whoever has them, and one image."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from importer.errors import NotFound, TargetUnavailable
from importer.jobs.uploads import Upload
from tests import images
from tests.servers.gated import gated
from tests.servers.running import Client, config, running, until
from tests.servers.tus import Tus, metadata
from tests.targets.longhorn import skip

MiB = 1 << 20


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service on an empty directory."""
    async with running(config(tmp_path / "data")) as client:
        yield client


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A raw disk of 8 MiB, data from its first to its last MiB."""
    path = tmp_path_factory.mktemp("uploads") / "disk.raw"
    return images.raw(path, data=8 * MiB).read_bytes()


async def test_an_upload_in_pieces_ends_ready(client: Client, disk: bytes) -> None:
    """Pieces of any size, each in a request of its own, make the image that the file is."""
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
    assert client.files() == [Path(image["status"]["target"]["name"]).name]


async def test_a_cut_connection_costs_only_what_was_on_its_way(client: Client, disk: bytes) -> None:
    """After a hang-up amid a PATCH, another connection goes on from the offset that HEAD tells."""
    tus = Tus(client)
    path = await tus.begun("disk", len(disk))
    await cut(client, path, 0, disk, after=3 * MiB)
    async with aiohttp.ClientSession(headers=client.http.headers) as other:
        elsewhere = Tus(client, other)
        offset = (await elsewhere.head(path)).offset
        assert offset <= 3 * MiB
        answer = await elsewhere.patch(path, offset, disk[offset:])
    assert (answer.status, answer.offset) == (204, len(disk))
    assert await made(client) == disk


async def test_the_newest_request_has_the_upload(client: Client, disk: bytes) -> None:
    """A PATCH whose client seems to be there still is sent away by the next request."""
    tus, gate = Tus(client), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield disk[:MiB]
        await gate.wait()

    path = await tus.begun("disk", len(disk))
    first = asyncio.create_task(tus.patch(path, 0, endless()))
    upload = uploads(client, path)
    await until(lambda: upload.source.offset == MiB)
    assert (await tus.head(path)).offset == MiB
    assert (await first).status == 409
    assert (await tus.patch(path, MiB, disk[MiB:])).status == 204
    assert await made(client) == disk


async def test_an_image_that_is_no_good_is_told(client: Client) -> None:
    """PATCH answers what the import failed with, again and again, and the image says the same."""
    tus = Tus(client)
    path = await tus.begun("picture", 4 * MiB)
    picture = b"\x89PNG\r\n\x1a\n" + bytes(2 * MiB)
    answers = [await tus.patch(path, 0, picture)]
    image = await client.until("picture", "Failed")
    answers.append(await tus.patch(path, 0, picture))
    assert json.loads(answers[1].body)["error"]["slug"] == "not-an-image"
    assert answers[1].status == 422
    assert image["status"]["error"]["slug"] == "not-an-image"
    assert (await tus.head(path)).status == 200
    assert client.files() == []


async def test_an_abandoned_upload_expires(tmp_path: Path, disk: bytes) -> None:
    """After [upload] expires only the image's record is left, and a new one may come."""
    async with running(config(tmp_path / "data", upload={"expires": 0.3})) as client:
        tus = Tus(client)
        await tus.create("disk", len(disk), disk[: 2 * MiB])
        image = await client.until("disk", "Failed")
        assert image["status"]["error"]["slug"] == "upload-incomplete"
        assert client.files() == []
        idle = await tus.begun("idle", len(disk))
        await client.until("idle", "Failed")
        assert (await tus.patch(idle, 0, disk)).status == 400
        await until(lambda: upload_is_forgotten(client, idle))
        assert (await tus.patch(idle, 0, disk)).status == 404
    async with running(config(tmp_path / "data")) as client:
        tus = Tus(client)
        path = await tus.begun("disk", len(disk))
        assert (await tus.patch(path, 0, disk)).status == 204
        assert await made(client) == disk


async def test_a_client_that_stays_away_sends_again(tmp_path: Path, disk: bytes) -> None:
    """After [upload] away nothing is held for it; it is no error, and costs none of its tries."""
    async with running(config(tmp_path / "data")) as client:
        tus = Tus(client)
        body = {"name": "disk", "spec": {"source": {"type": "upload"}, "retries": 0}}
        await client.ask("POST", "/v1/images", json=body)
        path = await tus.begun("disk", len(disk))
        for absence in range(3):
            assert (await tus.patch(path, 0, disk[: 2 * MiB])).offset == 2 * MiB
            await waits(client, path)
            skip(300)
            image = await client.until("disk", "Pending")
            assert image["status"]["attempt"] == absence + 1
            assert image["status"]["error"]["slug"] == "client-away"
            assert client.files() == []
            assert (await tus.head(path)).offset == 0
        assert (await tus.patch(path, 0, disk)).status == 204
        assert await made(client) == disk


async def test_a_cancelled_image_ends_its_upload(client: Client, disk: bytes) -> None:
    """Cancel and delete by the image's name reach a PATCH that runs, and one that comes later."""
    tus = Tus(client)
    for act, after in (("POST", "/cancel"), ("DELETE", "")):
        path = await tus.begun("disk", len(disk))
        assert (await tus.patch(path, 0, disk[:MiB])).status == 204
        status, _ = await client.ask(act, f"/v1/images/disk{after}")
        assert status in (200, 204)
        answer = await tus.patch(path, MiB, disk[MiB:])
        assert (answer.status, json.loads(answer.body)["error"]["slug"]) == (409, "cancelled")
        await client.ask("DELETE", "/v1/images/disk")
    assert client.files() == []
    assert await client.names() == {}


async def test_a_service_that_stops_says_so(tmp_path: Path, disk: bytes) -> None:
    """A PATCH amid a stop gets 503; after the start the upload stands at 0 and is sent again."""
    settings = config(tmp_path / "data")
    async with running(settings) as client:
        tus, gate = Tus(client), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield disk[:MiB]
            await gate.wait()
            yield disk[MiB:]

        path = await tus.begun("disk", None, checksum=sha256(disk))
        sending = asyncio.create_task(tus.patch(path, 0, slow(), Upload_Length=str(len(disk))))
        upload = uploads(client, path)
        await until(lambda: upload.source.offset == MiB)
        await client.service.runner.stop()
        gate.set()
        assert (await sending).status == 503
    for _ in range(2):  # the second finds what the first left as it was
        async with running(settings) as client:
            answer = await Tus(client).head(path)
            assert (answer.status, answer.offset) == (200, 0)
            assert answer.headers["Upload-Length"] == str(len(disk))
            assert answer.headers["Upload-Metadata"] == metadata(name="disk", checksum=sha256(disk))
    async with running(settings) as client:
        assert (await Tus(client).patch(path, 0, disk)).status == 204
        assert await made(client) == disk
    async with running(settings) as client:
        assert (await Tus(client).head(path)).status == 404


async def test_a_target_that_breaks_sets_the_offset_back(tmp_path: Path, disk: bytes) -> None:
    """A retryable failure amid the transfer costs one restart of the client, not an error."""
    settings = config(tmp_path / "data")
    breaking = Breaking()
    async with running(settings, gated(settings, breaking)) as client:
        tus = Tus(client)
        path = await tus.begun("disk", len(disk))
        answer, offset = await tus.patch(path, 0, disk[:-MiB]), 0
        while answer.status != 409:
            answer = await tus.patch(path, answer.offset, disk[answer.offset : -1])
        assert (await tus.head(path)).offset == 0
        assert (await tus.patch(path, offset, disk)).status == 204
        assert await made(client) == disk
        assert (await client.image("disk"))["status"]["attempt"] == 2


async def test_a_request_outlives_its_try(tmp_path: Path, disk: bytes) -> None:
    """What it sends after the target broke belongs to no other try: it is told to begin anew."""
    breaking, gate = Breaking(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield disk[: 3 * MiB]
        await gate.wait()
        yield disk[3 * MiB :]

    settings = config(tmp_path / "data")
    async with running(settings, gated(settings, breaking)) as client:
        tus = Tus(client)
        path = await tus.begun("disk", len(disk))
        sending = asyncio.create_task(tus.patch(path, 0, slow()))
        await until(lambda: breaking.broken and not uploads(client, path).source.offset)
        gate.set()
        answer = await sending
        assert (answer.status, b"stands at 0" in answer.body) == (409, True)
        assert (await tus.patch(path, 0, disk)).status == 204
        assert await made(client) == disk


async def test_an_upload_without_a_byte_holds_no_worker(tmp_path: Path, disk: bytes) -> None:
    """With one worker, an idle upload delays nobody; one that has begun keeps the next waiting."""
    async with running(config(tmp_path / "data", jobs={"workers": 1})) as client:
        tus = Tus(client)
        await tus.begun("idle", len(disk))
        first = await tus.begun("first", len(disk))
        assert (await tus.patch(first, 0, disk[:MiB])).status == 204
        second = await tus.begun("second", len(disk))
        sending = asyncio.create_task(tus.patch(second, 0, disk))
        await until(lambda: uploads(client, second).source.offered)
        assert (await client.image("second"))["status"]["phase"] == "Pending"
        assert (await tus.patch(first, MiB, disk[MiB:])).status == 204
        assert (await sending).status == 204
        assert await made(client, "first") == disk
        assert await made(client, "second") == disk


async def test_an_upload_whose_client_is_away_lends_its_worker(tmp_path: Path, disk: bytes) -> None:
    """With one worker, others are imported meanwhile; it goes on before those that wait."""
    settings = config(tmp_path / "data", jobs={"workers": 1}, upload={"rest": 0.05})
    async with running(settings) as client:
        tus = Tus(client)
        first = await tus.begun("first", len(disk))
        assert (await tus.patch(first, 0, disk[: 2 * MiB])).status == 204
        await client.put("other", disk)
        assert await made(client, "other") == disk
        image = await client.image("first")
        assert image["status"]["doing"] == "waiting for the client to go on"

        second = await tus.begun("second", len(disk))
        assert (await tus.patch(second, 0, disk[: 2 * MiB])).status == 204  # has the worker now
        going_on = asyncio.create_task(tus.patch(first, 2 * MiB, disk[2 * MiB :]))
        third = asyncio.create_task(client.put("third", disk))
        await until(lambda: client.service.runner.waiting == 2 or going_on.done())
        assert (await tus.patch(second, 2 * MiB, disk[2 * MiB :])).status == 204
        assert (await going_on).status == 204
        assert (await third)[0] == 200
        for name in ("first", "second", "third"):
            assert await made(client, name) == disk
            assert (await client.image(name))["status"]["attempt"] == 1


@dataclass
class Breaking:
    """Breaks the first write after its first chunk."""

    broken: bool = False

    async def passes(self, point: str) -> None:
        if point == "amid write" and not self.broken:
            self.broken = True
            raise TargetUnavailable("the pod died")


def uploads(client: Client, path: str) -> Upload:
    """Return the upload at *path*."""
    return client.service.uploads.find(path.rpartition("/")[2])


def upload_is_forgotten(client: Client, path: str) -> bool:
    """Say whether nothing is known of the upload at *path* any more."""
    try:
        uploads(client, path)
    except NotFound:
        return True
    return False


async def waits(client: Client, path: str) -> None:
    """Wait until the import waits for the client of the upload at *path*."""
    upload = uploads(client, path)
    await until(lambda: upload.source.waits)


def sha256(disk: bytes) -> str:
    return "sha256:" + hashlib.sha256(disk).hexdigest()


async def made(client: Client, name: str = "disk") -> bytes:
    """Return the disk that was made, once it is ready."""
    image = await client.until(name)
    assert image["status"]["phase"] == "Ready", image
    return Path(image["status"]["target"]["name"]).read_bytes()


async def cut(client: Client, path: str, offset: int, disk: bytes, after: int) -> None:
    """Send a PATCH of all the rest and hang up *after* bytes of it."""

    async def breaks() -> AsyncIterator[bytes]:
        yield disk[offset : offset + after]
        raise ConnectionResetError

    with suppress(aiohttp.ClientError, ConnectionResetError):
        length = str(len(disk) - offset)
        await Tus(client).patch(path, offset, breaks(), Content_Length=length)
