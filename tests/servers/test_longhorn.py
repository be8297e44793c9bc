"""Longhorn's fake in a fake cluster: BackingImages live as the facts say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from gzip import decompress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import images
from tests.servers.kubernetes import FakeKubernetes, Object, Refused, serving
from tests.servers.longhorn import DISK, Longhorn
from tests.servers.page import Page
from tests.servers.replay import until

SPACE = "longhorn-system"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A small qcow2."""
    return images.make("qcow2", tmp_path)


@asynccontextmanager
async def longhorn(root: Path, **fields: Any) -> AsyncIterator[Longhorn]:
    """Run Longhorn on a cluster of its own."""
    async with Longhorn(FakeKubernetes(), root, **fields) as running:
        yield running


def backing_image(name: str = "img", **spec: Any) -> Object:
    """Return a BackingImage as Harvester makes them."""
    meta = {"name": name, "namespace": SPACE}
    return {"metadata": meta, "spec": {"sourceType": "upload", "sourceParameters": {}, **spec}}


async def pending(running: Longhorn, name: str = "img") -> None:
    """Wait until an image's data source takes a file."""
    await running.kubernetes.until(
        "backingimagedatasources",
        SPACE,
        name,
        lambda one: one.get("status", {}).get("currentState") == "pending",
    )


async def state(running: Longhorn, *states: str, name: str = "img") -> Object:
    """Wait until the first copy of an image is in one of these states; return the image."""
    return await running.kubernetes.until(
        "backingimages", SPACE, name, lambda one: copies(one).get(DISK, {}).get("state") in states
    )


def copies(image: Object) -> Object:
    """Return what an image says of its copies."""
    told: Object = image.get("status", {}).get("diskFileStatusMap") or {}
    return told


async def send(
    running: Longhorn, path: Path, name: str = "img", size: int | None = None
) -> tuple[int, str]:
    """Upload a file through the manager."""
    size = path.stat().st_size if size is None else size
    url = f"{running.url}/v1/backingimages/{name}?action=upload&size={size}"
    with path.open("rb") as file:
        form = aiohttp.FormData()
        form.add_field("chunk", file, filename="blob")
        async with aiohttp.ClientSession() as http, http.post(url, data=form) as answer:
            return answer.status, await answer.text()


async def test_upload_becomes_ready_with_its_copies(tmp_path: Path, disk: Path) -> None:
    """The file lies there as sent, and the image says sizes, checksum and copies."""
    async with longhorn(tmp_path) as running:
        running.create(backing_image(minNumberOfCopies=2))
        await pending(running)
        assert await send(running, disk) == (200, "")
        image = await state(running, "ready")
        assert sorted(copies(image)) == [DISK, "disk-2"]
        assert image["status"]["size"] == disk.stat().st_size
        assert image["status"]["virtualSize"] == images.virtual_size(disk, "qcow2")
        assert len(image["status"]["checksum"]) == 128
        assert running.file("img").read_bytes() == disk.read_bytes()
        await running.kubernetes.until_gone("pods", SPACE, "backing-image-ds-img")


async def test_ready_image_is_given_back(tmp_path: Path, disk: Path) -> None:
    """The download is the file in gzip, or as it is."""
    async with longhorn(tmp_path) as running, aiohttp.ClientSession() as http:
        running.create(backing_image())
        await pending(running)
        await send(running, disk)
        await state(running, "ready")
        url = f"{running.url}/v1/backingimages/img/download"
        async with http.get(url) as packed, http.get(f"{url}?forV2Creation=true") as plain:
            assert "Content-Length" not in packed.headers
            assert decompress(await packed.read()) == await plain.read() == disk.read_bytes()
            assert plain.content_length == disk.stat().st_size


async def test_upload_too_early_or_twice_is_refused(tmp_path: Path, disk: Path) -> None:
    """Before the pod runs, without an image, and after an upload: each has its own words."""
    async with longhorn(tmp_path, unschedulable="0/1 nodes are available") as running:
        assert "cannot find pod" in (await send(running, disk))[1]
        running.create(backing_image())
        pod = "backing-image-ds-img"
        await running.kubernetes.until(
            "pods", SPACE, pod, lambda one: "conditions" in one["status"]
        )
        assert [one["reason"] for one in running.kubernetes.all("events")] == ["FailedScheduling"]
        assert "pod is not ready" in (await send(running, disk))[1]
        running.scheduling.set()
        await pending(running)
        running.source("img").hashing.clear()
        await send(running, disk)
        status, text = await send(running, disk)
        assert status == 500
        assert "upload server for backing image img has not been initiated" in text


async def test_wrong_checksum_fails_after_the_200(tmp_path: Path, disk: Path) -> None:
    """The upload is answered well, and the image fails."""
    async with longhorn(tmp_path) as running:
        running.create(backing_image(checksum="f" * 128))
        await pending(running)
        assert await send(running, disk) == (200, "")
        image = await state(running, "failed-and-cleanup")
        assert "doesn't match the file actual checksum" in copies(image)[DISK]["message"]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"checksum": "abc"}, "invalid checksum abc"),
        ({"dataEngine": "v2"}, "v2 backing image is not supported"),
    ],
)
async def test_webhook_refuses(spec: Object, why: str, tmp_path: Path) -> None:
    """What Longhorn's webhook refuses never becomes an object: for clients of the API."""
    async with longhorn(tmp_path) as running, serving(running.kubernetes) as cluster:
        url = f"{cluster.url}/apis/longhorn.io/v1beta2/namespaces/{SPACE}/backingimages"
        headers = {"Authorization": "Bearer admin-token"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(url, json=backing_image(**spec)) as answer,
        ):
            assert (answer.status, why in await answer.text()) == (422, True)


async def test_failed_try_is_made_good_by_a_new_object(tmp_path: Path, disk: Path) -> None:
    """A copy that failed half-way is refused a second file; deleting and creating helps."""
    async with longhorn(tmp_path, tries=[{"fail_after": 4096}]) as running:
        kubernetes = running.kubernetes
        running.create(backing_image())
        await pending(running)
        assert (await send(running, disk))[0] == 500
        await state(running, "failed-and-cleanup")
        assert (await send(running, disk))[0] == 500
        kubernetes.apply(
            "backingimages", SPACE, "img", {"metadata": {"finalizers": ["longhorn.io"]}}
        )
        kubernetes.delete("backingimages", SPACE, "img")
        with pytest.raises(Refused, match="already exists"):
            running.create(backing_image())
        await kubernetes.until_gone("backingimages", SPACE, "img")
        running.create(backing_image())
        await pending(running)
        assert await send(running, disk) == (200, "")
        await state(running, "ready")


async def test_nobody_uploads_in_time(tmp_path: Path) -> None:
    """An image whose upload does not begin fails by itself."""
    async with longhorn(tmp_path, tries=[{"start_limit": 0.01}]) as running:
        running.create(backing_image())
        image = await state(running, "failed-and-cleanup")
        assert "timeout waiting" in copies(image)[DISK]["message"]


async def test_image_is_deleted_amid_an_upload(tmp_path: Path, disk: Path) -> None:
    """The upload breaks off with the pod, and nothing is left."""
    async with longhorn(tmp_path) as running:
        running.create(backing_image())
        await pending(running)
        answer = await stalled(running, disk, size=1 << 20)
        running.kubernetes.delete("backingimages", SPACE, "img")
        assert await answer == 502
        await running.kubernetes.until_gone("backingimages", SPACE, "img")
        assert running.kubernetes.all("backingimagedatasources") == []
        assert not list(tmp_path.rglob("img-*"))


async def test_pod_is_killed_amid_an_upload(tmp_path: Path, disk: Path) -> None:
    """An upload's data source is not started again: the image fails."""
    async with longhorn(tmp_path) as running:
        running.create(backing_image())
        await pending(running)
        answer = await stalled(running, disk, size=1 << 20)
        running.kubernetes.delete("pods", SPACE, "backing-image-ds-img")
        assert await answer == 502
        image = await state(running, "failed-and-cleanup")
        assert copies(image)[DISK]["message"].startswith("cannot find the pod")


async def test_pod_is_killed_before_an_upload(tmp_path: Path, disk: Path) -> None:
    """The image says pending for ever, and takes nothing any more."""
    async with longhorn(tmp_path) as running:
        running.create(backing_image())
        await pending(running)
        await running.kill_pod("img")
        await pending(running)
        assert "cannot find pod" in (await send(running, disk))[1]


async def test_long_name_is_changed(tmp_path: Path) -> None:
    """A name of more than 40 characters becomes another, and nobody says so."""
    async with longhorn(tmp_path) as running:
        name = running.create(backing_image("a" * 41))["metadata"]["name"]
        assert (len(name), name.startswith("a" * 31 + "-")) == (40, True)
        assert running.create(backing_image("b" * 40))["metadata"]["name"] == "b" * 40


async def test_image_in_use_is_not_deleted(tmp_path: Path) -> None:
    """The webhook refuses while a replica is made of it."""
    async with longhorn(tmp_path) as running, serving(running.kubernetes) as cluster:
        running.create(backing_image())
        labels = {"longhorn.io/backing-image": "img"}
        replica = {"metadata": {"name": "r", "namespace": SPACE, "labels": labels}}
        running.kubernetes.create("replicas", replica)
        url = f"{cluster.url}/apis/longhorn.io/v1beta2/namespaces/{SPACE}/backingimages/img"
        headers = {"Authorization": "Bearer admin-token"}
        async with aiohttp.ClientSession(headers=headers) as http, http.delete(url) as answer:
            assert (answer.status, "replicas using it" in await answer.text()) == (422, True)


async def stalled(running: Longhorn, path: Path, size: int) -> "asyncio.Task[int]":
    """Begin an upload that sends some bytes and then nothing; return what becomes its status."""
    boundary = "b"

    async def body() -> AsyncIterator[bytes]:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="chunk"\r\n\r\n'
        yield head.encode() + path.read_bytes()[:4096]
        await asyncio.Event().wait()

    async def post() -> int:
        url = f"{running.url}/v1/backingimages/img?action=upload&size={size}"
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, data=body(), headers=headers) as answer,
        ):
            return answer.status

    task = asyncio.create_task(post())
    await until(lambda: running.source("img").received == 4096)
    return task


async def test_progress_can_be_read_at_the_pod(tmp_path: Path, disk: Path) -> None:
    """The data source listens where its object says, and counts bytes."""
    async with longhorn(tmp_path) as running, aiohttp.ClientSession() as http:
        running.create(backing_image())
        await pending(running)
        answer = await stalled(running, disk, size=1 << 20)
        found = running.kubernetes.get("backingimagedatasources", SPACE, "img")
        url = f"http://{found['status']['ip']}:{running.data_source_port}/v1/file"
        async with http.get(url) as told:
            assert (await told.json())["processedSize"] == 4096
        answer.cancel()


async def test_proxy_in_front_answers_with_a_page(tmp_path: Path, disk: Path) -> None:
    """A proxy's page comes instead of the server's answer, and the server saw nothing."""
    async with longhorn(tmp_path) as running:
        running.create(backing_image())
        await pending(running)
        running.manager.pages.append(Page(413))
        status, text = await send(running, disk)
        assert (status, "<center>nginx</center>" in text) == (413, True)
        assert running.source("img").received == 0
