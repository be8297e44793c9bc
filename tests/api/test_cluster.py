"""The service beside a whole cluster, as its configuration names it: every class, every form."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import images
from tests.servers.running import Client, config, running
from tests.servers.site import Site, site
from tests.servers.web import WebServer

MiB = 1 << 20


@dataclass
class Both:
    """The service, and the cluster that it makes images in."""

    client: Client
    site: Site
    root: Path

    def made(self, image: dict[str, Any]) -> tuple[Path, str]:
        """Return the file that the guest will see, and its format."""
        target = image["status"]["target"]
        namespace, _, name = target["name"].partition("/")
        if target["kind"] == "BackingImage":
            path = self.site.longhorn.file(name)
            return path, "qcow2" if path.read_bytes()[:4] == b"QFI\xfb" else "raw"
        # The volume may be larger than the disk.
        whole = self.root / "volume"
        content = self.site.cdi.volume(namespace, name).read_bytes()
        whole.write_bytes(content[: image["status"]["virtualSize"]])
        return whole, "raw"

    def left(self) -> list[str]:
        """Return the names of all objects that images are made of."""
        kinds = ("backingimages", "datavolumes", "persistentvolumeclaims", "pods")
        fake = self.site.kubernetes
        return [f"{kind}/{one['metadata']['name']}" for kind in kinds for one in fake.all(kind)]


def settings(data: Path, cluster: Site, **more: Any) -> Any:
    """Return settings of a service for *cluster*, without classes of this machine."""
    return config(
        data,
        kubernetes={"enabled": True, "kubeconfig": str(cluster.kubeconfig)},
        longhorn={"url": cluster.longhorn.url},
        local={"classes": []},
        **{"copies": {"watch": False}, **more},  # what is watched here are images
    )


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    """A service and a cluster, nothing made yet."""
    async with (
        site(tmp_path / "site") as cluster,
        running(settings(tmp_path / "data", cluster)) as client,
    ):
        yield Both(client, cluster, tmp_path)


async def test_the_clusters_classes_are_offered(both: Both) -> None:
    """Each with the target that makes its images; a class of tomorrow is there tomorrow."""
    _, told = await both.client.ask("GET", "/v1/storageclasses")
    found = {entry["name"]: (entry["backend"], entry["engine"]) for entry in told["items"]}
    assert told["items"][0]["name"] == "longhorn"
    assert told["items"][0]["default"]
    assert found["longhorn"] == ("backingimage", "longhorn-v1")
    assert found["longhorn-v2"] == ("cdi", "longhorn-v2")
    assert found["lvm"] == ("cdi", "lvm")
    new = {
        "metadata": {"name": "tomorrow"},
        "provisioner": "driver.longhorn.io",
        "parameters": {"dataEngine": "v2"},
        "volumeBindingMode": "Immediate",
    }
    both.site.kubernetes.create("storageclasses", new)
    await both.client.put("disk", bytes(MiB), storageClass="tomorrow")
    image = await both.client.until("disk")
    assert (image["status"]["phase"], image["spec"]["backend"]) == ("Ready", "cdi")


@pytest.mark.parametrize("kind", ["raw", "qcow2", "qcow2-zlib", "vmdk", "vhdx", "vpc-fixed"])
@pytest.mark.parametrize("place", ["longhorn", "longhorn-v2", "lvm"])
async def test_an_image_from_a_url_is_the_same_disk(
    both: Both, tmp_path: Path, kind: str, place: str
) -> None:
    """Whatever the format and the class, the guest sees what it saw."""
    path, format = images.make(kind, tmp_path), images.KINDS[kind][0]
    async with WebServer(path) as server:
        await both.client.fetch("disk", server.url(), storageClass=place)
        image = await both.client.until("disk")
    assert image["status"]["phase"] == "Ready", image["status"]["error"]
    made, made_format = both.made(image)
    assert images.same(path, format, made, made_format)
    assert image["status"]["format"] == format
    assert image["status"]["virtualSize"] == images.virtual_size(path, format)


@pytest.mark.parametrize("place", ["longhorn", "longhorn-v2"])
async def test_a_compressed_disk_becomes_a_volume(both: Both, tmp_path: Path, place: str) -> None:
    """Its size is known from its own index, or after the service has put it down."""
    path = images.raw(tmp_path / "disk.raw", 16 * MiB, 2 * MiB)
    for packed in ("xz", "gzip"):
        file = images.compressed(path, packed)
        async with WebServer(file) as server:
            await both.client.fetch(packed, server.url(), storageClass=place)
            image = await both.client.until(packed)
        assert image["status"]["phase"] == "Ready", image["status"]["error"]
        assert images.same(path, "raw", *both.made(image))
        assert image["status"]["compression"] == packed


@pytest.mark.parametrize("place", ["longhorn", "longhorn-v2"])
async def test_deleting_an_image_deletes_what_was_made(both: Both, place: str) -> None:
    """And nothing else."""
    before = both.left()
    await both.client.put("disk", os.urandom(MiB), storageClass=place)
    await both.client.until("disk")
    assert both.left() != before
    assert (await both.client.ask("DELETE", "/v1/images/disk"))[0] == 204
    assert both.left() == before


@pytest.mark.parametrize("place", ["longhorn", "longhorn-v2"])
async def test_a_service_that_died_amid_an_import_makes_it_after_all(
    tmp_path: Path, place: str
) -> None:
    """What it had half made is found by its labels, removed, and made anew."""
    path = images.raw(tmp_path / "disk.raw", 8 * MiB, 4 * MiB)
    async with site(tmp_path / "site") as cluster, WebServer(path) as server:
        gate = cluster.longhorn if place == "longhorn" else cluster.cdi
        gate.scheduling.clear()
        wanted = settings(tmp_path / "data", cluster)
        async with running(wanted) as client:
            await client.fetch("disk", server.url(), storageClass=place)
            await client.until("disk", "Preparing")
        gate.scheduling.set()
        async with running(wanted) as client:
            image = await client.until("disk")
            assert image["status"]["phase"] == "Ready", image["status"]["error"]
            both = Both(client, cluster, tmp_path)
            assert images.same(path, "raw", *both.made(image))
            objects = [name for name in both.left() if name.startswith(("back", "data"))]
            assert len(objects) == 1


@pytest.mark.parametrize("workers", [4])
async def test_many_images_at_once(tmp_path: Path, workers: int) -> None:
    """Twelve imports over four workers, on both kinds of target: all end right, and cheaply."""
    path = images.raw(tmp_path / "disk.raw", 8 * MiB, MiB)
    async with (
        site(tmp_path / "site") as cluster,
        WebServer(path) as server,
        running(settings(tmp_path / "data", cluster, jobs={"workers": workers})) as client,
    ):
        names = [f"disk-{number}" for number in range(12)]
        for number, name in enumerate(names):
            place = ("longhorn", "longhorn-v2", "lvm")[number % 3]
            await client.fetch(name, server.url(), storageClass=place)
        made = await asyncio.gather(*(client.until(name) for name in names))
        both = Both(client, cluster, tmp_path)
        for image in made:
            assert image["status"]["phase"] == "Ready", image["status"]["error"]
            assert images.same(path, "raw", *both.made(image))
        assert len(cluster.kubernetes.calls) < 40 * len(names)
