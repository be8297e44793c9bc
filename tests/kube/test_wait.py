"""Waiting sees every change, the end of the object, and the end of its time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from importer.errors import ObjectGone, TargetError, TargetTimeout
from importer.kube.cluster import Cluster
from importer.kube.resources import DATA_VOLUMES
from importer.kube.wait import wait_for, wait_gone
from tests.servers.kubernetes import FakeKubernetes

AT = (DATA_VOLUMES, "default", "a")


def phase(fake: FakeKubernetes, name: str) -> None:
    fake.apply("datavolumes", "default", "a", {"status": {"phase": name}})


def make(fake: FakeKubernetes, **meta: Any) -> str:
    """Make the object and return its uid."""
    made = fake.create("datavolumes", {"metadata": {"name": "a", **meta}, "spec": {}})
    return str(made["metadata"]["uid"])


async def late_of(wait: Callable[[float], Awaitable[None]], text: str) -> TargetTimeout:
    """Return the error of a wait that was long enough to have seen the object once."""
    for seconds in (0.2, 1.0, 5.0, 20.0):  # a busy machine may need more than the first
        with pytest.raises(TargetTimeout, match=text) as caught:
            await wait(seconds)
        if caught.value.last:
            break
    return caught.value


async def test_every_change_is_looked_at(cluster: Cluster, fake: FakeKubernetes) -> None:
    """The condition sees each state in order, and its answer ends the wait; two requests in all."""
    make(fake)
    seen = []

    def ready(found: dict[str, Any]) -> str | None:
        seen.append(found.get("status", {}).get("phase"))
        return "yes" if seen[-1] == "UploadReady" else None

    waiting = asyncio.create_task(wait_for(cluster, *AT, ready, 30))
    await fake.watched()
    for name in ("Pending", "UploadScheduled", "UploadReady"):
        phase(fake, name)
    assert await waiting == "yes"
    assert seen == [None, "Pending", "UploadScheduled", "UploadReady"]
    assert len(fake.calls) == 2


async def test_what_holds_already_is_not_waited_for(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A condition that holds at once needs one request."""
    make(fake)
    assert await wait_for(cluster, *AT, lambda found: found["metadata"]["name"], 30) == "a"
    assert len(fake.calls) == 1


async def test_what_was_never_there(cluster: Cluster) -> None:
    """Waiting for what does not exist ends at once."""
    with pytest.raises(ObjectGone, match="DataVolume default/a is gone"):
        await wait_for(cluster, *AT, lambda _: None, 30)


async def test_deletion_is_noticed(cluster: Cluster, fake: FakeKubernetes) -> None:
    """An object that is deleted meanwhile ends the wait at once."""
    make(fake)
    waiting = asyncio.create_task(wait_for(cluster, *AT, lambda _: None, 30))
    await fake.watched()
    fake.delete("datavolumes", "default", "a")
    with pytest.raises(ObjectGone, match="somebody deleted it"):
        await waiting


async def test_another_object_of_the_name_is_none(cluster: Cluster, fake: FakeKubernetes) -> None:
    """An object that was deleted and made again while nobody looked is gone all the same."""
    uid = make(fake)
    waiting = asyncio.create_task(wait_for(cluster, *AT, lambda _: None, 30, uid=uid))
    await fake.watched()
    fake.cut_watches()
    fake.delete("datavolumes", "default", "a")
    make(fake)
    fake.expire_watches()
    with pytest.raises(ObjectGone):
        await waiting


async def test_what_the_condition_raises_ends_the_wait(
    cluster: Cluster, fake: FakeKubernetes
) -> None:
    """A condition that sees that it will never be is believed."""
    make(fake)

    def failed(_: dict[str, Any]) -> None:
        raise TargetError("pod failed: disk full")

    with pytest.raises(TargetError, match="disk full"):
        await wait_for(cluster, *AT, failed, 30)


async def test_time_runs_out(cluster: Cluster, fake: FakeKubernetes) -> None:
    """The error says what was waited for, and has the object as it was last seen."""
    make(fake)
    phase(fake, "Pending")
    text = r"DataVolume default/a: waited [0-9.]+ s for UploadReady"

    async def wait(seconds: float) -> None:
        await wait_for(cluster, *AT, lambda _: None, seconds, what="for UploadReady")

    late = await late_of(wait, text)
    assert late.last["status"]["phase"] == "Pending"
    await fake.unwatched()


async def test_waiting_for_the_end(cluster: Cluster, fake: FakeKubernetes) -> None:
    """An object that finalizers hold is waited for until it is gone."""
    make(fake, finalizers=["longhorn.io"])
    await cluster.delete(*AT)
    waiting = asyncio.create_task(wait_gone(cluster, *AT, 30))
    await fake.watched()
    fake.apply("datavolumes", "default", "a", {"metadata": {"finalizers": None}})
    await waiting
    await wait_gone(cluster, *AT, 30)


async def test_end_that_does_not_come(cluster: Cluster, fake: FakeKubernetes) -> None:
    """The error names the finalizers that hold the object."""
    make(fake, finalizers=["longhorn.io"])
    text = r"waited [0-9.]+ s for it to go; held by (longhorn.io|nothing known)"
    late = await late_of(lambda seconds: wait_gone(cluster, *AT, seconds), text)
    assert "held by longhorn.io" in str(late)
