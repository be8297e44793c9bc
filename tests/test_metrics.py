"""The numbers are true, few, and a real Prometheus can ask them."""

import asyncio
import contextlib
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from importer.errors import ImporterError
from tests import images
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer

MiB = 1 << 20
LABELS = 'backend="local",engine="local",storage_class="local"'


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service on an empty directory that Prometheus may scrape."""
    settings = config(tmp_path / "data", service={"scrape_token": "scrape-me"})
    async with running(settings) as client:
        yield client


async def scraped(client: Client) -> str:
    async with client.http.get(f"{client.base}/metrics") as response:
        assert response.status == 200
        return await response.text()


def value(text: str, name: str, **labels: str) -> float:
    """Return the sum of a metric's series that have *labels*."""
    found = 0.0
    for line in text.splitlines():
        series, _, number = line.rpartition(" ")
        if series.partition("{")[0] == name and all(
            f'{label}="{wanted}"' in series for label, wanted in labels.items()
        ):
            found += float(number)
    return found


async def test_the_bytes_of_an_import_add_up(client: Client, tmp_path: Path) -> None:
    """Source, written and skipped bytes are those of the file; the ends and phases are counted."""
    disk = images.raw(tmp_path / "d.raw", 16 * MiB, data=4 * MiB)
    assert (await client.put("disk", disk.read_bytes()))[0] == 200
    text = await scraped(client)
    written = value(text, "importer_bytes_total", hop="written")
    skipped = value(text, "importer_bytes_total", hop="skipped")
    assert value(text, "importer_bytes_total", hop="source") == 16 * MiB
    assert written + skipped == 16 * MiB
    assert 4 * MiB <= written <= 4 * MiB + 16 * 1024
    assert value(text, "importer_images_total", outcome="ready") == 1
    for phase in ("Inspecting", "Preparing", "Transferring", "Processing"):
        assert value(text, "importer_phase_seconds_count", phase=phase, outcome="done") == 1
    assert value(text, "importer_active_images") == 0
    assert value(text, "importer_transfer_bytes_per_second_count") == 1
    assert LABELS in text


async def test_failures_and_retries_have_their_reason(client: Client, tmp_path: Path) -> None:
    """What failed, and was tried again, is counted by side and slug."""
    content = images.make("qcow2", tmp_path).read_bytes()
    async with WebServer(content, statuses=[503, 404]) as server:
        await client.fetch("disk", server.url())
        await client.until("disk")
    text = await scraped(client)
    assert value(text, "importer_retries_total", side="source", reason="source-unavailable") == 1
    assert value(text, "importer_images_total", outcome="failed", reason="source-failed") == 1
    assert value(text, "importer_active_images") == 0


async def test_no_series_grows_with_the_images(client: Client) -> None:
    """Ten images that fail make as many series as one: no name is a label."""
    counts = []
    for rounds in (1, 10):
        for number in range(rounds):
            await client.put(f"i{rounds}-{number}", b"no image")
        counts.append(len((await scraped(client)).splitlines()))
    assert counts[0] == counts[1]
    assert len(list(_tree(ImporterError))) < 60


def _tree(error: type[ImporterError]) -> list[type[ImporterError]]:
    return [error, *(leaf for child in error.__subclasses__() for leaf in _tree(child))]


async def test_promtool_finds_nothing_to_say(client: Client, tmp_path: Path) -> None:
    """Debian's promtool accepts names, types and help of every metric."""
    await client.put("disk", images.make("qcow2", tmp_path).read_bytes())
    text = await scraped(client)
    process = await asyncio.create_subprocess_exec(
        *("promtool", "check", "metrics"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out, _ = await process.communicate(text.encode())
    assert process.returncode == 0, out.decode()


@contextlib.asynccontextmanager
async def prometheus(target: str, folder: Path) -> AsyncIterator[str]:
    """Run Debian's Prometheus, which scrapes *target* five times a second."""
    settings = {
        "global": {"scrape_interval": "200ms"},
        "scrape_configs": [
            {
                "job_name": "importer",
                "authorization": {"credentials": "scrape-me"},
                "static_configs": [{"targets": [target]}],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address={address}",
        "--log.level=error",
    )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_prometheus_answers_how_fast(client: Client, tmp_path: Path) -> None:
    """Debian's Prometheus scrapes the service during an import and answers a rate query."""
    disk = images.raw(tmp_path / "d.raw", 32 * MiB, data=32 * MiB)
    query = 'rate(importer_bytes_total{hop="source",storage_class="local"}[10s]) > 0'
    async with (
        prometheus(client.base.removeprefix("http://"), tmp_path) as base,
        WebServer(disk, stall_after=24 * MiB, ranges=False) as server,
        aiohttp.ClientSession() as http,
    ):
        small = images.make("qcow2", tmp_path).read_bytes()
        await client.put("before", small)  # from here on the series is there
        await answers(http, base, "importer_bytes_total")
        await client.fetch("disk", server.url())
        (result,) = await answers(http, base, query)
        assert result["metric"]["engine"] == "local"
        assert float(result["value"][1]) > 0
        active = await answers(http, base, 'importer_active_images{phase="Transferring"} == 1')
        assert len(active) == 1
        server.released.set()
        assert (await client.until("disk"))["status"]["phase"] == "Ready"


async def answers(http: aiohttp.ClientSession, base: str, query: str) -> list[dict]:
    """Return the result of *query* as soon as it has one; the test's timeout bounds it."""
    while True:
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with http.get(f"{base}/api/v1/query", params={"query": query}) as response:
                # It answers 503 while it starts.
                found = await response.json() if response.status == 200 else {}
                if result := found.get("data", {}).get("result"):
                    return result
        await asyncio.sleep(0.1)
