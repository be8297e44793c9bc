"""What `POST /v1/plan` says of a cluster's class is what the import then does."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import images
from tests.api.test_cluster import settings
from tests.servers.running import Client, running
from tests.servers.site import site
from tests.servers.web import WebServer

MiB = 1 << 20
KINDS = ["raw", "qcow2", "qcow2-zlib", "qcow2-zstd", "vmdk", "xz", "gone"]
"""``gone``: a qcow2 with clusters flagged as zeros, which Longhorn would read wrong."""

UNSURE = [("gone", False, "longhorn"), ("xz", False, "longhorn")]
"""Where neither head nor tables tell: the service puts the file down, and chooses then."""


@dataclass
class Cluster:
    """A service with a cluster's classes."""

    client: Client

    async def plan(self, url: str, place: str) -> Any:
        status, report = await self.client.ask(
            "POST", "/v1/plan", json={"url": url, "storageClass": place}
        )
        assert status == 200, report
        return report["plan"]

    async def wire(self, place: str) -> float:
        """Return the bytes that have travelled to *place*."""
        async with self.client.http.get(f"{self.client.base}/metrics") as response:
            lines = (await response.text()).splitlines()
        found = [line for line in lines if line.startswith("importer_bytes_total{")]
        wanted = ('hop="wire"', f'storage_class="{place}"')
        return sum(float(one.split()[-1]) for one in found if all(part in one for part in wanted))


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with (
        site(tmp_path / "site") as there,
        running(settings(tmp_path / "data", there)) as client,
    ):
        yield Cluster(client)


def made(kind: str, folder: Path) -> Path:
    """Return a file whose forms differ by so much that the plan is not in doubt."""
    disk = images.raw(folder / "disk.raw", 64 * MiB, 4 * MiB)
    if kind == "xz":
        return images.compressed(disk, "xz")
    if kind == "gone":
        path = images.convert(disk, folder / "gone.qcow2", "qcow2")
        images.run("qemu-io", "-f", "qcow2", "-c", "write -z 0 1M", str(path))
        return path
    return images.make(kind, folder)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_the_import_does_what_was_planned(
    cluster: Cluster, tmp_path: Path, kind: str, ranges: bool
) -> None:
    """On Longhorn v1 and v2, the form is the one foretold, and its bytes where they are told."""
    path = made(kind, tmp_path)
    async with WebServer(path, ranges=ranges) as web:
        for place in ("longhorn", "longhorn-v2"):
            told = await cluster.plan(web.url(), place)
            await cluster.client.fetch(place, web.url(), storageClass=place)
            image = await cluster.client.until(place)
            assert image["status"]["phase"] == "Ready", image["status"]["error"]
            if (kind, ranges, place) in UNSURE:
                assert (told["wire"], image["status"]["plan"]["wire"]) == ("as-is", "qcow2")
                assert told["why"].startswith("put down by the service first")
                assert told["bytes"] is None
                continue
            assert told["wire"] == image["status"]["plan"]["wire"]
            if told["bytes"] is not None:
                assert told["bytes"] == pytest.approx(await cluster.wire(place), rel=0.01)
            if ranges and kind.startswith("qcow2") and place == "longhorn":
                assert told["bytes"] is not None


async def test_a_class_says_what_it_asks_of_a_file(cluster: Cluster) -> None:
    """Clients plan with the same words as the service."""
    _, told = await cluster.client.ask("GET", "/v1/storageclasses")
    found = {entry["name"]: (entry["exact"], entry["libqcow"]) for entry in told["items"]}
    assert found["longhorn"] == (True, True)
    assert found["longhorn-v2"] == (False, False)
