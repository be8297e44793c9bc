"""What the service counts of its own path is what passed: hops, sides, phases, tries, ends."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from importer.metrics import REASONS, Metrics
from importer.model import Phase, StorageClass
from tests import images
from tests.api.test_cluster import Both, settings
from tests.servers.gated import Gate, gated
from tests.servers.running import Client, config, running
from tests.servers.site import site
from tests.servers.tus import Tus
from tests.servers.web import WebServer
from tests.test_metrics import value

MiB = 1 << 20
HELD = 0.3
"""Seconds that something is held up: what is counted is at least that long, however busy."""


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service on an empty directory."""
    async with running(config(tmp_path / "data")) as client:
        yield client


async def text_of(client: Client) -> str:
    async with client.http.get(f"{client.base}/metrics") as response:
        return await response.text()


async def hops(client: Client, **labels: str) -> dict[str, float]:
    text = await text_of(client)
    names = ("source", "wire", "written", "skipped")
    return {hop: value(text, "importer_bytes_total", hop=hop, **labels) for hop in names}


async def stalls(client: Client) -> dict[str, float]:
    text = await text_of(client)
    sides = ("source", "target")
    return {side: value(text, "importer_stall_seconds_total", side=side) for side in sides}


# --- bytes


async def test_bytes_of_a_url(client: Client, tmp_path: Path) -> None:
    """A raw file: as many come in as go out, and they are data or zeros."""
    disk = images.raw(tmp_path / "d.raw", 16 * MiB, data=4 * MiB)
    async with WebServer(disk) as server:
        await client.fetch("disk", server.url())
        await client.until("disk")
    found = await hops(client)
    assert found["source"] == found["wire"] == found["written"] + found["skipped"] == 16 * MiB
    assert 4 * MiB <= found["written"] <= 4 * MiB + 16 * 1024


async def test_bytes_of_a_disk_that_is_laid_out(client: Client, tmp_path: Path) -> None:
    """A qcow2 that becomes raw: only its data goes on, and nothing of the disk is missing."""
    disk = images.make("qcow2", tmp_path, 16 * MiB)
    async with WebServer(disk) as server:
        await client.fetch("disk", server.url(), format="raw")
        image = await client.until("disk")
    found = await hops(client)
    assert found["source"] == disk.stat().st_size
    assert found["written"] + found["skipped"] == image["status"]["virtualSize"] == 16 * MiB
    assert found["written"] <= found["wire"] < found["source"]


async def test_bytes_of_a_compressed_upload(client: Client, tmp_path: Path) -> None:
    """What comes in is the file as published; what goes out is what was inside."""
    disk = images.raw(tmp_path / "d.raw", 8 * MiB).read_bytes()
    packed = gzip.compress(disk, 1)
    assert (await client.put("disk", packed))[0] == 200
    found = await hops(client)
    assert (found["source"], found["wire"]) == (len(packed), len(disk))


async def test_bytes_of_an_upload_in_pieces(client: Client, tmp_path: Path) -> None:
    """tus: a byte that was sent twice came twice, and was taken once."""
    disk = images.raw(tmp_path / "d.raw", 4 * MiB, data=4 * MiB).read_bytes()
    tus = Tus(client)
    path = await tus.begun("disk", len(disk))
    await tus.patch(path, 0, disk[: 2 * MiB])
    refused = await tus.patch(path, 0, disk[: 2 * MiB])
    assert refused.status == 409
    await tus.send(path, disk)
    assert (await client.until("disk"))["status"]["phase"] == "Ready"
    found = await hops(client)
    assert found["source"] == found["wire"] == len(disk)


@pytest.mark.parametrize("place", ["longhorn", "longhorn-v2"])
async def test_bytes_to_a_cluster(tmp_path: Path, place: str) -> None:
    """What the class was sent is what its server got, its labels say which; zeros are none."""
    disk = images.raw(tmp_path / "d.raw", 16 * MiB, data=4 * MiB)
    async with (
        site(tmp_path / "site") as cluster,
        running(settings(tmp_path / "data", cluster)) as client,
        WebServer(disk) as server,
    ):
        both = Both(client, cluster, tmp_path)
        await client.fetch("disk", server.url(), storageClass=place)
        image = await client.until("disk")
        assert image["status"]["phase"] == "Ready", image["status"]
        found = await hops(client, storage_class=place)
        made, _ = both.made(image)
        got = sum(one.received for one in cluster.cdi.servers.values()) or made.stat().st_size
        assert got <= found["wire"] <= got + 1024  # the frame of a form, where there is one
        assert found["source"] >= 16 * MiB  # and what was read once more to choose a form
        assert found["written"] + found["skipped"] == 16 * MiB
        assert found["skipped"] > 8 * MiB
        assert value(await text_of(client), "importer_bytes_total", storage_class="lvm") == 0


async def test_bytes_of_tries_that_failed_are_counted(tmp_path: Path) -> None:
    """What a pod got before it was killed was sent, though nothing was made of it."""
    disk = images.raw(tmp_path / "d.raw", 16 * MiB, data=16 * MiB)
    async with (
        site(tmp_path / "site") as cluster,
        running(settings(tmp_path / "data", cluster)) as client,
        WebServer(disk) as server,
    ):
        cluster.cdi.tries.append({"kill_after": 8 * MiB})
        await client.fetch("disk", server.url(), storageClass="longhorn-v2")
        assert (await client.until("disk"))["status"]["phase"] == "Ready"
        text, found = await text_of(client), await hops(client)
        assert found["wire"] >= 8 * MiB + 16 * MiB
        assert found["source"] >= found["wire"] - MiB
        assert found["written"] == 16 * MiB
        assert value(text, "importer_retries_total", side="target") == 1
        name, of = "importer_phase_seconds_count", {"phase": "Transferring"}
        assert value(text, name, outcome="retried", **of) == 1
        assert value(text, name, outcome="done", **of) == 1
        assert value(text, "importer_phase_seconds_sum", outcome="retried", **of) > 0


# --- waiting


async def test_a_source_is_waited_for(client: Client, tmp_path: Path) -> None:
    """While it stalls the seconds are counted for it, though the import never gets further."""
    disk = images.raw(tmp_path / "d.raw", 8 * MiB, data=8 * MiB)
    began = time.monotonic()
    async with WebServer(disk, stall_after=4 * MiB, ranges=False) as server:
        await client.fetch("disk", server.url())
        await server.stalled.wait()
        await client.until("disk", "Transferring")
        await asyncio.sleep(HELD)  # time itself is what is counted here
        assert (await client.ask("POST", "/v1/images/disk/cancel"))[0] == 200
    found, whole = await stalls(client), time.monotonic() - began
    assert found["source"] >= HELD * 0.9
    assert found["target"] <= whole - HELD * 0.9


async def test_a_target_is_waited_for(tmp_path: Path) -> None:
    """While it takes nothing the seconds are counted for it; its preparations have a phase."""
    disk = images.raw(tmp_path / "d.raw", 8 * MiB, data=8 * MiB).read_bytes()
    for point, is_stall in (("before prepare", False), ("amid write", True)):
        settings, gate = config(tmp_path / point), Gate(point)
        async with running(settings, gated(settings, gate)) as client:
            began = time.monotonic()
            sending = asyncio.create_task(client.put("disk", disk))
            await gate.reached.wait()
            await asyncio.sleep(HELD)  # as above
            gate.opened.set()
            assert (await sending)[0] == 200
            whole = time.monotonic() - began
            target = (await stalls(client))["target"]
            if is_stall:
                assert target >= HELD * 0.9
            else:
                assert target <= whole - HELD * 0.9
                preparing = value(
                    await text_of(client), "importer_phase_seconds_sum", phase="Preparing"
                )
                assert preparing >= HELD * 0.9


# --- ends


async def test_a_cancelled_import(client: Client, tmp_path: Path) -> None:
    """It is one that was cancelled, in the phase that it was in; its bytes came all the same."""
    disk = images.raw(tmp_path / "d.raw", 8 * MiB, data=8 * MiB)
    async with WebServer(disk, stall_after=4 * MiB, ranges=False) as server:
        await client.fetch("disk", server.url())
        await server.stalled.wait()
        await client.until("disk", "Transferring")
        await client.ask("POST", "/v1/images/disk/cancel")
        await client.until("disk")
    text, found = await text_of(client), await hops(client)
    assert 0 < found["source"] <= 4 * MiB
    assert found["written"] == found["skipped"] == 0
    assert value(text, "importer_images_total") == 1
    assert value(text, "importer_images_total", outcome="cancelled", reason="") == 1
    of = {"phase": "Transferring", "outcome": "cancelled"}
    assert value(text, "importer_phase_seconds_count", **of) == 1
    assert value(text, "importer_active_images") == 0


async def test_who_waits_and_who_runs(tmp_path: Path) -> None:
    """Each image is in one phase: one runs, two wait for the worker, and then none is anywhere."""
    disk = images.raw(tmp_path / "d.raw", MiB).read_bytes()
    settings, gate = config(tmp_path / "data", jobs={"workers": 1}), Gate("before write")
    async with running(settings, gated(settings, gate)) as client:
        sending = [asyncio.create_task(client.put(f"d{number}", disk)) for number in range(3)]
        await gate.reached.wait()
        while value(text := await text_of(client), "importer_active_images", phase="Pending") < 2:
            await asyncio.sleep(0)  # the others are on their way
        assert value(text, "importer_active_images", phase="Transferring") == 1
        assert value(text, "importer_active_images") == 3
        gate.opened.set()
        assert {status for status, _ in await asyncio.gather(*sending)} == {200}
        assert value(await text_of(client), "importer_active_images") == 0


# --- series


def series(text: str) -> set[str]:
    """Return name and labels of every series."""
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


async def test_every_series_is_there_before_anything_happens(
    client: Client, tmp_path: Path
) -> None:
    """Imports that succeed, fail, are retried and cancelled add none: increase() sees the first."""
    before = series(await text_of(client))
    qcow2 = images.make("qcow2", tmp_path).read_bytes()
    assert (await client.put("good", qcow2))[0] == 200
    assert (await client.put("bad", b"no image"))[0] == 422
    async with WebServer(qcow2, statuses=[503, 404]) as server:
        await client.fetch("gone", server.url())
        await client.until("gone")
    async with WebServer(qcow2, stall_after=1000) as server:
        await client.fetch("stopped", server.url())
        await server.stalled.wait()
        await client.ask("POST", "/v1/images/stopped/cancel")
        await client.until("stopped")
    after = {one for one in series(await text_of(client)) if not one.startswith("importer_cop")}
    assert after <= before


HOSTILE = ['a"b', "a\\b", "a\nb", "{}", "", "ä" * 253, "x" * 5_000, '",le="+Inf', "\u2028"]


def test_series_are_classes_times_a_fixed_set() -> None:
    """Whatever classes are called and whatever reasons are given, each has the same series."""
    metrics = Metrics()
    none = len(series(metrics.text().decode()))
    ordinary = StorageClass(name="c", provisioner="p", backend="b", engine="e")
    metrics.of(ordinary)
    each = len(series(metrics.text().decode())) - none
    assert each < 500
    for name in HOSTILE:
        one = metrics.of(StorageClass(name=name, provisioner="p", backend="b", engine=name))
        for reason in [*HOSTILE, *REASONS]:
            one.ended("failed", reason or "internal")
            one.retried(reason)
        for phase in Phase:
            one.entered(phase)
    families = list(text_string_to_metric_families(metrics.text().decode()))
    labels = [sample.labels for family in families for sample in family.samples]
    told = {one["storage_class"] for one in labels if "storage_class" in one}
    assert told == {*HOSTILE, "c"}
    assert {one["reason"] for one in labels if "reason" in one} == {*REASONS, ""}
    for name in told:
        assert sum(one.get("storage_class") == name for one in labels) <= each + len(REASONS)
