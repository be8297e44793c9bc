"""What is sent to a place in a cluster: always the same disk, as it costs least there."""

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from backports import zstd

from importer.errors import TargetError
from importer.formats.encode.zstd_frame import zstd_frame
from importer.stream.extent import Data, Extents, Zero
from tests import images
from tests.servers.receiving import CDI, LONGHORN, ReceivingShelf
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer

MiB = 1 << 20


@dataclass
class Cluster:
    """A service with two classes that take streams."""

    client: Client
    cdi: ReceivingShelf
    longhorn: ReceivingShelf

    def shelf(self, name: str) -> ReceivingShelf:
        return self.cdi if name == "cdi" else self.longhorn


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Both classes, nothing sent yet."""
    shelves = {}
    for name, accepts in (("cdi", CDI), ("longhorn", LONGHORN)):
        (tmp_path / name).mkdir()
        shelves[name] = ReceivingShelf(name, tmp_path / name, accepts)
    async with running(config(tmp_path / "data"), shelves) as client:
        yield Cluster(client, shelves["cdi"], shelves["longhorn"])


def guest(shelf: ReceivingShelf, to: Path) -> tuple[Path, str]:
    """Return what the last place got as a disk file, and its format."""
    receipt = shelf.receipts[-1]
    if receipt.size is not None:
        assert receipt.path.stat().st_size == receipt.size
    if receipt.wire == "raw+zstd":
        to.write_bytes(zstd.decompress(receipt.path.read_bytes()))
        return to, "raw"
    if receipt.wire == "qcow2":
        return receipt.path, "qcow2"
    return receipt.path, {"iso": "raw"}.get(receipt.info.format, receipt.info.format)


@pytest.mark.parametrize("place", ["cdi", "longhorn"])
@pytest.mark.parametrize("kind", [kind for kind in images.KINDS if kind != "vpc-fixed"])
async def test_every_format_arrives_as_the_same_disk(
    cluster: Cluster, tmp_path: Path, kind: str, place: str
) -> None:
    """Nothing stays on the service's own disk, and status is of the file that was sent."""
    path, format = images.make(kind, tmp_path), images.KINDS[kind][0]
    status, image = await cluster.client.put("disk", path.open("rb"), storageClass=place)
    assert status == 200, image
    made, made_format = guest(cluster.shelf(place), tmp_path / "made")
    assert images.same(path, format, made, made_format)
    told = image["status"]
    assert (told["format"], told["size"]) == (format, path.stat().st_size)
    assert told["virtualSize"] == images.virtual_size(path, format)
    assert told["checksums"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told["plan"]["wire"] == cluster.shelf(place).receipts[-1].wire
    assert not list((cluster.client.data / "spool").glob(".*"))


@pytest.mark.parametrize("place", ["cdi", "longhorn"])
@pytest.mark.parametrize("off", [0, 512])
async def test_a_size_that_was_only_said_is_checked(
    cluster: Cluster, tmp_path: Path, place: str, off: int
) -> None:
    """A gzip file does not tell what is inside: the caller may, and then it must be so."""
    path = images.raw(tmp_path / "disk.raw", 4 * MiB, MiB)
    packed, size = images.compressed(path, "gzip"), 4 * MiB + off
    async with WebServer(packed) as server:
        await cluster.client.fetch("disk", server.url(), storageClass=place, virtualSize=size)
        image = await cluster.client.until("disk")
    if off:
        assert image["status"]["error"]["slug"] in ("size-mismatch", "corrupt-image"), image
        assert str(size) in image["status"]["error"]["message"]
    else:
        made, format = guest(cluster.shelf(place), tmp_path / "made")
        assert images.same(path, "raw", made, format)


@pytest.mark.parametrize("place", ["cdi", "longhorn"])
async def test_a_fixed_vhd_is_seen_at_its_end(cluster: Cluster, tmp_path: Path, place: str) -> None:
    """Its last sector is no part of the disk: an upload is refused or put down first, and what can
    be read again is put down then."""
    path = images.make("vpc-fixed", tmp_path)
    async with WebServer(path) as server:
        await cluster.client.fetch("disk", server.url(), storageClass=place, retries=0)
        image = await cluster.client.until("disk")
    assert image["status"]["phase"] == "Ready", image
    assert image["status"]["format"] == "vpc"
    made, format = guest(cluster.shelf(place), tmp_path / "made")
    assert images.same(path, "vpc", made, format)
    if place == "cdi":
        status, answer = await cluster.client.put("up", path.open("rb"), storageClass=place)
        assert (status, answer["error"]["slug"]) == (422, "image-not-in-order")
        assert "fixed VHD" in answer["error"]["message"]


async def test_longhorn_gets_a_sparse_disk_as_qcow2(cluster: Cluster, tmp_path: Path) -> None:
    """It would receive and hash every zero: the service puts the disk down to know its map."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.write(os.urandom(MiB))
        file.truncate(1024 * MiB)
    async with WebServer(path) as server:
        await cluster.client.fetch("disk", server.url(), storageClass="longhorn")
        image = await cluster.client.until("disk")
    receipt = cluster.longhorn.receipts[-1]
    assert receipt.wire == image["status"]["plan"]["wire"] == "qcow2"
    assert "put down" in image["status"]["plan"]["why"]
    assert receipt.path.stat().st_size == receipt.size < 2 * MiB
    assert images.same(path, "raw", receipt.path, "qcow2")


async def test_longhorn_gets_no_qcow2_that_libqcow_reads_wrong(
    cluster: Cluster, tmp_path: Path
) -> None:
    """One with zstd clusters is made anew; one without goes as it is."""
    for kind, wire in (("qcow2-zstd", "qcow2"), ("qcow2", "as-is")):
        path = images.make(kind, tmp_path)
        status, image = await cluster.client.put(kind, path.open("rb"), storageClass="longhorn")
        assert status == 200, image
        assert image["status"]["plan"]["wire"] == wire


async def test_a_disk_of_a_client_is_sent_on(cluster: Cluster, tmp_path: Path) -> None:
    """To CDI in the form it came in, to Longhorn as qcow2."""
    body = os.urandom(3 * MiB)

    async def disk() -> Extents:
        yield Zero(64 * MiB)
        yield Data(body)
        yield Zero(512)

    size = 67 * MiB + 512
    frame = b"".join([chunk async for chunk in zstd_frame(disk(), size)])
    (tmp_path / "whole").write_bytes(bytes(64 * MiB) + body + bytes(512))
    query = {"wire": "raw+zstd", "fileFormat": "raw", "fileSize": size}
    for place, wire in (("cdi", "raw+zstd"), ("longhorn", "qcow2")):
        status, image = await cluster.client.put(place, frame, storageClass=place, **query)
        assert status == 200, image
        assert cluster.shelf(place).receipts[-1].wire == wire
        made, format = guest(cluster.shelf(place), tmp_path / "made")
        assert images.same(tmp_path / "whole", "raw", made, format)
        assert image["status"]["virtualSize"] == size


async def test_a_wrong_checksum_is_seen_before_anything_is_made(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Where the file lies on the service's own disk first, the cluster hears nothing of it."""
    path = images.make("vmdk", tmp_path)
    query = {"storageClass": "longhorn", "checksum": "sha256:" + "0" * 64}
    status, answer = await cluster.client.put("disk", path.open("rb"), **query)
    assert (status, answer["error"]["slug"]) == (422, "checksum-mismatch")
    assert cluster.longhorn.receipts == []
    assert not list((cluster.client.data / "spool").glob(".*"))


async def test_a_target_that_broke_gets_all_of_it_again(cluster: Cluster, tmp_path: Path) -> None:
    """The source is read anew: nothing half-read is ever sent."""
    path = images.make("raw", tmp_path)
    broken = TargetError("the pod died")
    broken.retryable = True
    cluster.cdi.failures.append(broken)
    async with WebServer(path) as server:
        await cluster.client.fetch("disk", server.url(), storageClass="cdi")
        image = await cluster.client.until("disk")
    assert (image["status"]["phase"], image["status"]["attempt"]) == ("Ready", 2)
    made, format = guest(cluster.cdi, tmp_path / "made")
    assert images.same(path, "raw", made, format)


async def test_a_cancelled_spool_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """What was put down so far goes with the import."""
    path = images.make("vmdk", tmp_path)
    async with WebServer(path, stall_after=path.stat().st_size // 2) as server:
        await cluster.client.fetch("disk", server.url(), storageClass="longhorn")
        await server.stalled.wait()
        assert (await cluster.client.ask("POST", "/v1/images/disk/cancel"))[0] == 200
        server.released.set()
    assert not list((cluster.client.data / "spool").glob(".*"))
