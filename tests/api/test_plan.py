"""`POST /v1/plan` foretells what an import of a URL does."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from importer.jobs.rates import defaults
from importer.units import MiB
from tests import images
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(config(tmp_path / "data")) as client:
        yield client


async def plan(client: Client, **wanted: Any) -> Any:
    """Return a plan."""
    status, report = await client.ask("POST", "/v1/plan", json=wanted)
    assert status == 200, report
    return report


@pytest.mark.parametrize(
    ("kind", "wanted", "wire"),
    [
        ("raw", None, "as-is"),
        ("qcow2", None, "as-is"),
        ("qcow2", "raw", "raw"),
        ("qcow2-zlib", "raw", "raw"),
        ("qcow2-small", "raw", "raw"),
        ("vmdk", None, "as-is"),
    ],
)
@pytest.mark.parametrize("ranges", [True, False])
async def test_the_import_does_what_was_planned(
    client: Client, tmp_path: Path, kind: str, wanted: str | None, wire: str, ranges: bool
) -> None:
    """The image's own plan is the one that was asked for, and its bytes are foretold."""
    path = images.make(kind, tmp_path)
    async with WebServer(path, ranges=ranges) as web:
        report = await plan(client, url=web.url(), format=wanted)
        await client.fetch("disk", web.url(), format=wanted)
        image = await client.until("disk")
    assert (report["plan"]["wire"], image["status"]["phase"]) == (wire, "Ready")
    assert image["status"]["plan"]["wire"] == wire
    if wire == "as-is":
        assert report["plan"]["bytes"] == path.stat().st_size
    elif ranges:
        moved = await counted(client, "wire")
        assert report["plan"]["bytes"] == pytest.approx(moved, rel=0.01)


async def counted(client: Client, hop: str) -> float:
    """Return the bytes that passed *hop*."""
    async with client.http.get(f"{client.base}/metrics") as response:
        lines = (await response.text()).splitlines()
    found = [line for line in lines if line.startswith("importer_bytes_total{") and hop in line]
    return sum(float(line.rpartition(" ")[2]) for line in found)


async def test_the_map_is_fetched_and_nothing_else(client: Client, tmp_path: Path) -> None:
    """Of a qcow2 of 24 MiB, the head and the tables travel."""
    path = images.raw(tmp_path / "disk.raw", 24 * MiB, 24 * MiB)
    disk = images.convert(path, tmp_path / "disk.qcow2", "qcow2")
    async with WebServer(disk) as web:
        report = await plan(client, url=web.url(), format="raw")
        assert web.sent < 2 * MiB
    assert report["data"] == 24 * MiB


@pytest.mark.parametrize(
    ("wanted", "status", "slug"),
    [
        ({"storageClass": "fast"}, 422, "unknown-storage-class"),
        ({"format": "vmdk"}, 400, "bad-request"),
        ({"form": "raw"}, 400, "bad-request"),
        ({"url": "ftp://127.0.0.1/x"}, 400, "bad-request"),
    ],
)
async def test_refusals(
    client: Client, tmp_path: Path, wanted: dict[str, str], status: int, slug: str
) -> None:
    """What makes no plan is refused by its own name."""
    async with WebServer(images.raw(tmp_path / "disk.raw")) as web:
        asked = {"url": web.url(), **wanted}
        answer, body = await client.ask("POST", "/v1/plan", json=asked)
    assert (answer, body["error"]["slug"]) == (status, slug)


async def test_tables_that_cannot_be_are_refused(client: Client, tmp_path: Path) -> None:
    """A damaged qcow2 is told of before it is imported."""
    path = images.make("qcow2", tmp_path)
    content = bytearray(path.read_bytes())
    at = int.from_bytes(content[40:48], "big")  # The L1 table: an entry far beyond the file.
    content[at : at + 8] = (1 << 63 | 1 << 40).to_bytes(8, "big")
    async with WebServer(bytes(content)) as web:
        status, body = await client.ask("POST", "/v1/plan", json={"url": web.url()})
    assert (status, body["error"]["slug"]) == (422, "corrupt-image")


async def test_classes_tell_what_plans_are_made_of(client: Client) -> None:
    """A class says what it takes and how fast it is; a new one has the defaults."""
    _, listed = await client.ask("GET", "/v1/storageclasses")
    (found,) = listed["items"]
    assert found["wires"] == ["as-is", "raw", "raw+zstd", "qcow2"]
    assert (found["stores"], found["converts"]) == (["raw", "qcow2"], True)
    assert found["rates"]["write"] == defaults("local").write
