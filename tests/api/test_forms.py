"""The disk inside a file travels in the form that the plan says, and is the same disk."""

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from importer.formats.encode.zstd_frame import zstd_frame
from importer.jobs.rates import defaults
from importer.jobs.store import Store
from importer.model import Rates
from importer.stream.extent import Data, Extents, Zero
from tests import images
from tests.servers.gated import Gate, gated
from tests.servers.running import Client, config, running
from tests.servers.tus import Tus
from tests.servers.web import WebServer

MiB = 1 << 20


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service whose scratch is so slow that no plan puts a file down to convert it later."""
    settings = config(tmp_path / "data")
    (tmp_path / "data").mkdir()
    store = Store(tmp_path / "data" / "importer.db")
    await store.open()
    await store.keep_rates("local", _slow_scratch())
    await store.close()
    async with running(settings) as client:
        yield client


def _slow_scratch() -> Rates:
    return msgspec.structs.replace(defaults("local"), scratch=1e6)


def qemu_io(path: Path, *commands: str) -> None:
    """Write into a qcow2 as a guest would."""
    words = [word for command in commands for word in ("-c", command)]
    images.run("qemu-io", "-f", "qcow2", *words, str(path))


def made(image: dict) -> Path:
    """Return the file of a finished image."""
    return Path(image["status"]["target"]["name"])


@pytest.mark.parametrize("kind", [kind for kind in images.KINDS if kind.startswith("qcow2")])
async def test_a_qcow2_is_read_in_one_pass(client: Client, tmp_path: Path, kind: str) -> None:
    """As raw it is laid out while it comes, and its checksum is that of the file."""
    path = images.make(kind, tmp_path)
    status, image = await client.put("disk", path.open("rb"), format="raw")
    assert status == 200, image
    assert image["status"]["plan"]["wire"] == "raw"
    assert images.same(path, "qcow2", made(image), "raw")
    assert image["status"]["format"] == "qcow2"
    assert image["status"]["size"] == path.stat().st_size
    assert image["status"]["checksums"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert client.files() == ["disk.raw"]


def snapshotted(path: Path, size: int, *, start: int) -> Path:
    """Make a qcow2 whose data from *start* on lies 80 MiB before the table that maps it."""
    images.empty(path, "qcow2", size)
    qemu_io(path, *(f"write -P {1 + at} {at}M 1M" for at in range(start, start + 80)))
    images.run("qemu-img", "snapshot", "-c", "before", str(path))
    qemu_io(path, f"write -P 200 {start}M 64k")
    return path


async def test_a_qcow2_with_its_tables_behind_is_put_down_first(
    client: Client, tmp_path: Path
) -> None:
    """Nothing had been told when that was found out: the file goes the other road at once."""
    path = snapshotted(tmp_path / "disk.qcow2", 100 * MiB, start=0)
    status, image = await client.put("disk", path.open("rb"), format="raw")
    assert status == 200, image
    plan = image["status"]["plan"]
    assert (plan["wire"], image["status"]["attempt"]) == ("as-is", 1)
    assert "guest order" in plan["why"] or "one pass" in plan["why"]
    assert images.same(path, "qcow2", made(image), "raw")


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk whose first 512 MiB are in order, and the next are not."""
    path = tmp_path_factory.mktemp("behind") / "disk.qcow2"
    images.empty(path, "qcow2", 1024 * MiB)
    qemu_io(path, "write -P 9 0 1M")
    qemu_io(path, *(f"write -P {1 + at} {600 + at}M 1M" for at in range(80)))
    images.run("qemu-img", "snapshot", "-c", "before", str(path))
    qemu_io(path, "write -P 200 600M 64k")
    # What the snapshot moved stays where it is; with one inside, nothing would be told so early.
    images.run("qemu-img", "snapshot", "-d", "before", str(path))
    return path


async def test_an_upload_that_turns_out_shuffled_says_what_to_do(
    client: Client, behind: Path
) -> None:
    """It cannot be read again: the client is told, and nothing stays."""
    status, answer = await client.put("disk", behind.open("rb"), format="raw")
    assert (status, answer["error"]["slug"]) == (422, "image-not-in-order")
    assert "qemu-img convert" in answer["error"]["message"]
    assert (client.files(), await client.names()) == ([], {})


async def test_an_import_that_turns_out_shuffled_takes_the_other_road(
    client: Client, behind: Path
) -> None:
    """Its source is read again, put down and converted; that is not one of its retries."""
    async with WebServer(behind) as server:
        await client.fetch("disk", server.url(), format="raw", retries=0)
        image = await client.until("disk")
    assert image["status"]["phase"] == "Ready", image
    assert (image["status"]["plan"]["wire"], image["status"]["attempt"]) == ("as-is", 2)
    assert images.same(behind, "qcow2", made(image), "raw")


async def test_a_resumable_upload_that_turns_out_shuffled_is_sent_again(
    client: Client, behind: Path
) -> None:
    """Its client is told to begin from 0, once; then the file is put down and converted."""
    tus, content = Tus(client), behind.read_bytes()
    path = await tus.begun("disk", len(content), format="raw")
    assert (await tus.patch(path, 0, content)).status == 409
    assert (await tus.head(path)).offset == 0
    assert (await tus.patch(path, 0, content)).status == 204
    image = await client.until("disk")
    assert image["status"]["phase"] == "Ready", image
    assert (image["status"]["plan"]["wire"], image["status"]["attempt"]) == ("as-is", 2)
    assert images.same(behind, "qcow2", made(image), "raw")


async def disk(*parts: bytes | int) -> Extents:
    """Yield extents: bytes, or so many zeros."""
    for part in parts:
        yield Zero(part) if isinstance(part, int) else Data(part)


async def test_a_disk_comes_in_a_zstd_frame(client: Client, tmp_path: Path) -> None:
    """Its zeros are never expanded; status is of the file that the client named."""
    body, tail = os.urandom(MiB), os.urandom(512)
    size = 2 * MiB + 3 * 1024 * MiB + 512
    frame = zstd_frame(disk(MiB, body, 3 * 1024 * MiB, tail), size)
    sent = b"".join([chunk async for chunk in frame])
    query = {"wire": "raw+zstd", "fileFormat": "qcow2", "fileSize": 12345678, "format": "raw"}
    status, image = await client.put("disk", sent, **query, checksum="md5:" + "0A" * 16)
    assert status == 200, image
    told = image["status"]
    assert (told["format"], told["size"], told["virtualSize"]) == ("qcow2", 12345678, size)
    assert told["checksums"] == {"md5": "0a" * 16}
    assert told["plan"]["wire"] == "raw+zstd"
    with made(image).open("rb") as file:
        assert (file.read(MiB), file.read(MiB)) == (bytes(MiB), body)
        assert file.seek(-512, 2) == size - 512
        assert file.read() == tail
    assert made(image).stat().st_blocks * 512 < 4 * MiB
    assert await passed(client) == {
        "source": len(sent),
        "wire": MiB + 512,
        "written": MiB + 512,
        "skipped": size - MiB - 512,
    }


async def passed(client: Client) -> dict[str, int]:
    """Return the bytes past each hop, of all classes, as Prometheus gets them."""
    async with client.http.get(f"{client.base}/metrics") as response:
        lines = (await response.text()).splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if line.startswith("importer_bytes_total{"))
    hops: Counter[str] = Counter()
    for name, value in samples:
        hops[name.split('hop="')[1].split('"')[0]] += int(float(value))
    return hops


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"wire": "raw+zstd", "fileFormat": "qcow2", "fileSize": 1}, "say format=raw"),
        ({"wire": "raw+zstd", "fileFormat": "raw", "fileSize": 1, "format": "qcow2"}, "format=raw"),
        ({"wire": "qcow2", "fileFormat": "raw", "fileSize": 1}, "say format=qcow2"),
        ({"wire": "raw+zstd", "fileFormat": "raw"}, "fileSize"),
        ({"wire": "as-is", "fileFormat": "raw", "fileSize": 1}, "fileFormat"),
    ],
)
async def test_a_form_that_leads_nowhere_is_refused(
    client: Client, query: dict[str, str | int], says: str
) -> None:
    """What was wanted is never silently something else."""
    frame = b"".join([chunk async for chunk in zstd_frame(disk(MiB), MiB)])
    status, answer = await client.put("disk", frame, **query)
    assert (status, answer["error"]["slug"]) == (400, "bad-request"), answer
    assert says in answer["error"]["message"]
    assert client.files() == []


async def test_a_frame_of_another_size_than_its_file_is_refused(client: Client) -> None:
    """Both sizes are named."""
    frame = b"".join([chunk async for chunk in zstd_frame(disk(MiB), MiB)])
    query = {"wire": "raw+zstd", "fileFormat": "raw", "fileSize": 2 * MiB}
    status, answer = await client.put("disk", frame, **query)
    assert (status, answer["error"]["slug"]) == (422, "size-mismatch")
    assert str(MiB) in answer["error"]["message"]
    assert client.files() == []


async def test_a_file_in_a_frame_is_no_disk(client: Client, tmp_path: Path) -> None:
    """What would be opened as a qcow2 by somebody else is not stored as raw."""
    inner = images.make("qcow2", tmp_path).read_bytes()
    inner = inner.ljust(-(-len(inner) // 512) * 512, b"\0")
    frame = b"".join([chunk async for chunk in zstd_frame(disk(inner), len(inner))])
    query = {"wire": "raw+zstd", "fileFormat": "raw", "fileSize": len(inner)}
    status, answer = await client.put("disk", frame, **query)
    assert (status, answer["error"]["slug"]) == (422, "unsafe-image")
    assert client.files() == []


async def test_a_cut_frame_leaves_nothing(client: Client) -> None:
    """A chunked body has no length that could tell: the frame does."""
    frame = b"".join([chunk async for chunk in zstd_frame(disk(os.urandom(3 * MiB)), 3 * MiB)])

    async def cut() -> AsyncIterator[bytes]:
        yield frame[: 2 * MiB]

    query = {"wire": "raw+zstd", "fileFormat": "raw", "fileSize": 3 * MiB}
    status, answer = await client.put("disk", cut(), **query)
    assert (status, answer["error"]["slug"]) == (422, "corrupt-image")
    assert client.files() == []


async def test_what_finished_imports_took_is_remembered(tmp_path: Path) -> None:
    """A class that takes longer than was predicted is slower in the next plan, and stays so."""
    settings, gate = config(tmp_path / "data"), Gate("after finish")
    raw, path = tmp_path / "raw", tmp_path / "vmdk"
    raw.write_bytes(os.urandom(32 * MiB))
    images.convert(raw, path, "vmdk")
    async with running(settings, gated(settings, gate)) as client:
        before = await rates(client)
        assert before == msgspec.to_builtins(defaults("local"))
        upload = asyncio.create_task(client.put("disk", path.open("rb")))
        await gate.reached.wait()
        await asyncio.sleep(0.3)  # is what the conversion takes; 0.07 s are predicted
        gate.opened.set()
        assert (await upload)[0] == 200
        slower = await rates(client)
        assert slower["write"] < before["write"]
    async with running(settings) as client:
        assert await rates(client) == slower


async def rates(client: Client) -> dict[str, float]:
    """Return what plans reckon with."""
    _, classes = await client.ask("GET", "/v1/storageclasses")
    return classes["items"][0]["rates"]
