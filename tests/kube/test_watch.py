"""A watch knows the objects as they are, whatever happens to its connection."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from importer.errors import ClusterForbidden, ClusterUnavailable
from importer.kube.cluster import Cluster
from importer.kube.resources import DATA_VOLUMES
from importer.kube.watch import Objects, watch
from tests.kube.conftest import IMPATIENT
from tests.servers import kubernetes
from tests.servers.kubernetes import FakeKubernetes


def volume(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "spec": {}}


def label(fake: FakeKubernetes, name: str, value: str) -> None:
    """Change an object."""
    fake.apply("datavolumes", "default", name, {"metadata": {"labels": {"v": value}}})


def told(objects: Objects) -> dict[str, str]:
    """Return what is known, as name → value of its label."""
    return {name: one["metadata"]["labels"].get("v", "") for (_, name), one in objects.items()}


class Watcher:
    """Keeps what a watch told."""

    def __init__(self, states: AsyncGenerator[Objects, None]) -> None:
        self.states = states

    async def until(self, condition: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        """Return what is known once it is so."""
        async for objects in self.states:
            if condition(told(objects)):
                return told(objects)
        raise AssertionError("a watch ended")


@asynccontextmanager
async def watching(cluster: Cluster, **options: Any) -> AsyncIterator[Watcher]:
    async with aclosing(watch(cluster, DATA_VOLUMES, "default", **options)) as states:
        yield Watcher(states)


async def test_first_what_there_is_then_every_change(
    cluster: Cluster, fake: FakeKubernetes
) -> None:
    """What is there comes first, then the whole after every change, with two requests in all."""
    fake.create("datavolumes", volume("a"))
    async with aclosing(watch(cluster, DATA_VOLUMES, "default")) as states:
        assert told(await anext(states)) == {"a": ""}
        fake.create("datavolumes", volume("b"))
        label(fake, "a", "1")
        fake.delete("datavolumes", "default", "b")
        assert told(await anext(states)) == {"a": "", "b": ""}
        assert told(await anext(states)) == {"a": "1", "b": ""}
        assert told(await anext(states)) == {"a": "1"}
    assert [call.verb for call in fake.calls] == ["list", "watch"]


async def test_selectors_select(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Only what matches is told of; what matches no more is gone."""
    fake.create("datavolumes", volume("a", v="1"))
    fake.create("datavolumes", volume("b", v="2"))
    async with watching(cluster, labels="v=1") as seen:
        assert await seen.until(bool) == {"a": "1"}
        label(fake, "a", "2")
        await seen.until(lambda found: not found)


async def test_connection_that_breaks_is_taken_up(cluster: Cluster, fake: FakeKubernetes) -> None:
    """After a break the watch goes on where it stood: nothing is missed, nothing listed again."""
    fake.create("datavolumes", volume("a"))
    async with watching(cluster) as seen:
        for value in "123":
            going = asyncio.create_task(seen.until(lambda found, v=value: found["a"] == v))
            await fake.watched()
            fake.cut_watches()
            label(fake, "a", value)
            await going
    assert [call.verb for call in fake.calls].count("list") == 1


async def test_bookmarks_save_a_list(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A watch goes on from a bookmark although its last object's version is forgotten."""
    fake.create("datavolumes", volume("a"))
    async with watching(cluster) as seen:
        going = asyncio.create_task(seen.until(lambda found: found["a"] == "1"))
        await fake.watched()
        fake.create("pods", {"metadata": {"name": "another"}})
        fake.end_watches()
        fake.store.compact(before=fake.store.revision)
        await fake.unwatched()
        label(fake, "a", "1")
        await going
    assert [call.verb for call in fake.calls] == ["list", "watch", "watch"]


async def test_forgotten_version_lists_again(cluster: Cluster, fake: FakeKubernetes) -> None:
    """After 410 everything is listed anew; what went meanwhile is seen to be gone."""
    for name in "ab":
        fake.create("datavolumes", volume(name))
    async with watching(cluster) as seen:
        await seen.until(bool)
        going = asyncio.create_task(seen.until(lambda found: "c" in found))
        await fake.watched()
        fake.cut_watches()
        fake.delete("datavolumes", "default", "a")
        fake.create("datavolumes", volume("c"))
        fake.expire_watches()
        assert await going == {"b": "", "c": ""}
    assert [call.verb for call in fake.calls].count("list") >= 2


@pytest.mark.parametrize("status", [410, 500, 503, 429])
async def test_watch_that_is_refused_for_a_while(
    cluster: Cluster, fake: FakeKubernetes, status: int
) -> None:
    """A watch that is answered with an error that passes is asked for again."""
    fake.create("datavolumes", volume("a"))
    fault = fake.fail(status=status, verb="watch", times=2)
    async with watching(cluster) as seen:
        going = asyncio.create_task(seen.until(lambda found: found["a"] == "1"))
        await fault.met.wait()
        await fake.watched()
        label(fake, "a", "1")
        await going


async def test_server_restarts(
    cluster: Cluster, fake: FakeKubernetes, served: kubernetes.Cluster
) -> None:
    """A watch lives through a restart of the server, and knows what happened meanwhile."""
    fake.create("datavolumes", volume("a"))
    async with watching(cluster) as seen:
        going = asyncio.create_task(seen.until(lambda found: found["a"] == "1"))
        await fake.watched()
        await served.stop()
        label(fake, "a", "1")
        await served.start()
        await going


async def test_server_that_stays_away(
    cluster: Cluster, fake: FakeKubernetes, served: kubernetes.Cluster
) -> None:
    """A server that does not come back in time ends the watch with its name."""
    cluster.settings = IMPATIENT
    async with watching(cluster) as seen:
        going = asyncio.create_task(seen.until(lambda found: "a" in found))
        await fake.watched()
        await served.stop()
        with pytest.raises(ClusterUnavailable, match="cannot watch datavolumes default"):
            await going


async def test_connection_that_falls_silent(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A watch that hears nothing at all, not even a bookmark, is asked for again."""
    fake.create("datavolumes", volume("a"))
    async with watching(cluster, silence=0.1) as seen:
        hung = fake.fail(do="hang", verb="watch")
        going = asyncio.create_task(seen.until(lambda found: found["a"] == "1"))
        await hung.met.wait()
        label(fake, "a", "1")
        await going


@pytest.mark.parametrize("fault", ["garbage", "end"])
async def test_watches_that_end_at_once(cluster: Cluster, fake: FakeKubernetes, fault: str) -> None:
    """A proxy that ends watches as soon as they begin is not asked without pause, and named."""
    cluster.settings = IMPATIENT
    fake.fail(do=fault, verb="watch", times=1000)
    async with watching(cluster) as seen:
        with pytest.raises(ClusterUnavailable, match="cannot watch"):
            await seen.until(lambda found: "a" in found)
    assert len(fake.calls) < 20


async def test_forgotten_again_and_again(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A server that forgets every version at once is not listed without pause, and named."""
    cluster.settings = IMPATIENT
    fake.fail(status=410, verb="watch", times=1000)
    async with watching(cluster) as seen:
        with pytest.raises(ClusterUnavailable, match="cannot watch"):
            await seen.until(lambda found: "a" in found)
    assert len(fake.calls) < 30


def shake(fake: FakeKubernetes, chance: random.Random) -> None:
    """Do something to the objects or to the watches of them."""
    names = [one["metadata"]["name"] for one in fake.all("datavolumes")]
    name = f"n{chance.randrange(6)}"
    if name not in names:
        fake.create("datavolumes", volume(name, v="new"))
    elif chance.random() < 0.3:
        fake.delete("datavolumes", "default", name)
    else:
        label(fake, name, str(chance.random()))
    trouble = chance.choice([None] * 12 + [fake.cut_watches, fake.end_watches])
    if chance.random() < 0.03:
        trouble = fake.expire_watches
    if trouble:
        trouble()


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_known_is_what_is_so(
    cluster: Cluster, fake: FakeKubernetes, seed: int
) -> None:
    """After any number of changes, breaks, ends and forgotten versions, a watch knows the truth."""
    chance = random.Random(seed)
    async with watching(cluster) as seen:
        going = asyncio.create_task(seen.until(lambda found: "last" in found))
        await fake.watched()
        for number in range(120):
            shake(fake, chance)
            if number % 10 == 0:
                await fake.watched()
            await asyncio.sleep(0)
        fake.create("datavolumes", volume("last"))
        known = await going
    truth = {
        one["metadata"]["name"]: one["metadata"]["labels"].get("v", "")
        for one in fake.all("datavolumes")
    }
    assert known == truth
    assert len(known) > 1


async def test_credentials_that_end_while_watching(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A watch whose token is refused when it is taken up says so."""
    async with watching(cluster) as seen:
        going = asyncio.create_task(seen.until(lambda found: "a" in found))
        await fake.watched()
        fake.users.clear()
        fake.cut_watches()
        with pytest.raises(ClusterForbidden, match="Unauthorized"):
            await going


async def test_leaving_closes_the_connection(cluster: Cluster, fake: FakeKubernetes) -> None:
    """A watch that nobody wants any more holds no connection."""
    fake.create("datavolumes", volume("a"))
    async with watching(cluster) as seen:
        going = asyncio.create_task(seen.until(lambda found: "b" in found))
        await fake.watched()
        going.cancel()
        await asyncio.wait([going])
    await fake.unwatched()
