"""What goes wrong around the service in a cluster: its API, its clocks, its people, a rival."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from importer.config import apply
from importer.jobs.store import Store
from importer.model import Phase
from tests import images
from tests.api.test_cluster import Both, settings
from tests.servers.kubernetes import Fault
from tests.servers.running import Client, running
from tests.servers.site import Site, site
from tests.servers.web import WebServer

MiB = 1 << 20
MINUTES = 60.0
PLACES = ["longhorn", "longhorn-v2"]


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    """A service and a cluster, until something goes wrong."""
    async with (
        site(tmp_path / "site") as cluster,
        running(settings(tmp_path / "data", cluster)) as client,
    ):
        cluster.cdi.proxy.poll = 0.01
        yield Both(client, cluster, tmp_path)


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[WebServer]:
    """A raw disk on a web server."""
    async with WebServer(images.raw(tmp_path / "disk.raw", 8 * MiB, 4 * MiB)) as server:
        yield server


def gates(cluster: Site, place: str) -> dict[str, asyncio.Event]:
    """Return by phase what holds imports in it while it is cleared."""
    if place == "longhorn":
        fake = cluster.longhorn
        return {"Preparing": fake.scheduling, "Processing": fake.transferring}
    return {"Preparing": cluster.cdi.scheduling, "Processing": cluster.cdi.binding}


async def held(both: Both, place: str, phase: str) -> asyncio.Event:
    """Return what holds the image in *phase*, once it is there and waits for news."""
    held = gates(both.site, place)[phase]
    await both.client.until("disk", phase)
    await both.site.kubernetes.watched()
    return held


async def is_whole(both: Both, client: Client | None = None) -> None:
    """Assert that the image is Ready, and the disk."""
    image = await (client or both.client).until("disk")
    assert image["status"]["phase"] == "Ready", image["status"]
    assert images.same(both.root / "disk.raw", "raw", *both.made(image))


# --- the cluster's API


async def restart(cluster: Site) -> None:
    """Break what is open, and what comes next: as a server that is away for a moment."""
    cluster.kubernetes.fail(do="close", times=3)
    cluster.kubernetes.cut_watches()


async def forget(cluster: Site) -> None:
    """410 Gone."""
    cluster.kubernetes.expire_watches()


async def fail(cluster: Site) -> None:
    """Fail for a while, to those too who watch."""
    cluster.kubernetes.fail(status=500, times=4)
    cluster.kubernetes.cut_watches()


@pytest.mark.parametrize("trouble", [restart, forget, fail])
@pytest.mark.parametrize("place", PLACES)
async def test_the_api_server_is_in_trouble(
    both: Both, source: WebServer, place: str, trouble: Any
) -> None:
    """In both phases that wait for the cluster: the first try makes the image all the same."""
    phases = gates(both.site, place)
    for gate in phases.values():
        gate.clear()
    await both.client.fetch("disk", source.url(), storageClass=place, retries=0)
    for phase in phases:
        gate = await held(both, place, phase)
        await trouble(both.site)
        gate.set()
    await is_whole(both)
    assert len(both.site.kubernetes.calls) < 60


# --- clocks


@pytest.mark.parametrize(("api", "proxy"), [(5, 5), (-5, -5), (0, 5)])
@pytest.mark.parametrize("place", PLACES)
async def test_clocks_differ(
    both: Both, source: WebServer, place: str, api: int, proxy: int
) -> None:
    """The cluster is five minutes before us or behind, or CDI's proxy before its API server."""
    both.site.kubernetes.store.skew = timedelta(minutes=api)
    both.site.cdi.proxy.skew = proxy * MINUTES
    await both.client.fetch("disk", source.url(), storageClass=place, retries=0)
    await is_whole(both)


async def test_tokens_of_tomorrow(both: Both, source: WebServer) -> None:
    """CDI refuses what is not valid yet by its proxy's clock: people are told to look at these."""
    both.site.kubernetes.store.skew = timedelta(minutes=5)
    before = both.left()
    await both.client.fetch("disk", source.url(), storageClass="longhorn-v2")
    image = await both.client.until("disk")
    assert image["status"]["phase"] == "Failed"
    assert "are the clocks of CDI's apiserver and uploadproxy the same" in error(image)["message"]
    assert both.left() == before


def error(image: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = image["status"]["error"]
    return found


# --- a rival


@pytest.mark.parametrize("place", PLACES)
async def test_two_services_want_one_name(
    both: Both, tmp_path: Path, source: WebServer, place: str
) -> None:
    """One gets it; the other says who has it, and takes nothing away when it gives up."""
    gate = gates(both.site, place)["Preparing"]
    gate.clear()
    async with running(settings(tmp_path / "rival", both.site)) as rival:
        clients = [both.client, rival]
        fetch = [one.fetch("disk", source.url(), storageClass=place, retries=0) for one in clients]
        await asyncio.gather(*fetch)
        ends = {asyncio.create_task(one.until("disk")): one for one in clients}
        (lost,), (wins,) = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        assert error(lost.result())["slug"] == "target-busy"
        assert "made for image default/disk of another service" in error(lost.result())["message"]
        gate.set()
        await wins
        assert (await ends[lost].ask("DELETE", "/v1/images/disk"))[0] == 204
        await is_whole(both, ends[wins])
        kinds = ("backingimages", "datavolumes")
        assert sum(len(both.site.kubernetes.all(kind)) for kind in kinds) == 1
        assert (await ends[wins].ask("DELETE", "/v1/images/disk"))[0] == 204
        assert both.left() == []


# --- people


def take_away(cluster: Site) -> None:
    """Delete what images are made as."""
    for kind in ("backingimages", "datavolumes"):
        for one in cluster.kubernetes.all(kind):
            meta = one["metadata"]
            cluster.kubernetes.delete(kind, meta["namespace"], meta["name"])


@pytest.mark.parametrize("phase", ["Preparing", "Transferring", "Processing"])
@pytest.mark.parametrize("place", PLACES)
async def test_somebody_deletes_the_object_amid_an_import(
    both: Both, source: WebServer, place: str, phase: str
) -> None:
    """It is noticed and named, and nothing stays; once more, and the image is made."""
    before = both.left()
    if phase == "Transferring":
        source.stall_after = 2 * MiB
    else:
        gates(both.site, place)[phase].clear()
    await both.client.fetch("disk", source.url(), storageClass=place, retries=0)
    if phase == "Transferring":
        await source.stalled.wait()
        await both.client.until("disk", phase)
        take_away(both.site)
        source.released.set()
    else:
        gate = await held(both, place, phase)
        take_away(both.site)
        gate.set()
    image = await both.client.until("disk")
    assert image["status"]["phase"] == "Failed"
    assert error(image)["slug"] == "object-gone"
    assert "somebody" in error(image)["message"]
    assert both.left() == before
    assert (await both.client.ask("POST", "/v1/images/disk/retry"))[0] == 200
    await is_whole(both)


@pytest.mark.parametrize("place", PLACES)
async def test_somebody_deletes_the_object_of_an_image(
    both: Both, source: WebServer, place: str
) -> None:
    """Deleting the image is then all right, and its name is free again."""
    await both.client.fetch("disk", source.url(), storageClass=place)
    await is_whole(both)
    take_away(both.site)
    assert (await both.client.ask("DELETE", "/v1/images/disk"))[0] == 204
    assert both.left() == []
    await both.client.fetch("disk", source.url(), storageClass=place)
    await is_whole(both)


async def test_a_volume_that_is_deleted_amid_its_conversion(both: Both, tmp_path: Path) -> None:
    """It takes its pod with it: what is told is that somebody deleted it, not that the pod went."""
    images.raw(tmp_path / "disk.raw", 8 * MiB, 4 * MiB)
    async with WebServer(images.make("qcow2", tmp_path), stall_after=2 * MiB) as server:
        await both.client.fetch("disk", server.url(), storageClass="longhorn-v2", retries=0)
        await server.stalled.wait()
        await both.client.until("disk", "Transferring")
        both.site.cdi.server("default", "disk").converting.clear()
        server.released.set()
        await both.client.until("disk", "Processing")
    await both.site.kubernetes.watched()
    news = {"status": {"progress": "50.0%"}}
    both.site.kubernetes.apply("datavolumes", "default", "disk", news)
    take_away(both.site)
    image = await both.client.until("disk")
    assert error(image)["slug"] == "object-gone", error(image)


# --- nothing is forgotten


@pytest.fixture
async def stuck(tmp_path: Path) -> AsyncIterator[tuple[Both, Fault]]:
    """A service beside a cluster whose API server, until the fault is over, deletes nothing."""
    async with site(tmp_path / "site") as cluster:
        ours = settings(tmp_path / "data", cluster)
        async with running(apply(ours, {"kubernetes": {"patience": 0.05}})) as client:
            fault = cluster.kubernetes.fail(status=500, verb="delete", times=1000)
            yield Both(client, cluster, tmp_path), fault


@pytest.mark.parametrize("place", PLACES)
async def test_a_cancelled_image_stays_until_its_object_is_gone(
    stuck: tuple[Both, Fault], source: WebServer, place: str
) -> None:
    """While something is left of it, deleting it is an error, and can be asked for again."""
    both, fault = stuck
    gates(both.site, place)["Preparing"].clear()
    await both.client.fetch("disk", source.url(), storageClass=place)
    await held(both, place, "Preparing")
    assert (await both.client.ask("POST", "/v1/images/disk/cancel"))[0] == 200
    status, answer = await both.client.ask("DELETE", "/v1/images/disk")
    assert (status, answer["error"]["slug"]) == (503, "cluster-unavailable")
    assert await both.client.names() == {"disk": "Cancelled"}
    await goes(both, fault)


@pytest.mark.parametrize("place", PLACES)
async def test_an_upload_that_failed_stays_until_its_object_is_gone(
    stuck: tuple[Both, Fault], place: str
) -> None:
    """Its image is not forgotten as others are whose upload has failed."""
    both, fault = stuck
    wrong = {"storageClass": place, "checksum": f"md5:{'0' * 32}"}
    status, answer = await both.client.put("disk", bytes(MiB), **wrong)
    assert (status, answer["error"]["slug"]) == (422, "checksum-mismatch")
    assert await both.client.names() == {"disk": "Failed"}
    await goes(both, fault)


async def goes(both: Both, fault: Fault) -> None:
    """Assert that something is left of the image, and nothing once it can be deleted."""
    assert both.left() != []
    fault.times = 0
    assert (await both.client.ask("DELETE", "/v1/images/disk"))[0] == 204
    assert both.left() == []


@pytest.mark.parametrize("phase", [Phase.READY, Phase.TRANSFERRING])
@pytest.mark.parametrize("place", PLACES)
async def test_a_delete_that_a_start_cannot_finish_is_shown(
    tmp_path: Path, source: WebServer, place: str, phase: Phase
) -> None:
    """A crash cut it off, the cluster does not let go: it is listed, and can be deleted."""
    async with site(tmp_path / "site") as cluster:
        ours = settings(tmp_path / "data", cluster)
        async with running(ours) as client:
            await client.fetch("disk", source.url(), storageClass=place)
            await client.until("disk")
        await doomed(tmp_path / "data", phase)
        fault = cluster.kubernetes.fail(status=500, verb="delete", times=1000)
        async with running(apply(ours, {"kubernetes": {"patience": 0.05}})) as client:
            shown = "Ready" if phase is Phase.READY else "Cancelled"
            assert await client.names() == {"disk": shown}
            await goes(Both(client, cluster, tmp_path), fault)


async def doomed(data: Path, phase: Phase) -> None:
    """Leave the record of the image as a service does that is killed while it deletes it."""
    store = Store(data / "importer.db")
    await store.open()
    image = (await store.get("default", "disk")).image
    await store.remove(image)
    image = msgspec.structs.replace(
        image, status=msgspec.structs.replace(image.status, phase=phase)
    )
    await store.add(image)
    await store.doom(image)
    await store.close()
