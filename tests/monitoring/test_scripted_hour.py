"""An hour of copies on a cluster, told step by step: what Prometheus makes of it is what was told.

The clock is moved by hand, the cluster's objects say what CDI's and Longhorn's say, the service's
own code looks at them, and its metrics are scraped every minute.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from importer.copies.seen import ClassFact
from tests.copies.stage import CEPH, V2, GiB, Stage, stage
from tests.monitoring.history import blocks, scraped
from tests.monitoring.prometheus import Prometheus, prometheus
from tests.servers.cdi import scripted as cdi
from tests.servers.cdi.scripted import Clone
from tests.servers.longhorn import scripted as longhorn
from tests.servers.longhorn.scripted import Cloned
from tests.servers.running import config, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TOKEN = "scrape-me"
MINUTE = 60


@dataclass
class Hour:
    """What happens, and what was scraped meanwhile."""

    there: Stage
    scrapes: list[tuple[float, list[str]]] = field(default_factory=list)

    async def passes(self, seconds: int) -> None:
        """Let that many seconds pass; at each full minute it is scraped."""
        for _ in range(seconds):
            self.there.clock.advance(1)
            if self.there.clock.now() % MINUTE == 0:
                self._scrape()
        await self.there.look()

    def _scrape(self) -> None:
        self.scrapes.append((self.there.clock.now(), list(scraped(self.there.metrics, 0.0))))

    def ended(self, end: float) -> list[str]:
        """Return all lines as if the last scrape had been at *end*."""
        last = self.scrapes[-1][0]
        return [
            f"{line.rpartition(' ')[0]} {at - last + end:.3f}\n"
            for at, lines in self.scrapes
            for line in lines
        ]

    def clone(self, name: str, of: ClassFact, kind: str, source: str = "golden") -> Clone:
        """Let somebody ask CDI for a clone."""
        one = Clone(self.there.kubernetes, name, of.name, 10 * GiB, kind=kind, source=source)
        one.begin()
        return one

    async def copied(self, name: str, of: ClassFact, kind: str, phase: str, seconds: int) -> None:
        """Let CDI make a clone in that time."""
        one = self.clone(name, of, kind)
        one.phase(phase)
        await self.there.look()
        await self.passes(seconds)
        one.succeed()
        await self.there.look()

    async def failed(self, name: str) -> None:
        """Let a clone through CDI's pods fail after ten seconds, at a quarter."""
        one = self.clone(name, CEPH, "copy")
        one.phase("HostClone", "25.00%")
        await self.there.look()
        await self.passes(10)
        one.fail("source claim does not exist")
        await self.there.look()
        await self.passes(2 * MINUTE)

    async def deep(self) -> None:
        """Let Longhorn v2 copy the 3 GiB that a volume takes, in a minute."""
        found = self.there.kubernetes
        claim = cdi.bound(found, "golden-v2", V2.name, 10 * GiB)
        source = str(claim["spec"]["volumeName"])
        longhorn.volume(found, source, 10 * GiB, 3 * GiB)
        one = self.clone("deep", V2, "csi-clone", "golden-v2")
        one.phase("CSIClone")
        two = Cloned(found, one.provision(), source, 10 * GiB)
        two.begin()
        await self.there.look()
        two.initiate()
        await self.passes(30)
        two.progress(50)
        await self.passes(30)
        two.copied()
        await self.there.look()


async def happens(there: Stage) -> Hour:
    """Tell the hour: one clone that never ends, four that do, two that fail."""
    hour = Hour(there)
    there.golden(CEPH, 8 * GiB)
    await hour.passes(2 * MINUTE)
    hour.clone("endless", CEPH, "csi-clone").phase("CSIClone")
    await hour.passes(3 * MINUTE)
    await hour.copied("a", CEPH, "copy", "HostClone", 64)
    await hour.copied("b", CEPH, "copy", "HostClone", 128)
    await hour.copied("c", CEPH, "csi-clone", "CSIClone", 32)
    await hour.deep()
    await hour.passes(20 * MINUTE)
    await hour.failed("d")
    await hour.failed("e")
    await hour.passes(20 * MINUTE)
    return hour


async def value(
    asked: Prometheus, name: str, of: ClassFact, strategy: str, more: str = ""
) -> float:
    """Return what is recorded of a class and strategy."""
    labels = f'storage_class="{of.name}", engine="{of.engine}", backend="{of.backend}"'
    (found,) = await asked.until(f'{name}{{{labels}, strategy="{strategy}"{more}}}')
    return float(found["value"][1])


async def test_an_hour_of_copies(tmp_path: Path) -> None:
    """Each class and strategy has the script's bytes over seconds; what failed or hangs is told."""
    settings = config(tmp_path / "data", service={"scrape_token": TOKEN})
    async with stage(tmp_path) as there:
        hour = await happens(there)
    assert hour.scrapes[-1][0] - hour.scrapes[0][0] < 60 * MINUTE
    end = time.time() - 1
    blocks(hour.ended(end), tmp_path)
    async with (
        running(settings) as client,
        prometheus(client.base.removeprefix("http://"), TOKEN, tmp_path, end) as asked,
    ):
        await is_as_told(asked)


async def is_as_told(asked: Prometheus) -> None:
    """Compare with the script."""
    inferred = ', basis="inferred"'
    for window in ("1h", "1d"):
        rate = f"storage_class:importer_copy_bytes_per_second:{window}"
        # Two whole ones, and a quarter of two that failed: 16 GiB in 192 s, 4 GiB in 20 s.
        hosted = await value(asked, rate, CEPH, "host-assisted", inferred)
        assert hosted == pytest.approx(20 * GiB / 212)
        assert await value(asked, rate, CEPH, "csi-clone", inferred) == pytest.approx(GiB / 4)
        assert await value(asked, rate, V2, "csi-clone", inferred) == pytest.approx(3 * GiB / 60)
    # increase() guesses what was beyond the first and the last scrape.
    copies = "storage_class:importer_copies:1d"
    assert await value(asked, copies, CEPH, "host-assisted") == pytest.approx(2, rel=0.1)
    failed = "storage_class:importer_failed_copies:1d"
    why = ', reason="source-missing"'
    assert await value(asked, failed, CEPH, "host-assisted", why) == pytest.approx(2, rel=0.1)
    assert await value(asked, "importer_copy_active", CEPH, "csi-clone") == 1
    assert await value(asked, "importer_copy_remaining_bytes", CEPH, "csi-clone") == 8 * GiB
    assert await value(asked, "importer_copy_idle_seconds", CEPH, "csi-clone") > 40 * MINUTE
    await asked.until('ALERTS{alertname="ImporterCopiesFail", reason="source-missing"}')
    await asked.until('ALERTS{alertname="ImporterCopyStuck", strategy="csi-clone"}')
