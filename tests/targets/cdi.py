"""CDI as a member of the suites: its fake in a fake cluster, and ourselves before it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from importer import config
from importer.kube.classes import storage_class
from importer.kube.cluster import Cluster
from importer.kube.cluster import cluster as connected
from importer.targets import Finished, Order, Place, Tell, untold
from importer.targets.cdi.shelf import CdiShelf
from importer.targets.cdi.upload import Pace
from tests.servers import kubernetes
from tests.servers.cdi import Cdi
from tests.servers.certificates import Authority
from tests.servers.kubernetes import FakeKubernetes, Object, Rule

CLASSES: list[Object] = [
    {
        "metadata": {"name": "lh2"},
        "provisioner": "driver.longhorn.io",
        "parameters": {"dataEngine": "v2", "migratable": "true"},
    },
    {
        "metadata": {"name": "lvm"},
        "provisioner": "lvm.driver.harvesterhci.io",
        "volumeBindingMode": "WaitForFirstConsumer",
    },
    {"metadata": {"name": "unknown"}, "provisioner": "unknown.example"},
]
PACE = Pace(told=1.0)


@dataclass
class CdiMember:
    """A storage class that CDI makes images of."""

    fake: FakeKubernetes
    cdi: Cdi
    cluster: Cluster
    settings: config.Cdi
    shelf: CdiShelf
    told: list[str] = field(default_factory=list)
    """What people were told, in order."""

    is_device = False

    def hear(self, doing: str, done: int | None = None, total: int | None = None) -> None:
        self.told.append(doing)

    def place(self, order: Order, tell: Tell = untold) -> Place:
        return self.shelf.place(order, tell if tell is not untold else self.hear)

    @property
    def volumes(self) -> list[Object]:
        return self.fake.all("datavolumes")

    def assert_clean(self, *, wiped: bool = True) -> None:
        """See that nothing of an import is left in the cluster."""
        for kind in ("datavolumes", "persistentvolumeclaims", "pods", "volumeuploadsources"):
            assert self.fake.all(kind) == []

    def files(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.volumes]

    def made(self, format: str) -> list[str]:
        return ["disk"]

    def stored(self, format: str) -> str:
        return "raw"

    def image(self, finished: Finished, folder: Path) -> tuple[Path, str]:
        """Return a file with the guest's disk: the volume may be larger."""
        space, _, name = finished.placed.name.partition("/")
        assert finished.placed.kind == "DataVolume"
        whole = self.cdi.volume(space, name)
        size = finished.info.virtual_size or 0
        copy = folder / "volume.raw"
        with whole.open("rb") as file, copy.open("wb") as to:
            to.write(file.read(size))
            assert not any(file.read())
            to.truncate(size)
        return copy, "raw"


@asynccontextmanager
async def cdi_member(
    root: Path,
    *,
    name: str = "lh2",
    pace: Pace = PACE,
    patience: float = 5.0,
    settings: dict[str, Any] | None = None,
    rules: list[Rule] | None = None,
    **fields: Any,
) -> AsyncIterator[CdiMember]:
    """Run CDI with *fields* in a cluster of its own.

    *patience*: with the API server. *rules*: what we may do; all, when there are none.
    """
    fake, authority = FakeKubernetes(), Authority(root / "ca")
    fake.create("namespaces", {"metadata": {"name": "team"}})
    for one in CLASSES:
        fake.create("storageclasses", one)
    (root / "cdi").mkdir()
    token = fake.user("importer", rules)
    async with (
        Cdi(fake, root / "cdi", authority=authority, **fields) as cdi,
        kubernetes.serving(fake) as served,
        connected(
            config.Kubernetes(
                enabled=True,
                kubeconfig=str(served.kubeconfig(root / "kubeconfig", token)),
                timeout=10.0,
                patience=patience,
            )
        ) as cluster,
    ):
        cdi.proxy.poll = 0.01
        of = await storage_class(cluster, name)
        fake.calls.clear()
        ours = config.Cdi(**(settings or {}))
        shelf = CdiShelf(cluster, of, ours, pace=pace)
        yield CdiMember(fake, cdi, cluster, ours, shelf)
