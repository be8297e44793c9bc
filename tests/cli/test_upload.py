"""`upload` against the real service: every form, and what becomes of one that breaks off."""

import asyncio
import hashlib
import json
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from importer.cli.access import Access
from importer.cli.batch import upload_files
from importer.cli.client import Client as CliClient
from importer.cli.compact import Compact, look
from importer.cli.exits import Refused
from importer.cli.order import Order, Wanted
from importer.cli.progress import Nothing
from importer.cli.sending import Sending
from importer.cli.session import Session
from importer.cli.tus import Tus
from importer.errors import ChecksumMismatch, CorruptImage, SourceError
from importer.model import Wire
from importer.units import MiB, TiB, round_up
from tests import images
from tests.cli.command import importer, start
from tests.cli.terminal import terminal
from tests.servers.gated import Gate, gated
from tests.servers.running import Client, config, running, until
from tests.targets.conftest import loop


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(config(tmp_path / "data")) as client:
        yield client


async def upload(service: Client, path: Path, *, as_is: bool = False, **wanted: Any) -> None:
    """Do what ``importer upload`` does with *path*, as ``disk``; *wanted* are options."""
    async with CliClient(Access(service.base, data=service.data)) as client:
        session = Session(client, as_json=False, namespace=None)
        await upload_files(session, [Order(path, "disk", Wanted(**wanted), as_is)])


def stored(service: Client, image: Any) -> tuple[Path, str]:
    """Return where an image lies, and its format."""
    path = Path(image["status"]["target"]["name"])
    assert service.files() == [path.name]
    return path, path.suffix[1:]


async def assert_arrived(service: Client, path: Path, format: str, wire: str) -> Any:
    """See that ``disk`` holds what *path* does, came as *wire*, and tells of *path* itself."""
    image = await service.image("disk")
    status = image["status"]
    assert (status["phase"], status["plan"]["wire"]) == ("Ready", wire)
    assert (status["format"], status["size"]) == (format, path.stat().st_size)
    qemu = "raw" if format == "iso" else format
    assert status["virtualSize"] == images.virtual_size(path, qemu)
    assert images.same(path, qemu, *stored(service, image))
    return image


def leaked(folder: Path) -> Path:
    """Make a qcow2 most of whose clusters are only in a snapshot's use."""
    path = images.convert(
        images.raw(folder / "full.raw", data=8 * MiB), folder / "l.qcow2", "qcow2"
    )
    images.run("qemu-img", "snapshot", "-c", "before", str(path))
    images.run("qemu-io", "-f", "qcow2", "-c", "discard 0 6M", str(path))
    return path


@pytest.mark.parametrize(
    ("kind", "format", "wanted", "wire"),
    [
        ("raw", "raw", "", "raw+zstd"),
        ("raw", "raw", "qcow2", "qcow2"),
        ("iso", "iso", "qcow2", "qcow2"),
        ("qcow2", "qcow2", "raw", "raw+zstd"),
        ("leaked", "qcow2", "", "qcow2"),
        ("leaked", "qcow2", "raw", "raw+zstd"),
    ],
)
async def test_forms(
    service: Client, tmp_path: Path, kind: str, format: str, wanted: str, wire: str
) -> None:
    """Each form makes the image that the file as it is would make, and status is of the file."""
    makers = {"leaked": leaked, "iso": lambda folder: images.iso(folder / "disk.iso", 8 * MiB)}
    path = makers[kind](tmp_path) if kind in makers else images.make(kind, tmp_path)
    await upload(service, path, **({"format": wanted} if wanted else {}))
    image = await assert_arrived(service, path, format, wire)
    assert stored(service, image)[1] == (wanted or ("qcow2" if format == "qcow2" else "raw"))
    assert image["status"]["checksums"] == {}


@pytest.mark.parametrize("content", [b"LUKS\xba\xbe", b"text\n" * 1000, b"\x1f\x8b\x08", b""])
async def test_disk_of_a_guest(service: Client, tmp_path: Path, content: bytes) -> None:
    """On the disk in a qcow2 may be what no raw file may be: a guest's own encryption, say."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(content)
    os.truncate(disk, 8 * MiB)
    path = images.convert(disk, tmp_path / "disk.qcow2", "qcow2")
    await upload(service, path, format="raw")
    await assert_arrived(service, path, "qcow2", "raw+zstd")


async def test_nested_disk(service: Client, tmp_path: Path) -> None:
    """A disk that begins as a qcow2 itself is refused, in a form as in the file."""
    inner = images.make("qcow2", tmp_path)
    path = images.convert(inner, tmp_path / "outer.qcow2", "qcow2")
    for as_is in (False, True):
        with pytest.raises(Refused, match="begins as a qcow2 file"):
            await upload(service, path, as_is=as_is, format="raw")
    await assert_gone(service)


async def test_disk_of_no_bytes(service: Client, tmp_path: Path) -> None:
    """A qcow2 of virtual size 0 goes as it is, and is what it is."""
    path = images.empty(tmp_path / "none.qcow2", "qcow2", 0)
    await upload(service, path, format="raw")
    assert (await service.image("disk"))["status"]["virtualSize"] == 0


@pytest.mark.parametrize("size", [512, 513, 1023, 3 * MiB + 511])
@pytest.mark.parametrize("wanted", ["raw", "qcow2"])
async def test_padding(service: Client, tmp_path: Path, size: int, wanted: str) -> None:
    """A raw file that ends amid a sector is filled up with zeros, whatever it travels as."""
    path = images.raw(tmp_path / "odd.raw", size, min(size, MiB))
    for as_is in (False, True):
        await upload(service, path, as_is=as_is, format=wanted)
        image = await service.image("disk")
        assert image["status"]["size"] == size
        assert image["status"]["virtualSize"] == round_up(size, 512)
        assert images.virtual_size(*stored(service, image)) == round_up(size, 512)
        assert images.same(path, "raw", *stored(service, image))
        await service.ask("DELETE", "/v1/images/disk")


async def test_as_is(service: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --as-is the service gets the file's own bytes, and its checksum is the service's."""
    path = images.raw(tmp_path / "disk.raw")
    await upload(service, path, as_is=True)
    image = await assert_arrived(service, path, "raw", "as-is")
    assert image["status"]["checksums"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "sent as" not in capsys.readouterr().out


async def test_what_is_said(
    service: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lines and the result name the form, and how little was sent."""
    await upload(service, images.raw(tmp_path / "disk.raw", 80 * MiB, MiB // 2))
    said = capsys.readouterr()
    assert "Uploading as raw+zstd" in said.err
    told = re.search(r"size 80.0 MiB, size 80.0 MiB, (\S+) KiB sent as raw\+zstd, ", said.out)
    assert told
    assert 512 < float(told[1]) < 520  # the data, and 4 bytes for each 128 KiB of zeros


async def test_bar_counts_the_disk(service: Client, tmp_path: Path) -> None:
    """The bar goes through all bytes of the disk, though few of them are sent."""
    disk = images.raw(tmp_path / "disk.raw", 256 * MiB)
    where = ("--server", service.base, "--data", str(service.data))
    async with terminal("upload", str(disk), *where) as ran:
        await ran.process.communicate()
        await ran.until("256.0/256.0 MiB")
        assert "Uploading as raw+zstd" in ran.text


async def test_tebibyte_of_nothing(service: Client, tmp_path: Path) -> None:
    """A file that is one hole of 1 TiB, but for its ends, is an image in seconds."""
    path = images.raw(tmp_path / "disk.raw", TiB, MiB // 4)
    await upload(service, path)
    image = await service.image("disk")
    assert (image["status"]["size"], image["status"]["virtualSize"]) == (TiB, TiB)
    assert stored(service, image)[0].stat().st_blocks * 512 < 4 * MiB


@pytest.mark.parametrize("wanted", ["raw", "qcow2"])
async def test_checksum(service: Client, tmp_path: Path, wanted: str) -> None:
    """A checksum that the client has compared is the image's, as the client gave it."""
    path = images.raw(tmp_path / "disk.raw")
    digest = hashlib.sha512(path.read_bytes()).hexdigest()
    await upload(service, path, checksum=f"sha512:{digest.upper()}", format=wanted)
    image = await service.image("disk")
    assert image["status"]["checksums"] == {"sha512": digest}


@pytest.mark.parametrize("wanted", ["raw", "qcow2"])
async def test_wrong_checksum(service: Client, tmp_path: Path, wanted: str) -> None:
    """A wrong checksum is told as such, and of the import nothing is left."""
    path = images.raw(tmp_path / "disk.raw")
    with pytest.raises(ChecksumMismatch, match="expected 0000"):
        await upload(service, path, checksum="md5:" + "0" * 32, format=wanted)
    await assert_gone(service)


async def assert_gone(service: Client) -> None:
    """See that, once the service has noticed, nothing is left of an import."""
    await until(lambda: not service.service.runner._jobs)
    while await service.names():  # the record goes with the request, after its job
        await asyncio.sleep(0.01)
    assert service.files() == []


@pytest.mark.parametrize("wire", ["raw+zstd", "qcow2"])
@pytest.mark.parametrize("size", [3 * MiB, 64 * MiB, 65 * MiB])
async def test_file_changes(service: Client, tmp_path: Path, wire: Wire, size: int) -> None:
    """A file that is written to or cut while it is sent is named, and makes no image."""
    path = images.raw(tmp_path / "disk.raw", 64 * MiB, 16 * MiB)
    disk = await look(path)
    assert disk

    def change(done: int) -> None:
        if done >= 8 * MiB:
            os.truncate(path, size)
            os.utime(path, (1, 1))

    body = Compact(disk, wire, None, change)
    told = {"name": "disk", **body.query, **({"format": wire} if wire == "qcow2" else {})}
    async with CliClient(Access(service.base, data=service.data)) as client:
        sending = Sending(client, "disk", body, told, Nothing(), lambda: None)
        with pytest.raises(SourceError, match="has changed while it was sent"):
            await sending.run()
        await sending.close()
        assert sending.id
        await Tus(client).end(sending.id)
    await assert_gone(service)


@pytest.mark.parametrize("wanted", ["raw", "qcow2"])
async def test_interrupt(tmp_path: Path, wanted: str) -> None:
    """Ctrl-C amid a form that the command line makes says what goes on, and no traceback."""
    settings, gate = config(tmp_path / "data"), Gate("amid write")
    path = images.raw(tmp_path / "disk.raw", 64 * MiB, 32 * MiB)
    async with running(settings, gated(settings, gate)) as service:
        words = ("upload", str(path), "--format", wanted, "--server", service.base)
        process = await start(*words, "--data", str(service.data))
        await gate.reached.wait()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 130
        told, last = err.decode().splitlines()[-2:]
        assert re.fullmatch(
            r"disk: stopped at \S+ \w+; the same command again goes on, `importer cancel disk` "
            "gives it up",
            told,
        )
        assert last == "interrupted"
        assert (await importer("cancel", "disk", *words[4:], "--data", str(service.data))).code == 0
        gate.opened.set()
        await service.until("disk", "Cancelled")
        assert service.files() == []


async def test_image_that_waits(service: Client, tmp_path: Path) -> None:
    """An image that was named before has a say: the file is checked and sent as that needs it."""
    path = images.raw(tmp_path / "disk.raw")
    spec = {"source": {"type": "upload"}, "format": "qcow2", "checksum": "md5:" + "0" * 32}
    await service.ask("POST", "/v1/images", json={"name": "disk", "spec": spec})
    with pytest.raises(ChecksumMismatch):
        await upload(service, path)
    assert (await service.until("disk"))["status"]["phase"] == "Cancelled"
    await service.ask("DELETE", "/v1/images/disk")
    spec["checksum"] = "md5:" + hashlib.md5(path.read_bytes()).hexdigest()
    await service.ask("POST", "/v1/images", json={"name": "disk", "spec": spec})
    await upload(service, path)
    await assert_arrived(service, path, "raw", "qcow2")


@pytest.mark.parametrize(("wanted", "wire"), [("raw", "as-is"), ("qcow2", "qcow2")])
async def test_block_device(service: Client, tmp_path: Path, wanted: str, wire: str) -> None:
    """A block device, which has no map, is sent whole, or as a qcow2 when that is wanted."""
    path = images.raw(tmp_path / "disk.raw")
    with loop(path) as device:
        await upload(service, device, format=wanted)
    await assert_arrived(service, path, "raw", wire)


async def test_refused_here(service: Client, tmp_path: Path) -> None:
    """A damaged file is refused before the service has seen an image of that name."""
    path = images.make("qcow2", tmp_path)
    os.truncate(path, path.stat().st_size - MiB)
    async with service.http.get(f"{service.base}/v1/events") as stream:
        with pytest.raises(CorruptImage, match="ends too early"):
            await upload(service, path)
        await service.put("later", images.raw(tmp_path / "d.raw").read_bytes())
        async for line in stream.content:
            if line.startswith(b"data: "):
                told = json.loads(line[6:])
                if "name" in told:
                    assert told["name"] == "later"
                    break
