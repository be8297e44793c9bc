"""`importer plan` foretells what `importer upload` sends, of every kind of file."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from importer.cli.access import Access
from importer.cli.batch import upload_files
from importer.cli.client import Client as CliClient
from importer.cli.commands import _inspected
from importer.cli.order import Order, Wanted
from importer.cli.plan import plan_file
from importer.cli.session import Session
from importer.model import PlanReport, WantedFormat
from importer.units import MiB
from tests import images
from tests.cli.command import importer
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer

DISK = 24 * MiB


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(config(tmp_path / "data")) as client:
        yield client


async def received(service: Client) -> float:
    """Return how many bytes of files the service has been sent, by its own count."""
    async with service.http.get(f"{service.base}/metrics") as response:
        text = await response.text()
    return sum(
        float(n) for n in re.findall(r'^importer_bytes_total{.*"source".*} (.+)$', text, re.M)
    )


async def foretold(service: Client, path: Path, wanted: WantedFormat | None) -> PlanReport:
    """Return what ``importer plan`` says of *path*."""
    async with CliClient(Access(service.base, data=service.data)) as client:
        session = Session(client, as_json=False, namespace=None)
        return await plan_file(session, path, await _inspected(path), None, wanted)


async def upload(service: Client, path: Path, wanted: WantedFormat | None) -> Any:
    """Do what ``importer upload`` does with *path*, and return its image."""
    async with CliClient(Access(service.base, data=service.data)) as client:
        session = Session(client, as_json=False, namespace=None)
        await upload_files(session, [Order(path, "disk", Wanted(format=wanted))])
    return await service.image("disk")


def sparse(folder: Path) -> Path:
    """8 MiB of data, then a hole."""
    return images.raw(folder / "sparse.raw", DISK, 8 * MiB)


def dense(folder: Path) -> Path:
    """Data all over."""
    return images.raw(folder / "dense.raw", DISK, DISK)


def written_zeros(folder: Path) -> Path:
    """8 MiB of data, as much of zeros that the file system keeps, then a hole."""
    path = images.raw(folder / "zeros.raw", DISK, 8 * MiB)
    with path.open("r+b") as file:
        file.seek(8 * MiB)
        file.write(bytes(8 * MiB))
    return path


def no_holes(folder: Path) -> Path:
    """8 MiB of data, and all other zeros written."""
    path = folder / "full.raw"
    path.write_bytes(sparse(folder).read_bytes())
    return path


def converted(format: str, *options: str) -> Callable[[Path], Path]:
    """Return what makes an image of *format* of a sparse disk."""
    return lambda folder: images.convert(sparse(folder), folder / f"d.{format}", format, *options)


FILES: dict[str, tuple[Callable[[Path], Path], WantedFormat | None, str]] = {
    "raw": (dense, None, "as-is"),
    "sparse": (sparse, None, "raw+zstd"),
    "written zeros": (written_zeros, None, "raw+zstd"),
    "no holes": (no_holes, None, "as-is"),
    "raw to qcow2": (sparse, "qcow2", "qcow2"),
    "qcow2": (converted("qcow2"), None, "as-is"),
    "zlib": (converted("qcow2", "-c"), None, "as-is"),
    "zstd": (converted("qcow2", "-c", "-o", "compression_type=zstd"), None, "as-is"),
    "qcow2 to raw": (converted("qcow2"), "raw", "raw+zstd"),
    "zlib to raw": (converted("qcow2", "-c"), "raw", "as-is"),
    "vmdk": (converted("vmdk"), None, "as-is"),
    "iso": (lambda folder: images.iso(folder / "d.iso", 4 * MiB), None, "as-is"),
    "xz": (lambda folder: images.compressed(sparse(folder), "xz"), None, "as-is"),
    "gzip": (lambda folder: images.compressed(sparse(folder), "gzip"), None, "as-is"),
}


@pytest.mark.parametrize("kind", FILES)
async def test_what_is_sent_was_foretold(service: Client, tmp_path: Path, kind: str) -> None:
    """The bytes that the service counts are those of the plan, within 1 %, in its form."""
    make, wanted, wire = FILES[kind]
    path = make(tmp_path)
    planned = await foretold(service, path, wanted)
    assert planned.plan.wire == wire
    image = await upload(service, path, wanted)
    assert image["status"]["phase"] == "Ready"
    assert planned.plan.bytes == pytest.approx(await received(service), rel=0.01)
    if wire != "as-is":
        assert image["status"]["plan"]["wire"] == wire
        assert "the client left out the zeros of its" in image["status"]["plan"]["why"]


async def test_the_command_tells_all_forms(service: Client, tmp_path: Path) -> None:
    """One line says what it is, one each form, and the last one why; nothing is imported."""
    where = ("--server", service.base, "--data", str(service.data))
    ran = await importer("plan", str(sparse(tmp_path)), *where)
    assert ran.code == 0, ran
    first, heads, chosen, *others, why = ran.out.splitlines()
    assert first == (
        "raw, virtual size 24.0 MiB, size 24.0 MiB, 8.0 MiB of data, to storage class local"
    )
    assert heads.split() == ["FORM", "BYTES", "SECONDS"]
    assert chosen.split()[:2] == ["→", "raw+zstd"]
    assert [line.split()[0] for line in others] == ["as-is", "raw", "qcow2"]
    assert "not possible: the image is to be raw in the end" in others[-1]
    assert why.startswith("raw+zstd: 8.0 MiB of 24.0 MiB is data; ")
    assert await service.names() == {}


async def test_without_a_service_a_new_one_is_assumed(tmp_path: Path) -> None:
    """A plan for a file needs no service, and says that it had none; with a class it needs one."""
    nowhere = ("--server", "http://127.0.0.1:9", "--data", str(tmp_path))
    path = str(sparse(tmp_path))
    ran = await importer("plan", path, *nowhere)
    assert "to storage class local as it begins: no service answers" in ran.out
    ran = await importer("plan", path, *nowhere, "--json")
    assert (ran.json["assumed"], ran.json["plan"]["wire"]) == (True, "raw+zstd")
    ran = await importer("plan", path, *nowhere, "--storage-class", "fast", "--json")
    assert (ran.code, ran.json["error"]["slug"]) == (1, "unreachable")


async def test_a_class_that_is_not_there_is_named(service: Client, tmp_path: Path) -> None:
    """A storage class that does not exist is the caller's fault."""
    where = ("--server", service.base, "--data", str(service.data), "--json")
    ran = await importer("plan", str(sparse(tmp_path)), "--storage-class", "fast", *where)
    assert ran.json["error"]["slug"] == "unknown-storage-class"
    assert "there are local" in ran.json["error"]["message"]


async def test_what_cannot_be_stored_is_refused(service: Client, tmp_path: Path) -> None:
    """A format that is none, and a file that is no disk."""
    where = ("--server", service.base, "--data", str(service.data), "--json")
    text = tmp_path / "text.txt"
    text.write_text("no disk " * 100)
    ran = await importer("plan", str(text), *where)
    assert (ran.code, ran.json["error"]["side"]) == (3, "image")
    ran = await importer("plan", str(sparse(tmp_path)), "--format", "vmdk", *where)
    assert ran.json["error"]["slug"] == "bad-request"


async def test_a_url_is_planned_by_the_service(service: Client, tmp_path: Path) -> None:
    """The service looks at it, moves its head and tables only, and imports nothing."""
    disk = images.convert(images.raw(tmp_path / "d", DISK, 20 * MiB), tmp_path / "d.qcow2", "qcow2")
    where = ("--server", service.base, "--data", str(service.data), "--json")
    async with WebServer(disk) as web:
        ran = await importer("plan", web.url(), "--format", "raw", *where)
        assert web.sent < 2 * MiB
    assert ran.code == 0, ran
    assert ran.json["plan"]["wire"] == "raw"
    assert await service.names() == {}
