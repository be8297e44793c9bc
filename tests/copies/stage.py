"""A cluster whose copies a test tells, a clock that it moves, and what the service makes of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from importer.copies import Copies, facts
from importer.copies.facts import Facts
from importer.copies.history import History
from importer.copies.seen import CLAIMS, DATA_VOLUMES, ENGINES, VOLUMES, ClassFact
from importer.metrics import Metrics
from importer.model import Copy
from tests.servers.cdi import scripted as cdi
from tests.servers.clock import HandClock
from tests.servers.kubernetes import FakeKubernetes
from tests.servers.longhorn import scripted as longhorn

MiB = 1 << 20
GiB = 1 << 30

V2 = ClassFact("longhorn-v2", "cdi", "longhorn-v2")
CEPH = ClassFact("ceph", "cdi", "rook-ceph.rbd.csi.ceph.com")
LVM = ClassFact("lvm", "cdi", "lvm", waits=True)
CLASSES = {one.name: one for one in (V2, CEPH, LVM)}

EVERY = frozenset({CLAIMS, DATA_VOLUMES, VOLUMES, ENGINES})


@dataclass
class Stage:
    """All of it."""

    clock: HandClock
    kubernetes: FakeKubernetes
    data: Path
    metrics: Metrics = field(default_factory=Metrics)
    copies: Copies = field(init=False)
    watched: frozenset[str] = EVERY
    """Kinds of objects that can be seen."""

    async def start(self) -> None:
        """Start the service, with metrics of its own as a process has."""
        self.metrics = Metrics()
        history = History(self.data / "copies.db")
        self.copies = Copies(history, self.metrics.copies, self.clock.now)
        await self.copies.open()
        self.copies.classify(CLASSES)

    async def stop(self) -> None:
        """Stop it."""
        await self.copies.close()

    async def look(self) -> None:
        """Let the service look."""
        found = self.kubernetes
        await self.copies.look(
            Facts(
                claims=[facts.claim(one) for one in found.all(CLAIMS)],
                data_volumes=[facts.data_volume(one) for one in found.all(DATA_VOLUMES)],
                volumes=[facts.volume(one) for one in found.all("volumes")],
                engines=[facts.engine(one) for one in found.all("engines")],
                watched=self.watched,
            )
        )

    def golden(self, storage_class: ClassFact, size: int, actual: int = 0) -> str:
        """Make a claim to clone, with a volume of Longhorn's; return that one's name."""
        claim = cdi.bound(self.kubernetes, "golden", storage_class.name, size)
        name = str(claim["spec"]["volumeName"])
        if storage_class.engine.startswith("longhorn"):
            longhorn.volume(self.kubernetes, name, size, actual)
        return name

    def told(self, name: str, **labels: str) -> float | None:
        """Return a metric's value; None: there is no such series."""
        return self.metrics.registry.get_sample_value(name, labels)

    def counted(self, of: ClassFact, strategy: str) -> tuple[float | None, float | None]:
        """Return bytes and seconds of a class and strategy, as exported."""
        labels = {"strategy": strategy, **_of(of)}
        basis = "measured" if strategy == "import" else "inferred"
        size = self.told("importer_copy_bytes_total", basis=basis, **labels)
        return size, self.told("importer_copy_seconds_total", basis=basis, **labels)

    def ended(self, of: ClassFact, strategy: str) -> dict[tuple[str, str], float]:
        """Return how often each outcome and reason was counted, those that were not left out."""
        wanted = {"strategy": strategy, **_of(of)}.items()
        return {
            (sample.labels["outcome"], sample.labels["reason"]): sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "importer_copies_total"
            and wanted <= sample.labels.items()
            and sample.value
        }

    def live(self, of: ClassFact, strategy: str) -> tuple[float | None, ...]:
        """Return active copies, bytes that are left, and idle seconds, as exported."""
        names = ("active", "remaining_bytes", "idle_seconds")
        labels = {"strategy": strategy, **_of(of)}
        return tuple(self.told(f"importer_copy_{name}", **labels) for name in names)

    def only(self) -> Copy:
        """Return the one copy that runs."""
        (copy,) = self.copies.running()
        return copy

    def last(self) -> Copy:
        """Return the one copy that is over."""
        (copy,) = self.copies.recent()
        return copy


def _of(of: ClassFact) -> dict[str, str]:
    return {"backend": of.backend, "storage_class": of.name, "engine": of.engine}


@asynccontextmanager
async def stage(data: Path) -> AsyncIterator[Stage]:
    """Run a service that has looked at an empty cluster."""
    clock = HandClock()
    kubernetes = FakeKubernetes()
    kubernetes.store.clock = clock
    one = Stage(clock, kubernetes, data)
    await one.start()
    await one.look()
    try:
        yield one
    finally:
        await one.stop()
