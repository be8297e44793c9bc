"""A hundred images for one cluster: all end right, cheaply, and in little memory."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import images
from tests.api.test_cluster import Both
from tests.servers.process import serving
from tests.servers.running import OVER, Client
from tests.servers.site import Site, site
from tests.servers.web import WebServer

MiB = 1 << 20
IMAGES = 100
PLACES = ["longhorn", "longhorn-v2", "lvm"]
KINDS = ["raw", "qcow2", "vmdk", "xz"]


def environment(cluster: Site) -> dict[str, str]:
    """Return the settings of a service of four workers beside *cluster*."""
    return {
        "IMPORTER_KUBERNETES_ENABLED": "true",
        "IMPORTER_KUBERNETES_KUBECONFIG": str(cluster.kubeconfig),
        "IMPORTER_LONGHORN_URL": cluster.longhorn.url,
        "IMPORTER_JOBS_WORKERS": "4",
    }


def files(folder: Path) -> dict[str, Path]:
    """Return one disk in every kind of file."""
    images.raw(folder / "disk.raw", 64 * MiB, 8 * MiB)
    made = {kind: images.make(kind, folder) for kind in KINDS[:-1]}
    return made | {"xz": images.compressed(folder / "disk.raw", "xz")}


async def ended(client: Client, names: set[str]) -> list[dict[str, Any]]:
    """Return the images of these *names* once they all are over."""
    over: dict[str, dict[str, Any]] = {}
    async with client.http.get(f"{client.base}/v1/events") as stream:
        async for line in stream.content:
            told = json.loads(line[6:]) if line.startswith(b"data: ") else {}
            if told.get("status", {}).get("phase") in OVER:
                over[told["name"]] = told
            if names <= over.keys():
                return list(over.values())
    raise AssertionError("the event stream ended")


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_a_hundred_images_over_four_workers(tmp_path: Path) -> None:
    """Fewer than 40 requests to the API server for each, and less than 300 MiB for all."""
    kinds = files(tmp_path)
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(site(tmp_path / "site"))
        servers = [await stack.enter_async_context(WebServer(path)) for path in kinds.values()]
        run = await stack.enter_async_context(serving(tmp_path / "data", environment(cluster)))
        # What a service tells of its inside, only one in this process does.
        client = Client(run.http, run.base, tmp_path / "data", None)
        both = Both(client, cluster, tmp_path)
        names = [f"disk-{number}" for number in range(IMAGES)]
        over = asyncio.create_task(ended(client, set(names)))
        for number, name in enumerate(names):
            url, place = servers[number % len(servers)].url(), PLACES[number % len(PLACES)]
            status, answer = await client.fetch(name, url, storageClass=place, retries=0)
            assert status == 201, answer
        for image in await over:
            assert image["status"]["phase"] == "Ready", image
            made = await asyncio.to_thread(both.made, image)
            assert images.same(tmp_path / "disk.raw", "raw", *made), image
        assert len(cluster.kubernetes.calls) < 40 * IMAGES
        assert run.peak_rss < 300 * MiB
