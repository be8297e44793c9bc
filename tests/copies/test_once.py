"""However copies, looks and restarts fall together: every copy is counted, and none twice."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.copies.stage import CEPH, V2, GiB, Stage
from tests.servers.cdi.scripted import Clone
from tests.servers.longhorn.scripted import Cloned

Ends = Counter[tuple[str, str]]


class Told:
    """What is going on in the cluster, by the name of each copy."""

    def __init__(self, there: Stage, dice: random.Random) -> None:
        self.there, self.dice = there, dice
        self.running: set[str] = set()
        self.seen: set[str] = set()
        """Those that ran when the service looked."""

        self.ends: dict[str, Ends] = {"host-assisted": Counter(), "csi-clone": Counter()}

    def deleted(self, one: Clone, strategy: str) -> None:
        """Delete a copy half-way; one that nobody saw running was none."""
        one.delete()
        self.running.discard(one.name)
        self.ends[strategy]["deleted", ""] += one.name in self.seen

    def host_assisted(self, name: str) -> Iterator[None]:
        """Tell of a host-assisted clone, step by step."""
        one = Clone(self.there.kubernetes, name, "ceph", GiB, kind="copy")
        one.begin()
        yield
        one.phase("HostClone")
        self.running.add(name)
        for percent in (20, 60):
            yield
            one.phase("HostClone", f"{percent}.00%")
        if self.dice.random() < 0.3:
            self.deleted(one, "host-assisted")
            return
        yield
        one.fail("the object has been modified")
        yield
        one.succeed()
        self.running.discard(name)
        self.ends["host-assisted"]["done", ""] += 1
        yield

    def deep(self, name: str, source: str) -> Iterator[None]:
        """Tell of a clone that CDI has Longhorn make, with tries that fail."""
        one = Clone(self.there.kubernetes, name, "longhorn-v2", GiB, kind="csi-clone")
        one.begin()
        yield
        one.phase("CSIClone")
        self.running.add(name)
        yield
        two = Cloned(self.there.kubernetes, one.provision(), source, GiB)
        two.begin()
        one.bind(two.name)
        two.bound(one.passing)
        yield
        tries = self.dice.randint(1, 3)
        for attempt in range(1, tries):
            two.initiate(attempt)
            yield
            two.fail("no replica")
            self.ends["csi-clone"]["failed", "volume-failed"] += 1
            yield
        two.initiate(tries)
        yield
        one.unbind()
        yield
        one.rebind(two.name)
        two.bound(one.name)
        one.succeed()
        yield
        two.copied()
        self.running.discard(name)
        self.ends["csi-clone"]["done", ""] += 1
        yield
        two.complete()


@pytest.mark.parametrize("seed", range(8))
async def test_every_copy_is_counted_once(there: Stage, seed: int) -> None:
    """Of any mixture of clones, with looks and restarts anywhere between their steps."""
    dice = random.Random(seed)
    source = there.golden(V2, GiB, GiB // 2)
    told = Told(there, dice)
    lives = [told.host_assisted(f"a-{number}") for number in range(5)]
    lives += [told.deep(f"b-{number}", source) for number in range(5)]
    while lives:
        one = dice.choice(lives)
        if next(one, lives) is lives:
            lives.remove(one)
        there.clock.advance(dice.choice([0, 0.25, 0.5]))  # no error lasts a minute
        if dice.random() < 0.5:
            await there.look()
            told.seen |= told.running
        if dice.random() < 0.1:
            await there.stop()
            await there.start()
    await there.look()
    there.clock.advance(100)
    await there.look()
    for of, strategy in ((CEPH, "host-assisted"), (V2, "csi-clone")):
        assert there.ended(of, strategy) == +told.ends[strategy]
    assert there.copies.running() == []
    assert there.ended(V2, "full-copy") == {}
    shown = {copy.uid for copy in there.copies.recent()}
    assert len(shown) == len(there.copies.recent())
