"""Clients that are away for a while, and targets of a cluster that wait for them, or do not."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from importer.jobs.uploads import Upload
from importer.stream.trickle import Silence
from importer.targets.backingimage.upload import Pace
from tests import images
from tests.api.test_cluster import Both, settings
from tests.servers.clock import HandClock
from tests.servers.cutting import Cutting
from tests.servers.running import Client, config, running, until
from tests.servers.site import Site, site
from tests.servers.tus import Tus
from tests.targets.longhorn import longhorn_member, skip

MiB = 1 << 20
PLACES = ["longhorn", "longhorn-v2"]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A raw disk of 8 MiB, data from its first to its last MiB."""
    return images.raw(tmp_path / "disk.raw", data=8 * MiB)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Site]:
    """A cluster that outlives the services beside it."""
    async with site(tmp_path / "site") as found:
        found.cdi.proxy.poll = 0.01
        yield found


def of(client: Client, path: str) -> Upload:
    """Return the upload at *path*."""
    return client.service.uploads.find(path.rpartition("/")[2])


async def sent(client: Client, path: str, content: bytes) -> None:
    """Send the beginning of a file, and wait until its import has to wait for more."""
    assert (await Tus(client).patch(path, 0, content)).offset == len(content)
    upload = of(client, path)
    await until(lambda: upload.source.waits)


async def whole(client: Client, cluster: Site, root: Path, disk: Path, tries: int) -> None:
    """See that the image is Ready after so many tries, equals *disk*, and is all that is there."""
    image = await client.until("disk")
    assert (image["status"]["phase"], image["status"]["attempt"]) == ("Ready", tries), image
    both = Both(client, cluster, root)
    assert images.same(disk, "raw", *both.made(image))
    assert len([name for name in both.left() if name.startswith(("back", "data"))]) == 1


async def test_longhorn_is_never_silent_while_its_client_is_away(
    tmp_path: Path, disk: Path
) -> None:
    """A minute without a byte of the client is none without a byte for Longhorn (it bears 30 s)."""
    clock, pace = HandClock(), Pace(silence=Silence(pause=0.05))
    async with (
        longhorn_member(tmp_path, pace=pace, clock=clock) as member,
        running(config(tmp_path / "data"), {"fast": member.shelf}) as client,
    ):
        content = disk.read_bytes()
        path = await Tus(client).begun("disk", len(content))
        await sent(client, path, content[: 4 * MiB])
        source = member.longhorn.source(member.name)
        for _ in range(3):
            before = source.received
            await until(lambda: source.received > before)  # noqa: B023  # waited for at once
            clock.advance(20)
        answer = await Tus(client).patch(path, 4 * MiB, content[4 * MiB :])
        assert answer.offset == len(content)
        image = await client.until("disk")
        assert (image["status"]["phase"], image["status"]["attempt"]) == ("Ready", 1)
        assert source.path.read_bytes() == content


async def test_longhorn_is_not_asked_before_the_bytes_flow(tmp_path: Path, disk: Path) -> None:
    """A client that stays away after its first MiB has had nothing opened that times out."""
    async with (
        longhorn_member(tmp_path) as member,
        running(config(tmp_path / "data"), {"fast": member.shelf}) as client,
    ):
        content = disk.read_bytes()
        path = await Tus(client).begun("disk", len(content))
        await sent(client, path, content[: MiB + 1])
        await client.until("disk", "Transferring")
        assert member.longhorn.manager.requests == []
        assert (await Tus(client).patch(path, MiB + 1, content[MiB + 1 :])).status == 204
        image = await client.until("disk")
        assert (image["status"]["phase"], image["status"]["attempt"]) == ("Ready", 1)


@pytest.mark.parametrize("place", PLACES)
async def test_a_long_absence_costs_one_restart(
    tmp_path: Path, cluster: Site, disk: Path, place: str
) -> None:
    """The cluster is let go of what it had; the client finds the offset at 0 and sends again."""
    content = disk.read_bytes()
    async with running(settings(tmp_path / "data", cluster)) as client:
        path = await Tus(client).begun("disk", len(content), storageClass=place)
        await sent(client, path, content[: 4 * MiB])
        assert Both(client, cluster, tmp_path).left() != []
        skip(300)
        image = await client.until("disk", "Pending")
        assert image["status"]["error"]["slug"] == "client-away"
        assert objects(cluster) == 0
        assert (await Tus(client).patch(path, 4 * MiB, content[4 * MiB :])).status == 409
        await Tus(client).send(path, content)
        await whole(client, cluster, tmp_path, disk, 2)


async def test_a_target_that_dies_while_its_client_is_away(
    tmp_path: Path, cluster: Site, disk: Path
) -> None:
    """Costs a restart, and none of the image's tries: here it has only one."""
    content = disk.read_bytes()
    body = {"source": {"type": "upload"}, "storageClass": "longhorn-v2", "retries": 0}
    wanted = settings(tmp_path / "data", cluster, upload={"rest": 0.05})
    async with running(wanted) as client:
        await client.ask("POST", "/v1/images", json={"name": "disk", "spec": body})
        path = await Tus(client).begun("disk", len(content))
        await sent(client, path, content[: 7 * MiB])
        await until(lambda: of(client, path).job.away)
        (made,) = cluster.kubernetes.all("datavolumes")
        await cluster.cdi.kill_pod(made["metadata"]["namespace"], made["metadata"]["name"])
        image = await client.until("disk", "Pending")
        assert image["status"]["error"]["slug"] == "target-unavailable"
        await Tus(client).send(path, content)
        await whole(client, cluster, tmp_path, disk, 2)


@pytest.mark.parametrize("place", PLACES)
async def test_an_abandoned_upload_leaves_nothing_in_the_cluster(
    tmp_path: Path, cluster: Site, disk: Path, place: str
) -> None:
    """After its expiry the image has failed, and nothing of it is anywhere."""
    content = disk.read_bytes()
    async with running(settings(tmp_path / "data", cluster)) as client:
        path = await Tus(client).begun("disk", len(content), storageClass=place)
        await sent(client, path, content[: 4 * MiB])
        skip(300)
        await client.until("disk", "Pending")
        await until(lambda: skipped(3600))
        image = await client.until("disk", "Failed")
        assert image["status"]["error"]["slug"] == "upload-incomplete"
        assert objects(cluster) == 0
        assert not any((tmp_path / "data" / "spool").glob("*"))


@pytest.mark.parametrize("place", PLACES)
async def test_a_restart_of_the_service_costs_one_of_the_client(
    tmp_path: Path, cluster: Site, disk: Path, place: str
) -> None:
    """The same upload is there after it, at 0, and its client sends again."""
    content = disk.read_bytes()
    async with running(settings(tmp_path / "data", cluster)) as client:
        path = await Tus(client).begun("disk", len(content), storageClass=place)
        await sent(client, path, content[: 4 * MiB])
    async with running(settings(tmp_path / "data", cluster)) as client:
        assert objects(cluster) == 0
        await Tus(client).send(path, content)
        await whole(client, cluster, tmp_path, disk, 2)


@pytest.mark.parametrize("place", PLACES)
async def test_lost_connections_cost_no_restart(
    tmp_path: Path, cluster: Site, disk: Path, place: str
) -> None:
    """Cut at seeded points, the upload goes on each time where it stopped."""
    content = disk.read_bytes()
    points = sorted(random.Random(7).sample(range(MiB // 4, 7 * MiB, MiB // 4), 5))
    async with (
        running(settings(tmp_path / "data", cluster)) as client,
        Cutting(client.base, points) as way,
    ):
        path = await Tus(client).begun("disk", len(content), storageClass=place)
        over = SimpleNamespace(base=way.url, http=client.http)
        assert await Tus(over).send(path, content) >= 1
        assert way.cuts == 5
        await whole(client, cluster, tmp_path, disk, 1)


def skipped(seconds: float) -> bool:
    """Skip a wait of so many seconds, once there is one."""
    try:
        skip(seconds)
    except AssertionError:
        return False
    return True


def objects(cluster: Site) -> int:
    """Return how many objects there are that images are made of."""
    kinds = ("backingimages", "datavolumes")
    return sum(len(cluster.kubernetes.all(kind)) for kind in kinds)
