"""A cluster on which a lot goes on: what the pages look like when they have something to show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests import images
from tests.servers.site import site
from tests.servers.web import WebServer
from tests.web.browser import Served, serving
from tests.web.copying import Copying, copied, over, reported, strategy

MiB = 1 << 20


@asynccontextmanager
async def scene(root: Path) -> AsyncIterator[Copying]:
    """Run everything below *root*: images in every state, classes with figures, copies."""
    root.mkdir(parents=True, exist_ok=True)
    disk = images.make("qcow2", root, 64 * MiB)
    slow = images.raw(root / "slow.raw", 24 * MiB, 24 * MiB)
    async with (
        site(root / "site") as cluster,
        WebServer(disk) as good,
        WebServer(slow, stall_after=15 * MiB, ranges=False) as stalls,
        WebServer(b"<!doctype html><title>Not found</title>" + b" " * 4096) as wrong,
        WebServer(disk, statuses=[404] * 9) as away,
        serving(
            root / "data",
            IMPORTER_KUBERNETES_ENABLED="true",
            IMPORTER_KUBERNETES_KUBECONFIG=str(cluster.kubeconfig),
            IMPORTER_LONGHORN_URL=cluster.longhorn.url,
            IMPORTER_URL_ALLOW_ADDRESSES="127.0.0.0/8",
        ) as served,
        Copying(served, copies(), reports()) as page,
    ):
        for name, storage_class in (("debian-12", "longhorn"), ("ubuntu-24-04", "lvm")):
            await fetch(served, name, good.url(f"/{name}.qcow2"), storage_class)
        await fetch(served, "fedora-41", wrong.url("/fedora-41.qcow2"), "longhorn-v2")
        await fetch(served, "rocky-9", away.url("/rocky-9.qcow2"), "ceph")
        for name in ("debian-12", "ubuntu-24-04", "fedora-41", "rocky-9"):
            await over_with(served, name)
        await fetch(served, "windows-2022", stalls.url("/windows-2022.img"), "longhorn")
        await stalls.stalled.wait()
        yield page


async def fetch(served: Served, name: str, url: str, storage_class: str) -> None:
    """Ask for an import of *url*."""
    spec = {"source": {"type": "url", "url": url}, "storageClass": storage_class}
    await ask(served, "POST", "/v1/images", {"name": name, "spec": spec})


async def over_with(served: Served, name: str) -> None:
    """Wait until nothing happens to the image any more: its stream ends."""
    await ask(served, "GET", f"/v1/images/{name}/events")


async def ask(served: Served, method: str, path: str, body: Any = None) -> str:
    """Return the text of an answer that is none but good."""
    headers = {"Authorization": f"Bearer {served.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.request(method, served.address + path, json=body) as answer,
    ):
        text = await answer.text()
        assert answer.ok, text
        return text


def copies() -> list[dict[str, Any]]:
    """Return copies in every state, from every side."""
    counted = {"strategy": "host-assisted", "basis": "measured", "isHint": False}
    gone = "volume snapshot golden/ubuntu-24-04-snap is not ready: no such pool"
    return [
        copied("vm-web-1", phase="CloneInProgress"),
        copied("vm-db-1", storageClass="ceph", done=6 << 30, seconds=31.0, **counted),
        copied("vm-old", storageClass="longhorn", strategy="full-copy", idleSeconds=95.0),
        over("vm-web-0", 300, seconds=16.4),
        over("vm-db-0", 4000, storageClass="ceph", seconds=71.0, **counted),
        over("vm-test", 9000, state="Failed", error=gone, reason="other", done=0, bytesPerSecond=0),
    ]


def reports() -> list[dict[str, Any]]:
    """Return what the classes came to."""
    sending = {"name": "Transferring", "seconds": 31.2, "share": 0.71}
    hashing = {"name": "Processing", "seconds": 88.0, "share": 0.64}
    clones = strategy("csi-clone", 5.2e8, basis="inferred", done=14, active=1)
    hosts = strategy("host-assisted", 1.2e8, done=6, active=1)
    return [
        reported(
            "longhorn",
            21,
            1.9e8,
            failed=2,
            slowestPhase=hashing,
            failures={"checksum-mismatch": 1, "target-timeout": 1},
            copies=[strategy("full-copy", 9.8e7, basis="inferred", done=3, active=1, failed=1)],
        ),
        reported("longhorn-v2", 34, 6.1e8, slowestPhase=sending, copies=[clones]),
        reported("lvm", 12, 4.4e8, slowestPhase=sending),
        reported("ceph", 8, 2.5e8, failed=1, failures={"source-failed": 1}, copies=[hosts]),
    ]
