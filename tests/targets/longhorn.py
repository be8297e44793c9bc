"""Longhorn as a member of the suites: its fake in a fake cluster, and ourselves before it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from importer import config
from importer.formats.recognise import refuse_nested
from importer.kube.classes import storage_class
from importer.kube.cluster import Cluster
from importer.kube.cluster import cluster as connected
from importer.targets import Finished, Order, Place, Tell, untold
from importer.targets.backingimage.objects import name_of
from importer.targets.backingimage.shelf import BackingImageShelf
from importer.targets.backingimage.upload import Pace
from tests.servers import kubernetes
from tests.servers.kubernetes import FakeKubernetes, Object, Rule
from tests.servers.longhorn import Longhorn

SPACE = "longhorn-system"
CLASS = {
    "metadata": {"name": "fast"},
    "provisioner": "driver.longhorn.io",
    "parameters": {
        "numberOfReplicas": "2",
        "staleReplicaTimeout": "30",
        "diskSelector": "ssd,nvme",
    },
}
PACE = Pace(told=30.0)


@dataclass
class LonghornMember:
    """A storage class of Longhorn v1."""

    fake: FakeKubernetes
    longhorn: Longhorn
    cluster: Cluster
    settings: config.Longhorn
    shelf: BackingImageShelf
    told: list[str] = field(default_factory=list)
    """What people were told, in order."""

    is_device = False

    def hear(self, doing: str, done: int | None = None, total: int | None = None) -> None:
        self.told.append(doing)

    def place(self, order: Order, tell: Tell = untold) -> Place:
        return self.shelf.place(order, tell if tell is not untold else self.hear)

    @property
    def images(self) -> list[Object]:
        return self.fake.all("backingimages")

    @property
    def name(self) -> str:
        """The name of the only image."""
        (image,) = self.images
        return str(image["metadata"]["name"])

    def assert_clean(self, *, wiped: bool = True) -> None:
        """See that nothing of an import is left in the cluster, nor on Longhorn's disk."""
        for kind in ("backingimages", "backingimagedatasources", "pods"):
            assert self.fake.all(kind) == []
        assert [one["metadata"]["name"] for one in self.fake.all("storageclasses")] == ["fast"]
        assert [file for file in self.longhorn.root.rglob("*") if file.is_file()] == []

    def files(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.images]

    def made(self, format: str) -> list[str]:
        return [name_of(Order("", "default", "disk", None, {}))]

    def stored(self, format: str) -> str:
        return format

    def image(self, finished: Finished, folder: Path) -> tuple[Path, str]:
        """Return Longhorn's file, and its format."""
        space, _, name = finished.placed.name.partition("/")
        assert (finished.placed.kind, space) == ("BackingImage", SPACE)
        path = self.longhorn.file(name)
        return path, "qcow2" if path.read_bytes()[:4] == b"QFI\xfb" else "raw"


@asynccontextmanager
async def longhorn_member(
    root: Path,
    *,
    pace: Pace = PACE,
    patience: float = 5.0,
    settings: dict[str, Any] | None = None,
    rules: list[Rule] | None = None,
    **fields: Any,
) -> AsyncIterator[LonghornMember]:
    """Run Longhorn with *fields* in a cluster of its own.

    *patience*: with the API server. *rules*: what we may do; all, when there are none.
    """
    fake = FakeKubernetes()
    fake.create("storageclasses", CLASS)
    (root / "longhorn").mkdir()
    token = fake.user("importer", rules)
    async with (
        Longhorn(fake, root / "longhorn", **fields) as longhorn,
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
        ours = config.Longhorn(**{"url": longhorn.url, "namespace": SPACE, **(settings or {})})
        of = await storage_class(cluster, "fast")
        fake.calls.clear()
        shelf = BackingImageShelf(cluster, of, ours, refuse_nested, pace=pace)
        yield LonghornMember(fake, longhorn, cluster, ours, shelf)


def skip(seconds: float) -> None:
    """End at once every `asyncio.timeout` that ends within *seconds*, and in over 20 s.

    Requests in flight keep their time: jumping the loop's clock would end them too.
    """
    loop = asyncio.get_running_loop()
    now = loop.time()
    timers = [getattr(timer, "_callback", None) for timer in loop._scheduled]  # type: ignore[attr-defined]
    ends = [getattr(timer, "__self__", None) for timer in timers]
    waits = [end for end in ends if isinstance(end, asyncio.Timeout)]
    due = [end for end in waits if 20 < (end.when() or 0) - now <= seconds]
    assert due, "nothing waits so long"
    for end in due:
        end.reschedule(now)
