"""kill -9 beside a cluster, in every phase: one whole object comes of it, and nothing beside it."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests import images
from tests.api.test_cluster import Both, settings
from tests.crash.dying import Mortal, dying
from tests.crash.test_crash import ask, reaches
from tests.servers.gated import POINTS
from tests.servers.running import Client, running
from tests.servers.site import Site, site
from tests.servers.web import WebServer

MiB = 1 << 20
PLACES = ["longhorn", "longhorn-v2"]
STEPS = [point for point in POINTS if "remove" not in point]
UPLOADS = [point for point in STEPS if "settle" not in point]
"""Until then its client is owed an answer."""

WHOLE = {
    "longhorn": {"backingimages": 1, "backingimagedatasources": 1},
    "longhorn-v2": {
        "datavolumes": 1,
        "persistentvolumeclaims": 1,
        "persistentvolumes": 1,
    },
}
"""Class → how many objects of each kind there are beside a finished image."""

KINDS = sorted({"pods", "volumeuploadsources", *WHOLE["longhorn"], *WHOLE["longhorn-v2"]})


def often(points: list[str], *most: str) -> list[Any]:
    """Return *points* as parameters; those that are not of the *most* telling ones are soak."""
    return [p if p in most else pytest.param(p, marks=pytest.mark.soak) for p in points]


def mortal(data: Path, point: str, cluster: Site) -> AbstractAsyncContextManager[Mortal]:
    """Run a service beside *cluster* that dies at *point*."""
    where = (str(data), point, str(cluster.kubeconfig), cluster.longhorn.url)
    return dying("tests.crash.mortal_cluster", *where)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Site]:
    """A cluster that outlives the services beside it."""
    async with site(tmp_path / "site") as found:
        found.cdi.proxy.poll = 0.01
        yield found


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A qcow2: put down by the service for Longhorn, converted by CDI."""
    images.raw(tmp_path / "disk.raw", 8 * MiB, 4 * MiB)
    return images.make("qcow2", tmp_path)


def wanted(url: str, place: str, name: str = "disk") -> dict[str, Any]:
    source = {"type": "url", "url": url}
    return {"name": name, "spec": {"source": source, "storageClass": place, "retries": 0}}


def counted(cluster: Site) -> dict[str, int]:
    """Return how many objects there are of each kind that images are made of."""
    return dict(Counter(kind for kind in KINDS for _ in cluster.kubernetes.all(kind)))


async def is_whole(client: Client, cluster: Site, disk: Path, place: str) -> None:
    """Assert that the image is Ready, equals *disk*, and is all that is there."""
    image = await client.until("disk")
    assert image["status"]["phase"] == "Ready", image["status"]
    both = Both(client, cluster, disk.parent)
    assert images.same(disk, "qcow2", *both.made(image))
    assert counted(cluster) == WHOLE[place]
    assert not any((client.data / "spool").glob("*"))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("point", often(STEPS, "amid write", "after finish"))
async def test_killed_while_importing_a_url(
    tmp_path: Path, cluster: Site, disk: Path, point: str, place: str
) -> None:
    """After the restart the image becomes Ready by itself, whole, with nothing beside it."""
    data = tmp_path / "data"
    async with WebServer(disk) as server:
        async with mortal(data, point, cluster) as (process, http, base):
            await ask(http, "POST", f"{base}/v1/images", json=wanted(server.url(), place))
            assert await process.wait() == -signal.SIGKILL
        async with running(settings(data, cluster)) as client:
            await is_whole(client, cluster, disk, place)


def gate(cluster: Site, place: str, phase: str) -> asyncio.Event:
    """Hold imports in *phase*, by what the cluster does in it, until the gate is opened."""
    if place == "longhorn":
        gates = {
            "Preparing": cluster.longhorn.scheduling,
            "Processing": cluster.longhorn.transferring,
        }
    else:
        gates = {"Preparing": cluster.cdi.scheduling, "Processing": cluster.cdi.binding}
    gates[phase].clear()
    return gates[phase]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("phase", ["Preparing", "Processing"])
async def test_killed_while_the_cluster_works(
    tmp_path: Path, cluster: Site, disk: Path, phase: str, place: str
) -> None:
    """Killed while it waits for a pod, or for what follows the last byte: the same."""
    data, held = tmp_path / "data", gate(cluster, place, phase)
    async with WebServer(disk) as server:
        async with mortal(data, "never", cluster) as (process, http, base):
            await ask(http, "POST", f"{base}/v1/images", json=wanted(server.url(), place))
            await reaches(http, f"{base}/v1/images/disk/events", phase)
            process.kill()
        held.set()
        async with running(settings(data, cluster)) as client:
            await is_whole(client, cluster, disk, place)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("point", often(UPLOADS, "amid write"))
async def test_killed_while_taking_an_upload(
    tmp_path: Path, cluster: Site, disk: Path, point: str, place: str
) -> None:
    """After the restart the image waits for its bytes, nothing of the first try is left, and the
    same upload makes it Ready."""
    data, query = tmp_path / "data", {"storageClass": place}
    async with mortal(data, point, cluster) as (process, http, base):
        url = f"{base}/v1/images/disk/content"
        await ask(http, "PUT", url, data=disk.open("rb"), params=query)
        assert await process.wait() == -signal.SIGKILL
    async with running(settings(data, cluster)) as client:
        assert await client.names() == {"disk": "Pending"}
        await gone(cluster)
        assert (await client.put("disk", disk.read_bytes()))[0] == 200
        await is_whole(client, cluster, disk, place)


async def gone(cluster: Site) -> None:
    """Wait until the controllers have taken away what belonged to deleted objects."""
    assert not cluster.kubernetes.all("backingimages")
    assert not cluster.kubernetes.all("datavolumes")
    while counted(cluster):
        await cluster.kubernetes.store.changed()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("point", often(["before remove", "after remove"], "after remove"))
async def test_killed_while_deleting(
    tmp_path: Path, cluster: Site, disk: Path, point: str, place: str
) -> None:
    """A delete that was begun is finished at the next start."""
    data, query = tmp_path / "data", {"storageClass": place}
    async with mortal(data, point, cluster) as (process, http, base):
        url = f"{base}/v1/images/disk"
        await ask(http, "PUT", f"{url}/content", data=disk.open("rb"), params=query)
        await ask(http, "DELETE", url)
        assert await process.wait() == -signal.SIGKILL
    async with running(settings(data, cluster)) as client:
        assert await client.names() == {}
        await gone(cluster)
