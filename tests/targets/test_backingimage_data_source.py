"""Waiting for a data source: what counts as ready, whose it is, and what is told meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from importer.errors import ObjectGone, TargetTimeout, TargetUnavailable
from importer.targets.backingimage.data_source import DataSource
from tests.servers.kubernetes import FakeKubernetes, Object
from tests.servers.replay import until
from tests.targets.longhorn import SPACE, LonghornMember, longhorn_member, skip

KIND = "backingimagedatasources"


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[LonghornMember]:
    async with longhorn_member(tmp_path) as found:
        yield found


def make(fake: FakeKubernetes, state: str, owner: str = "ours", message: str = "") -> Object:
    """Make the data source, as Longhorn would, of the image with that uid."""
    reference = {"apiVersion": "longhorn.io/v1beta2", "kind": "BackingImage", "name": "img"}
    metadata = {"name": "img", "namespace": SPACE, "ownerReferences": [{**reference, "uid": owner}]}
    status = {"currentState": state, "message": message}
    return fake.create(KIND, {"metadata": metadata, "status": status})


def pod(fake: FakeKubernetes, **status: Any) -> None:
    """Make its pod."""
    metadata = {"name": "backing-image-ds-img", "namespace": SPACE}
    fake.create("pods", {"metadata": metadata, "status": status})


def waiting(member: LonghornMember, seconds: float = 30.0) -> "asyncio.Task[None]":
    source = DataSource(member.cluster, SPACE, "img", "ours", member.hear)
    return asyncio.create_task(source.takes_bytes(seconds))


async def test_both_must_hold(member: LonghornMember) -> None:
    """A data source that says pending takes nothing while its pod does not run."""
    make(member.fake, "pending")
    pod(member.fake, phase="Pending")
    ready = waiting(member)
    await until(lambda: any("is Pending" in told for told in member.told))
    assert not ready.done()
    running = {"status": {"phase": "Running"}}
    member.fake.apply("pods", SPACE, "backing-image-ds-img", running)
    await ready


async def test_one_of_an_earlier_image_is_none(member: LonghornMember) -> None:
    """What Longhorn has not yet taken away of an image of the same name says nothing of ours."""
    make(member.fake, "failed", owner="theirs", message="long ago")
    pod(member.fake, phase="Running")
    ready = waiting(member)
    await member.fake.watched(2)
    member.fake.delete(KIND, SPACE, "img")
    make(member.fake, "pending")
    await ready


async def test_why_the_pod_does_not_start_is_told(member: LonghornMember) -> None:
    """An image that cannot be pulled is told in the cluster's words, and stands in the error."""
    make(member.fake, "")
    words = "Back-off pulling image"
    state = {"waiting": {"reason": "ImagePullBackOff", "message": words}}
    statuses = [{"name": "main", "ready": False, "restartCount": 0, "state": state}]
    pod(member.fake, phase="Pending", containerStatuses=statuses)
    ready = waiting(member)
    await until(lambda: any(words in told for told in member.told))
    skip(31)
    with pytest.raises(TargetTimeout, match="ImagePullBackOff: Back-off pulling image"):
        await ready


async def test_failed_is_not_waited_for(member: LonghornMember) -> None:
    """Its message comes out at once."""
    pod(member.fake, phase="Pending")
    make(member.fake, "failed-and-cleanup", message="no disk")
    with pytest.raises(TargetUnavailable, match="failed-and-cleanup: no disk"):
        await waiting(member)


async def test_a_pod_that_failed_is_not_waited_for(member: LonghornMember) -> None:
    """Nobody starts it again: why it ended comes out at once."""
    make(member.fake, "starting")
    pod(member.fake, phase="Failed", message="The node was low on resource: memory.")
    with pytest.raises(TargetUnavailable, match="is Failed: The node was low on resource"):
        await waiting(member)


async def test_a_pod_that_ran_is_not_one_that_runs(member: LonghornMember) -> None:
    """When its data source is ready at last, the pod must still be there."""
    make(member.fake, "starting")
    pod(member.fake, phase="Running")
    ready = waiting(member)
    await until(lambda: any("starts" in told for told in member.told))
    member.fake.delete("pods", SPACE, "backing-image-ds-img")
    pod(member.fake, phase="Pending")
    await until(lambda: any("is Pending" in told for told in member.told))
    member.fake.apply(KIND, SPACE, "img", {"status": {"currentState": "pending"}})
    await until(lambda: len(member.fake.streams) == 1)  # the data source is looked at no more
    assert not ready.done()
    member.fake.apply("pods", SPACE, "backing-image-ds-img", {"status": {"phase": "Running"}})
    await ready


async def test_gone_is_not_waited_for(member: LonghornMember) -> None:
    """Nobody makes another one."""
    make(member.fake, "starting")
    pod(member.fake, phase="Running")
    ready = waiting(member)
    await member.fake.watched(2)
    member.fake.delete(KIND, SPACE, "img")
    with pytest.raises(ObjectGone, match="somebody deleted the image"):
        await ready


async def test_nobody_makes_one(member: LonghornMember) -> None:
    """Longhorn's manager may be down: the error says how long was waited, and for what."""
    with pytest.raises(TargetTimeout, match=r"after 0\.2 s: Longhorn makes the image's data"):
        await waiting(member, seconds=0.2)
