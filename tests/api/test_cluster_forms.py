"""What goes to a cluster, in bytes: as many as the plan says, and all of them the guest's.

The disks are those of the measurements behind the plan, 128 times smaller; so are the rates that
plans reckon with, so that what was worth it there is worth it here.
"""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from importer.cli.compact import Compact, look
from importer.formats.survey import survey
from importer.jobs.rates import defaults
from importer.jobs.store import Store
from importer.model import Rates, Wire
from tests import images
from tests.api.test_cluster import Both, settings
from tests.servers.running import Client, running
from tests.servers.site import site
from tests.servers.web import WebServer

MiB = 1 << 20
SCALE = 128
DISKS = {"sparse": (64 * MiB, 4 * MiB), "dense": (32 * MiB, 12 * MiB)}
"""Name → bytes of the disk, and of data: 8 GiB with 0.5 GiB, 4 GiB with 1.5 GiB."""

PLACES = {"longhorn": "backingimage", "longhorn-v2": "cdi", "lvm": "cdi"}
FORMS = {
    ("sparse", "raw", "backingimage"): "qcow2",
    ("sparse", "raw", "cdi"): "raw+zstd",
    ("sparse", "qcow2", "backingimage"): "as-is",
    ("sparse", "qcow2", "cdi"): "as-is",
    ("sparse", "compact", "backingimage"): "qcow2",
    ("sparse", "compact", "cdi"): "raw+zstd",
    ("dense", "raw", "backingimage"): "qcow2",
    ("dense", "raw", "cdi"): "raw+zstd",
    ("dense", "qcow2", "backingimage"): "as-is",
    ("dense", "qcow2", "cdi"): "raw+zstd",
    ("dense", "compact", "backingimage"): "qcow2",
    ("dense", "compact", "cdi"): "raw+zstd",
}
"""Disk, what is given, backend → what travels. Longhorn gets the fewest bytes; CDI
pays for a qcow2's data twice, and for a frame's zeros (docs/plan.md)."""


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    """A service that takes its cluster for 128 times slower than others are."""
    data = tmp_path / "data"
    data.mkdir()
    store = Store(data / "importer.db")
    await store.open()
    for place, backend in PLACES.items():
        await store.keep_rates(place, slower(defaults(backend)))
    await store.close()
    async with (
        site(tmp_path / "site") as cluster,
        running(settings(data, cluster)) as client,
    ):
        cluster.cdi.proxy.poll = 0.01
        yield Both(client, cluster, tmp_path)


def slower(rates: Rates) -> Rates:
    return Rates(**{name: rate / SCALE for name, rate in msgspec.structs.asdict(rates).items()})


def made(folder: Path, disk: str, way: str) -> Path:
    """Return the file that is published."""
    size, data = DISKS[disk]
    path = images.raw(folder / "disk.raw", size, data)
    return images.make("qcow2", folder) if way == "qcow2" else path


async def asked(client: Client, path: Path, way: str, place: str) -> int:
    """Import *path* as *way* says, and return how many bytes went to the service for it."""
    if way != "compact":
        async with WebServer(path) as server:
            await client.fetch("disk", server.url(), storageClass=place)
            await client.until("disk")
        return path.stat().st_size
    disk = await look(path)
    assert disk
    body = Compact(disk, "raw+zstd", None, lambda _: None)
    status, image = await client.put("disk", body.chunks(), storageClass=place, **body.query)
    assert status == 200, image
    return body.sent


def received(both: Both, image: dict[str, Any]) -> int:
    """Return the bytes of bodies that came to the cluster, over all uploads."""
    namespace, _, name = image["status"]["target"]["name"].partition("/")
    if image["spec"]["backend"] == "backingimage":
        return both.site.longhorn.source(name).received
    return both.site.cdi.server(namespace, name).received


async def size_of(path: Path, wire: Wire) -> int:
    """Return how many bytes the disk in *path* is as *wire*, by its map."""
    disk = await look(path)
    assert disk
    return survey(disk.runs).sizes[wire]


async def passed(client: Client) -> dict[str, int]:
    """Return the bytes past each hop, of all classes, as Prometheus gets them."""
    async with client.http.get(f"{client.base}/metrics") as response:
        lines = (await response.text()).splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if line.startswith("importer_bytes_total{"))
    hops: Counter[str] = Counter()
    for name, value in samples:
        hops[name.split('hop="')[1].split('"')[0]] += int(float(value))
    return hops


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", ["raw", "qcow2", "compact"])
@pytest.mark.parametrize("disk", DISKS)
async def test_the_plan_is_what_travels(
    both: Both, tmp_path: Path, disk: str, way: str, place: str
) -> None:
    """In the form that was announced, as many bytes, counted so; and the guest's disk."""
    path = made(tmp_path, disk, way)
    sent = await asked(both.client, path, way, place)
    image = await both.client.image("disk")
    assert image["status"]["phase"] == "Ready", image["status"]["error"]
    plan, got = image["status"]["plan"], received(both, image)
    assert plan["wire"] == FORMS[disk, way, PLACES[place]]
    if plan["bytes"] is None:  # zeros are found on the way
        assert got == pytest.approx(await size_of(path, plan["wire"]), rel=0.01)
    else:
        assert got == plan["bytes"]
    hops = await passed(both.client)
    assert hops["source"] == sent
    assert hops["wire"] == pytest.approx(got, rel=0.01)
    assert hops["written"] == pytest.approx(got, rel=0.01)
    whole = got if plan["wire"] == "as-is" else DISKS[disk][0]
    assert hops["written"] + hops["skipped"] == whole
    assert images.same(tmp_path / "disk.raw", "raw", *both.made(image))
