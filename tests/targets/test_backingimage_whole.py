"""The whole way: the service takes what people send and makes BackingImages of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import images
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer
from tests.targets.longhorn import LonghornMember, longhorn_member


@asynccontextmanager
async def longhorn_service(
    root: Path, jobs: dict[str, Any] | None = None, **fields: Any
) -> AsyncIterator[tuple[Client, LonghornMember]]:
    """Run the service with one class, which is Longhorn's."""
    settings = config(root / "data", jobs=jobs or {})
    async with (
        longhorn_member(root, **fields) as member,
        running(settings, {"fast": member.shelf}) as client,
    ):
        yield client, member


def made(member: LonghornMember, image: dict[str, Any]) -> tuple[Path, str]:
    """Return Longhorn's file of an image, and its format."""
    target = image["status"]["target"]
    path = member.longhorn.file(target["name"].partition("/")[2])
    return path, "qcow2" if path.read_bytes()[:4] == b"QFI\xfb" else "raw"


@pytest.mark.parametrize("kind", [kind for kind in images.KINDS if kind != "vpc-fixed"])
async def test_what_is_uploaded_is_what_the_guest_sees(tmp_path: Path, kind: str) -> None:
    """Every format, in whatever form it travels, is the same disk at Longhorn."""
    path = images.make(kind, tmp_path)
    async with longhorn_service(tmp_path) as (client, member):
        status, _ = await client.put("disk", path.read_bytes())
        image = await client.until("disk")
        assert (status, image["status"]["phase"]) == (200, "Ready"), image["status"]["error"]
        file, format = made(member, image)
        assert images.same(file, format, path, images.KINDS[kind][0])
        assert len(member.fake.calls) <= 10


async def test_odd_raw_disk_is_uploaded(tmp_path: Path) -> None:
    """A file of a length that Longhorn does not take is padded on the way."""
    path = images.make("qcow2", tmp_path)
    content = path.read_bytes() + bytes(100)
    async with longhorn_service(tmp_path) as (client, member):
        await client.put("disk", content)
        image = await client.until("disk")
        assert image["status"]["phase"] == "Ready", image["status"]["error"]
        assert image["status"]["size"] == len(content)
        file, format = made(member, image)
        assert images.same(file, format, path, "qcow2")


async def test_a_url_is_sent_again(tmp_path: Path) -> None:
    """A data source that fails half-way costs one try: the next makes a new image."""
    path = images.raw(tmp_path / "disk.raw")
    async with (
        WebServer(path) as server,
        longhorn_service(tmp_path, tries=[{"fail_after": 4 << 20}]) as (client, member),
    ):
        await client.fetch("disk", server.url())
        image = await client.until("disk")
        assert (image["status"]["phase"], image["status"]["attempt"]) == ("Ready", 2)
        file, format = made(member, image)
        assert images.same(file, format, path, "raw")
        assert len(member.images) == 1


async def test_a_fixed_vhd_is_refused(tmp_path: Path) -> None:
    """What shows only at the end of an upload is refused by name, and nothing of it stays."""
    path = images.make("vpc-fixed", tmp_path)
    async with longhorn_service(tmp_path) as (client, member):
        _, answer = await client.put("disk", path.read_bytes())
        assert "fixed VHD" in answer["error"]["message"]
        assert await client.names() == {}
        member.assert_clean()


@pytest.mark.parametrize("gate", ["scheduling", "hashing", "transferring"])
async def test_a_service_that_stops_begins_anew(tmp_path: Path, gate: str) -> None:
    """Stopped while Longhorn prepares, hashes or hands over, it makes the image once it is back."""
    path, settings = images.raw(tmp_path / "disk.raw"), config(tmp_path / "data")
    async with (
        WebServer(path, stall_after=4 << 20) as server,
        longhorn_member(tmp_path) as member,
    ):
        classes = {"fast": member.shelf}
        async with running(settings, classes) as client:
            await hold(member, client, server, gate)
        for event in (member.longhorn.scheduling, member.longhorn.transferring):
            event.set()
        async with running(settings, classes) as client:
            image = await client.until("disk")
            file, format = made(member, image)
            assert images.same(file, format, path, "raw")
            assert len(member.images) == 1
            assert (await client.ask("DELETE", "/v1/images/disk"))[0] == 204
            member.assert_clean()


async def hold(member: LonghornMember, client: Client, server: WebServer, gate: str) -> None:
    """Begin an import, and go as far as *gate*, which stays shut."""
    if gate == "scheduling":  # Nothing behind the head is fetched before there is a place for it.
        member.longhorn.scheduling.clear()
        await client.fetch("disk", server.url())
        await client.until("disk", "Preparing")
        server.released.set()
        return
    await client.fetch("disk", server.url())
    await server.stalled.wait()
    await client.until("disk", "Transferring")
    closed = member.longhorn if gate == "transferring" else member.longhorn.source(member.name)
    getattr(closed, gate).clear()
    server.released.set()
    await client.until("disk", "Processing")


async def test_cancelled_nothing_is_left(tmp_path: Path) -> None:
    """Cancelled while bytes flow, the image and its pod go."""
    path = images.raw(tmp_path / "disk.raw")
    async with (
        WebServer(path, stall_after=4 << 20) as server,
        longhorn_service(tmp_path) as (client, member),
    ):
        await client.fetch("disk", server.url())
        await server.stalled.wait()
        await client.until("disk", "Transferring")
        assert (await client.ask("POST", "/v1/images/disk/cancel"))[0] == 200
        member.assert_clean()
        server.released.set()


async def test_a_dozen_at_once(tmp_path: Path) -> None:
    """Twelve imports over four workers all end right, with few requests for each."""
    path = images.raw(tmp_path / "disk.raw")
    async with (
        WebServer(path) as server,
        longhorn_service(tmp_path, jobs={"workers": 4}) as (client, member),
    ):
        names = [f"disk-{number}" for number in range(12)]
        await asyncio.gather(*(client.fetch(name, server.url()) for name in names))
        for image in [await client.until(name) for name in names]:
            assert image["status"]["phase"] == "Ready", image["status"]["error"]
            file, format = made(member, image)
            assert images.same(file, format, path, "raw")
        assert len(member.images) == 12
        assert len(member.fake.calls) <= 12 * 10
