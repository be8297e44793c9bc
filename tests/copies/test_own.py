"""Imports of this service are copies too: measured, one for each try."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from importer.model import Copy
from tests import images
from tests.servers.running import Client, config, running, until
from tests.servers.web import WebServer

MiB = 1 << 20
OF = 'backend="local",engine="local",storage_class="local",strategy="import"'


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service without a cluster."""
    async with running(config(tmp_path / "data")) as client:
        yield client


async def told(client: Client, name: str, more: str = "") -> float:
    """Return what Prometheus is told of copies by import."""
    async with client.http.get(f"{client.base}/metrics") as response:
        lines = (await response.text()).splitlines()
    wanted = {*OF.split(","), *filter(None, more.split(","))}
    for line in lines:
        series, _, value = line.rpartition(" ")
        found, _, labels = series.partition("{")
        if found == name and wanted == set(labels.strip("}").split(",")):
            return float(value)
    raise AssertionError(f"no {name}{{{wanted}}}")


async def copies(client: Client, count: int, last: str = "") -> list[dict[str, Any]]:
    """Return the copies that are over, newest first, once there are *count*; *last*: the state
    that the newest must have."""
    with client.service.copies.listener() as listener:
        while True:
            _, found = await client.ask("GET", "/v1/copies")
            over = [copy for copy in found["items"] if copy["state"] != "Running"]
            if len(over) >= count and last in ("", over[0]["state"]):
                return over
            await listener.batch()


async def test_bytes_are_those_that_were_sent(client: Client, tmp_path: Path) -> None:
    """What is exported is what went to the target, from the first byte until it was Ready."""
    disk = images.raw(tmp_path / "d.raw", 32 * MiB, data=5 * MiB)
    status, image = await client.put("disk", disk.read_bytes())
    assert status == 200
    (copy,) = await copies(client, 1)
    sent = await told_wire(client)
    assert (copy["state"], copy["basis"], copy["isHint"]) == ("Done", "measured", False)
    assert (copy["done"], copy["total"], copy["uid"]) == (sent, sent, image["uid"])
    assert (copy["strategy"], copy["source"]) == ("import", "upload")
    assert await told(client, "importer_copy_bytes_total", 'basis="measured"') == sent
    seconds = sum(
        one["seconds"]
        for one in image["status"]["phases"]
        if one["name"] in ("Transferring", "Processing")
    )
    assert copy["seconds"] == pytest.approx(seconds, abs=0.002)
    counted = await told(client, "importer_copy_seconds_total", 'basis="measured"')
    assert counted == pytest.approx(copy["seconds"], abs=0.002)


async def told_wire(client: Client) -> float:
    """Return the bytes that were sent, as the import's own metrics have it."""
    async with client.http.get(f"{client.base}/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if 'hop="wire"' in line)


async def test_running_import_is_a_running_copy(client: Client, tmp_path: Path) -> None:
    """It is there with its bytes while it runs, and counted as deleted when it is cancelled."""
    disk = images.raw(tmp_path / "d.raw", 32 * MiB, data=32 * MiB)
    async with WebServer(disk, stall_after=24 * MiB, ranges=False) as server:
        await client.fetch("disk", server.url())
        service = client.service
        await until(lambda: any(copy.done >= 20 * MiB for copy in service.copies.running()))
        (copy,) = service.copies.running()
        assert (copy.state, copy.phase, copy.source) == ("Running", "Transferring", server.url())
        assert await told(client, "importer_copy_active") == 1
        await client.ask("POST", "/v1/images/disk/cancel")
        (over,) = await copies(client, 1)
    assert over["done"] >= copy.done
    assert (over["state"], over["reason"]) == ("Failed", "deleted")
    ended = await told(client, "importer_copies_total", 'outcome="deleted",reason=""')
    assert ended == 1
    assert await told(client, "importer_copy_active") == 0


async def test_each_try_is_a_copy(client: Client, tmp_path: Path) -> None:
    """A try that fails counts what it sent, with the side at fault; the next is another copy."""
    disk = images.raw(tmp_path / "d.raw", 8 * MiB, data=8 * MiB)
    async with WebServer(disk, short_after=4 * MiB, ranges=False, etag="") as server:
        await client.fetch("disk", server.url(), retries=20)
        await copies(client, 1)
        server.short_after = None
        await client.until("disk", "Ready")
        over = await copies(client, 2, "Done")
    done, *failed = over
    first = failed[-1]
    assert {(one["state"], one["reason"]) for one in failed} == {("Failed", "source")}
    assert done["uid"] == f"{first['uid']}/{len(failed) + 1}"
    assert 0 < first["done"] < done["done"] == 8 * MiB
    counted = await told(client, "importer_copy_bytes_total", 'basis="measured"')
    assert counted == sum(one["done"] for one in over)
    reason = 'outcome="failed",reason="source"'
    assert await told(client, "importer_copies_total", reason) == len(failed)


async def test_restart_keeps_the_totals(tmp_path: Path) -> None:
    """A service that starts again tells Prometheus the same totals, and knows the last copies."""
    settings = config(tmp_path / "data")
    disk = images.raw(tmp_path / "d.raw", 4 * MiB, data=4 * MiB).read_bytes()
    async with running(settings) as client:
        await client.put("disk", disk)
        (copy,) = await copies(client, 1)
        before = await told(client, "importer_copy_bytes_total", 'basis="measured"')
    async with running(settings) as client:
        after = await told(client, "importer_copy_bytes_total", 'basis="measured"')
        (again,) = await copies(client, 1)
        await client.put("other", disk)
        await copies(client, 2)
        twice = await told(client, "importer_copy_bytes_total", 'basis="measured"')
    assert before == after == copy["done"]
    assert twice == 2 * before
    assert again == copy


async def test_copy_that_ends_as_the_service_stops_is_kept(tmp_path: Path) -> None:
    """What became Ready in the last moment is counted, at the latest when the service is gone."""
    settings = config(tmp_path / "data")
    disk = images.raw(tmp_path / "d.raw", 4 * MiB, data=4 * MiB).read_bytes()
    async with running(settings) as client:
        await client.put("disk", disk)
    async with running(settings) as client:
        recent: list[Copy] = client.service.copies.recent()
    assert [copy.state for copy in recent] == ["Done"]
