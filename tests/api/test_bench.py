"""The bench through the API: what it finds, what it refuses, and that nothing of it stays."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api.test_cluster import Both, settings
from tests.crash.test_cluster_crash import often
from tests.servers.gated import COPYING, POINTS, Gate, gated
from tests.servers.kubernetes import denied
from tests.servers.running import Client, config, running, until
from tests.servers.site import site
from tests.targets.longhorn import skip

MiB = 1 << 20
OVER = ("Done", "Ended", "Failed")
TWO = {"classes": ["one=images", "two=more"]}


async def over(client: Client, bench: Any) -> Any:
    """Return the bench once it is over."""
    while bench["state"] not in OVER:
        await asyncio.sleep(0.02)
        status, bench = await client.ask("GET", f"/v1/bench/{bench['id']}")
        assert status == 200, bench
    return bench


async def begun(client: Client, *classes: str, **fields: Any) -> Any:
    """Begin a bench of *classes*."""
    wanted = {"storageClasses": classes, "size": 24 * MiB, **fields}
    status, bench = await client.ask("POST", "/v1/bench", json=wanted)
    assert status == 201, bench
    return bench


def left(data: Path) -> list[str]:
    """Return what lies in the directories of the classes."""
    folders = (data / "images", data / "more")
    return [str(path) for folder in folders for path in folder.rglob("*")]


async def test_every_class_has_its_turns(tmp_path: Path) -> None:
    """Imports and copies of the same disk are told side by side, and nothing of them stays."""
    async with running(config(tmp_path, local=TWO)) as client:
        bench = await over(client, await begun(client, "one", "two", runs=2, dataShare=0.5))
        assert bench["state"] == "Done"
        assert bench["data"] == 12 * MiB
        turns = [(run["storageClass"], run["run"]) for run in bench["runs"]]
        assert turns == [("one", 1), ("two", 1), ("one", 2), ("two", 2)]
        for run in bench["runs"]:
            assert run["error"] is None
            imported, copied = run["imported"], run["copied"]
            names = [phase["name"] for phase in imported["phases"]]
            assert names == ["Inspecting", "Preparing", "Transferring", "Processing"]
            total = sum(phase["seconds"] for phase in imported["phases"])
            assert imported["seconds"] == round(total, 3)
            assert copied["basis"] == "measured"
            assert copied["bytes"] == (12 * MiB if copied["strategy"] == "full-copy" else 0)
        assert await client.names() == {}
        assert left(tmp_path) == []


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    """A service and a cluster, nothing made yet, that the service has looked at once."""
    async with (
        site(tmp_path / "site") as cluster,
        running(settings(tmp_path / "data", cluster, copies={"watch": True})) as client,
    ):
        # What is over at the first look is taken for older than the service.
        await until(lambda: client.service.benches._course.copies._known)
        yield Both(client, cluster, tmp_path)


async def test_a_clusters_classes_are_compared(both: Both) -> None:
    """CDI says how it copied; a class of Longhorn v1 says why it did not; all goes again."""
    client = both.client
    bench = await over(client, await begun(client, "longhorn-v2", "longhorn", "lvm"))
    assert bench["state"] == "Done"
    found = {run["storageClass"]: run for run in bench["runs"]}
    for run in found.values():
        assert run["error"] is None
        assert run["imported"]["bytesPerSecond"] > 0
    v2 = found["longhorn-v2"]
    assert (v2["engine"], v2["copied"]["strategy"]) == ("longhorn-v2", "csi-clone")
    assert (v2["copied"]["basis"], v2["copied"]["bytes"]) == ("inferred", bench["data"])
    assert found["longhorn"]["copied"] is None
    assert "without a copy" in found["longhorn"]["note"]
    assert both.left() == []
    assert await client.names() == {}


STEPS = [*POINTS, *COPYING]


@asynccontextmanager
async def held(data: Path, point: str) -> AsyncIterator[tuple[Client, Any, Gate]]:
    """Run a service whose bench is held at *point*."""
    ours, gate = config(data, local=TWO), Gate(point)
    async with running(ours, gated(ours, gate)) as client:
        bench = await begun(client, "one")
        await gate.reached.wait()
        yield client, bench, gate


@pytest.mark.parametrize("point", STEPS)
async def test_a_bench_that_is_ended_leaves_nothing(tmp_path: Path, point: str) -> None:
    """Whatever it was at: its client is told that it was ended, and asks until all is gone."""
    async with held(tmp_path, point) as (client, bench, gate):
        status, told = await client.ask("DELETE", f"/v1/bench/{bench['id']}")
        assert (status, told["state"]) == (200, "Cleaning")
        gate.opened.set()
        ended = await over(client, bench)
        assert (ended["state"], ended["error"]["slug"]) == ("Ended", "cancelled")
        assert await client.names() == {}
        assert left(tmp_path) == []


@pytest.mark.parametrize("point", ["before prepare", "amid write", "after copy", "before remove"])
async def test_a_bench_that_nobody_asks_about_ends(tmp_path: Path, point: str) -> None:
    """A client that was killed asks no more: after a minute all that was made goes."""
    async with held(tmp_path, point) as (client, bench, gate):
        skip(60)
        gate.opened.set()
        ended = await over(client, bench)
        assert ended["state"] == "Ended"
        assert "nobody asked for 60 s" in ended["error"]["message"]
        assert left(tmp_path) == []


@pytest.mark.parametrize("point", often(STEPS, "amid write", "after copy", "before remove"))
async def test_a_service_that_stops_leaves_nothing_of_a_bench(tmp_path: Path, point: str) -> None:
    """It cleans up before it goes."""
    async with held(tmp_path, point) as (client, _, gate):
        stopping = asyncio.create_task(client.service.benches.stop())
        await asyncio.sleep(0)  # it has begun
        gate.opened.set()
        await stopping
        assert await client.names() == {}
        assert left(tmp_path) == []


async def test_a_benchs_copies_are_counted_as_all_others(both: Both) -> None:
    """Its imports and copies stand in /v1/copies, in the stream of events and in /metrics."""
    client = both.client
    await over(client, await begun(client, "longhorn-v2"))
    _, told = await client.ask("GET", "/v1/copies")
    found = {copy["strategy"]: copy for copy in told["items"] if copy["state"] == "Done"}
    assert set(found) == {"import", "csi-clone"}
    assert found["csi-clone"]["storageClass"] == "longhorn-v2"
    report = next(one for one in told["classes"] if one["storageClass"] == "longhorn-v2")
    assert {(one["strategy"], one["done"]) for one in report["copies"]} == {
        ("import", 1),
        ("csi-clone", 1),
    }
    async with client.http.get(f"{client.base}/metrics") as response:
        text = await response.text()
    counted = [line for line in text.splitlines() if line.startswith("importer_copies_total{")]
    assert any('"csi-clone"' in line and line.endswith(" 1.0") for line in counted)


async def test_one_at_a_time(tmp_path: Path) -> None:
    """Two would measure each other: the second is refused, and taken once the first is over."""
    async with held(tmp_path, "after copy") as (client, bench, gate):
        wanted = {"storageClasses": ["two"], "size": 8 * MiB}
        status, refused = await client.ask("POST", "/v1/bench", json=wanted)
        assert (status, refused["error"]["slug"]) == (409, "bench-busy")
        assert bench["id"] in refused["error"]["message"]
        gate.opened.set()
        assert (await over(client, bench))["state"] == "Done"
        assert (await over(client, await begun(client, "two")))["state"] == "Done"
        status, _ = await client.ask("GET", f"/v1/bench/{bench['id']}")
        assert status == 404


@pytest.mark.parametrize(
    ("fields", "slug", "words"),
    [
        ({"storageClasses": ["nowhere"]}, "unknown-storage-class", "nowhere"),
        ({"storageClasses": ["one", "one"]}, "bad-request", "named twice"),
        ({"storageClasses": []}, "bad-request", "storageClasses"),
        ({"size": 1 << 45}, "limit-exceeded", "larger than"),
        ({"dataShare": 1.5}, "bad-request", "dataShare"),
        ({"namespace": "../x"}, "bad-request", "namespace"),
    ],
)
async def test_refusals(tmp_path: Path, fields: dict[str, Any], slug: str, words: str) -> None:
    """What cannot be run is refused before anything is made."""
    async with running(config(tmp_path, local=TWO)) as client:
        wanted = {"storageClasses": ["one"], "size": 8 * MiB, **fields}
        status, refused = await client.ask("POST", "/v1/bench", json=wanted)
        assert (status >= 400, refused["error"]["slug"]) == (True, slug)
        assert words in refused["error"]["message"]


async def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    """The disk and its copy must have room in the class; the message has both values."""
    room = shutil.disk_usage(tmp_path)
    limits = {"free_space": room.free - 20 * MiB}
    async with running(config(tmp_path, local=TWO, limits=limits)) as client:
        wanted = {"storageClasses": ["one"], "size": 512 * MiB, "dataShare": 1}
        status, refused = await client.ask("POST", "/v1/bench", json=wanted)
        assert (status, refused["error"]["slug"]) == (507, "no-space")
        assert "need 1.0 GiB" in refused["error"]["message"]


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("scheduling", "Preparing: "),
        ("binding", "Processing"),
        ("cloning", "DataVolume is CSICloneInProgress"),
        ("deep_copying", "Longhorn copies"),
    ],
)
async def test_ended_while_the_cluster_works(both: Both, gate: str, words: str) -> None:
    """Pods that wait, claims that are bound, copies half-way: all of it goes."""
    getattr(both.site.cdi, gate).clear()
    bench = await begun(both.client, "longhorn-v2")
    while words not in bench["doing"] or not both.left():
        _, bench = await both.client.ask("GET", f"/v1/bench/{bench['id']}")
        await asyncio.sleep(0.01)
    status, _ = await both.client.ask("DELETE", f"/v1/bench/{bench['id']}")
    assert status == 200
    assert (await over(both.client, bench))["state"] == "Ended"
    assert both.left() == []
    assert await both.client.names() == {}


async def test_how_far_it_is(both: Both) -> None:
    """What it does in words, and how far that is: a copy by Longhorn in the bytes it moves."""
    both.site.cdi.deep_copying.clear()
    bench = await begun(both.client, "longhorn-v2")
    while not bench["progress"] or "Longhorn copies" not in bench["doing"]:
        _, bench = await both.client.ask("GET", f"/v1/bench/{bench['id']}")
        await asyncio.sleep(0.01)
    assert bench["doing"] == "longhorn-v2, run 1 of 1: Longhorn copies"
    total = bench["progress"]["total"]
    assert (bench["progress"]["done"], total) == (total * 3 // 10, bench["data"])
    both.site.cdi.deep_copying.set()
    assert (await over(both.client, bench))["state"] == "Done"


async def test_a_class_that_fails_does_not_stop_the_others(both: Both) -> None:
    """Its row says why; the next class has its turn, and nothing of either stays."""
    both.site.cdi.clone_error, both.site.cdi.clone_fails = "source shrank", True
    bench = await over(both.client, await begun(both.client, "unknown", "longhorn-v2", "longhorn"))
    assert bench["state"] == "Done"
    unknown, v2, v1 = bench["runs"]
    assert (unknown["error"]["slug"], unknown["imported"]) == ("target-failed", None)
    assert "ErrClaimNotValid" in unknown["error"]["message"]
    assert (v2["error"]["slug"], v2["copied"]) == ("target-failed", None)
    assert v2["imported"]["seconds"] > 0
    assert v1["error"] is None
    assert both.left() == []


async def test_what_cannot_be_removed_is_tried_again(both: Both) -> None:
    """The bench says that it failed, and of what; the next one waits until all of it is gone."""
    client, fake = both.client, both.site.kubernetes
    both.site.cdi.deep_copying.clear()
    bench = await begun(client, "longhorn-v2")
    await until(lambda: len(fake.all("volumes")) == 2)

    def refuse(verb: str, *_: object) -> None:
        if verb == "delete":
            raise denied("guard.example", "not today", 403, "Forbidden")

    fake.admit("datavolumes", refuse)
    both.site.cdi.deep_copying.set()
    failed = await over(client, bench)
    assert failed["state"] == "Failed"
    assert "not today" in failed["error"]["message"]
    fake.admissions.pop()
    wanted = {"storageClasses": ["longhorn"], "size": 8 * MiB}
    status, refused = await client.ask("POST", "/v1/bench", json=wanted)
    assert (status, refused["error"]["slug"]) == (409, "bench-busy")
    assert "not today" in refused["error"]["message"]
    while await client.service.benches.things():
        await asyncio.sleep(0.01)
    assert both.left() == []
    assert (await over(client, await begun(client, "longhorn")))["state"] == "Done"
