"""kill -9 amid a bench, start again: nothing of it is left, on this machine or in a cluster."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.api.test_cluster import Both, settings
from tests.crash.dying import dying
from tests.crash.test_cluster_crash import often
from tests.crash.test_crash import ask, mortal
from tests.servers.gated import COPYING
from tests.servers.running import Client, config, running
from tests.servers.site import site

MiB = 1 << 20
POINTS = ["amid write", "after settle", "before remove", "after remove", *COPYING]
BESIDE = ["after settle", "amid copy", "after copy", "after uncopy"]


def wanted(name: str) -> dict[str, object]:
    return {"storageClasses": [name], "size": 8 * MiB}


async def tidied(client: Client) -> None:
    """Wait until the service has taken up what an earlier one left."""
    while await client.service.benches.things():
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("point", often(POINTS, "amid write", "after copy"))
async def test_killed_on_this_machine(tmp_path: Path, point: str) -> None:
    """The next start removes what there is, before it takes another bench."""
    async with mortal(tmp_path, point) as (process, http, base):
        await ask(http, "POST", f"{base}/v1/bench", json=wanted("local"))
        assert await process.wait() == -signal.SIGKILL
    async with running(config(tmp_path)) as client:
        await tidied(client)
        assert await client.names() == {}
        assert client.files() == []


@pytest.mark.parametrize("point", often(BESIDE, "amid copy", "after uncopy"))
async def test_killed_beside_a_cluster(tmp_path: Path, point: str) -> None:
    """Image and copy go, also the copy that CDI had only begun."""
    async with site(tmp_path / "site") as cluster:
        where = (str(cluster.kubeconfig), cluster.longhorn.url)
        words = (str(tmp_path / "data"), point, *where)
        if point == "amid copy":
            cluster.cdi.cloning.clear()
        async with dying("tests.crash.mortal_cluster", *words) as (process, http, base):
            await ask(http, "POST", f"{base}/v1/bench", json=wanted("longhorn-v2"))
            if point == "amid copy":
                while len(cluster.kubernetes.all("datavolumes")) < 2:
                    await asyncio.sleep(0.01)
                process.kill()
            assert await process.wait() == -signal.SIGKILL
        async with running(settings(tmp_path / "data", cluster)) as client:
            await tidied(client)
            assert await client.names() == {}
            assert Both(client, cluster, tmp_path).left() == []
