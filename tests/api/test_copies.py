"""Copies of volumes through the API: the list, classes side by side, and the stream of events."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import images
from tests.servers.cdi.scripted import Clone, bound
from tests.servers.kubernetes import FakeKubernetes, serving
from tests.servers.running import Client, config, running, until
from tests.servers.site import CLASSES

GiB = 1 << 30


@dataclass
class Told:
    """A service beside a cluster whose copies a test tells."""

    client: Client
    kubernetes: FakeKubernetes

    async def copies(self, **query: Any) -> Any:
        """Return what ``GET /v1/copies`` answers."""
        status, found = await self.client.ask("GET", "/v1/copies", params=query)
        assert status == 200, found
        return found

    async def until(self, name: str, state: str) -> Any:
        """Return the copy called *name* once it is in *state*."""
        while True:
            for copy in (await self.copies())["items"]:
                if (copy["name"], copy["state"]) == (name, state):
                    return copy
            await asyncio.sleep(0.02)

    def clone(self, name: str = "vm-1") -> Clone:
        """Begin a host-assisted clone of 8 GiB, of which a fourth is copied."""
        one = Clone(self.kubernetes, name, "ceph", 8 * GiB, kind="copy")
        one.begin()
        one.phase("HostClone", "25.00%")
        return one

    async def cloned(self, name: str) -> Any:
        """Let a clone run to its end, and return the copy."""
        one = self.clone(name)
        await self.until(name, "Running")
        one.succeed()
        return await self.until(name, "Done")


@asynccontextmanager
async def beside_a_cluster(root: Path) -> AsyncIterator[Told]:
    """Run a service beside a cluster with one class, and something to clone."""
    kubernetes = FakeKubernetes()
    kubernetes.create("storageclasses", {**CLASSES["ceph"], "metadata": {"name": "ceph"}})
    bound(kubernetes, "golden", "ceph", 8 * GiB)
    async with serving(kubernetes) as api:
        enabled = {"enabled": True, "kubeconfig": str(api.kubeconfig(root / "kubeconfig"))}
        async with running(config(root / "data", kubernetes=enabled)) as client:
            # What is over at the first look is taken for older than the service.
            await until(lambda: client.service.benches._course.copies._known)
            yield Told(client, kubernetes)


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Told]:
    async with beside_a_cluster(tmp_path) as one:
        yield one


async def test_nothing_yet(told: Told) -> None:
    """Every class is there, with zeros and nulls; what can be looked at is named."""
    found = await told.copies()
    assert found["items"] == []
    assert all(found["watching"].values())
    assert "datavolumes" in found["watching"]
    assert {one["storageClass"]: one["copies"] for one in found["classes"]} == {
        "local": [],
        "ceph": [],
    }
    assert found["classes"][0]["imports"] == {
        "ready": 0,
        "failed": 0,
        "bytesPerSecond": None,
        "slowestPhase": None,
        "failures": {},
    }


async def test_copies_that_run_come_first(told: Told) -> None:
    """Then those that are over, the newest first, as many as are asked for."""
    for name in ("vm-1", "vm-2"):
        await told.cloned(name)
    told.clone("vm-3")
    running = await told.until("vm-3", "Running")
    assert (running["done"], running["total"], running["isHint"]) == (2 * GiB, 8 * GiB, True)
    assert [one["name"] for one in (await told.copies())["items"]] == ["vm-3", "vm-2", "vm-1"]
    assert [one["name"] for one in (await told.copies(limit=1))["items"]] == ["vm-3", "vm-2"]
    status, refused = await told.client.ask("GET", "/v1/copies?limit=501")
    assert (status, refused["error"]["slug"]) == (400, "bad-request")


async def test_classes_side_by_side(told: Told, tmp_path: Path) -> None:
    """Imports and copies of each class are counted on it, and on no other."""
    disk = images.raw(tmp_path / "disk.raw")
    status, _ = await told.client.put("disk", disk.read_bytes(), storageClass="local")
    assert status == 200
    await told.cloned("vm-1")
    told.clone("vm-2")
    await told.until("vm-2", "Running")
    await told.until("disk", "Done")
    local, ceph = sorted((await told.copies())["classes"], key=lambda one: one["engine"] != "local")
    assert (local["imports"]["ready"], local["imports"]["failed"]) == (1, 0)
    assert local["imports"]["bytesPerSecond"] > 0
    assert local["imports"]["slowestPhase"]["name"]
    assert [(one["strategy"], one["done"]) for one in local["copies"]] == [("import", 1)]
    (copies,) = ceph["copies"]
    assert (copies["strategy"], copies["basis"]) == ("host-assisted", "inferred")
    assert (copies["done"], copies["failed"], copies["active"]) == (1, 0, 1)
    assert copies["remaining"] == 6 * GiB


async def events(told: Told, path: str) -> AsyncIterator[tuple[str, Any]]:
    """Yield kind and data of a stream's events."""
    async with told.client.http.get(f"{told.client.base}{path}") as stream:
        kind = ""
        async for line in stream.content:
            field, _, value = line.decode().strip().partition(": ")
            if field == "event":
                kind = value
            elif field == "data":
                yield kind, json.loads(value)


async def test_the_stream_tells_of_copies(told: Told) -> None:
    """Those there are before it is synced, then each at every change, in the order they came."""
    await told.cloned("vm-1")
    one = told.clone("vm-2")
    await told.until("vm-2", "Running")
    seen: list[tuple[str, str]] = []
    async for kind, value in events(told, "/v1/events"):
        if kind == "copy":
            seen.append((value["name"], value["state"]))
        if kind == "synced":
            assert seen == [("vm-1", "Done"), ("vm-2", "Running")]
            one.succeed()
        if seen[-1:] == [("vm-2", "Done")]:
            break


async def test_a_stream_of_one_namespace_is_of_images(told: Told) -> None:
    """Whoever asks for one namespace is told of its images alone."""
    await told.cloned("vm-1")
    kinds = []
    async for kind, _ in events(told, "/v1/events?namespace=default"):
        if kind == "synced":
            told.clone("vm-2")
            await told.until("vm-2", "Running")
            await told.client.ask("POST", "/v1/images", json=WAITS)
        kinds.append(kind)
        if kind == "image":
            break
    assert kinds == ["synced", "image"]


WAITS = {"name": "waits", "spec": {"source": {"type": "upload"}, "storageClass": "local"}}
