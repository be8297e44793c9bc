"""Watches of an API server: what changes is seen, and nothing that fails takes anybody down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from importer.config import Config, Kubernetes
from importer.copies import Copies
from importer.copies.history import History
from importer.copies.watcher import Pace, Watcher
from importer.kube.cluster import cluster as connected
from importer.metrics import Metrics
from importer.model import Copy
from tests.copies.stage import GiB
from tests.servers import kubernetes
from tests.servers.cdi.scripted import Clone, Import, bound
from tests.servers.kubernetes import Call, FakeKubernetes, Rule
from tests.servers.longhorn.scripted import Cloned, volume

CLASS = {"provisioner": "driver.longhorn.io", "parameters": {"dataEngine": "v2"}}
OF = {"backend": "cdi", "storage_class": "longhorn-v2", "engine": "longhorn-v2"}


SOON = Pace(interval=0.01, first=0.02, longest=0.1)
"""Little to wait between two looks and between two tries."""


@pytest.fixture
def fake() -> FakeKubernetes:
    """A cluster with a class of Longhorn v2."""
    found = FakeKubernetes()
    found.create("storageclasses", {"metadata": {"name": "longhorn-v2"}, **CLASS})
    return found


class Service:
    """What runs, and what it has to say."""

    def __init__(self, copies: Copies, metrics: Metrics) -> None:
        self.copies, self.metrics = copies, metrics

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)

    def up(self, resource: str) -> float | None:
        """Return what is told to Prometheus of a kind of object."""
        return self.value("importer_copy_watch_up", resource=resource)

    async def until(self, condition: Any) -> Any:
        """Return what *condition* returns once that is something."""
        while not (found := condition()):
            await asyncio.sleep(0.01)  # watches tell nobody that they are up
        return found

    async def news(self, condition: Any) -> Copy:
        """Return the first copy told of for which *condition* holds."""
        with self.copies.listener() as listener:
            every = [*self.copies.running(), *self.copies.recent()]
            while not (found := [one for one in every if condition(one)]):
                every = await listener.batch()
        return found[0]


@asynccontextmanager
async def watching(
    fake: FakeKubernetes, folder: Path, token: str | None = None, **settings: Any
) -> AsyncIterator[Service]:
    """Run a watcher against *fake*."""
    async with kubernetes.serving(fake) as served:
        path = served.kubeconfig(folder / "kubeconfig", *([token] if token else []))
        values: dict[str, Any] = {"timeout": 10.0, "patience": 0.1, **settings}
        config = Config(kubernetes=Kubernetes(enabled=True, kubeconfig=str(path), **values))
        metrics = Metrics()
        copies = Copies(History(folder / "copies.db"), metrics.copies)
        await copies.open()
        async with connected(config.kubernetes) as cluster:
            one = Watcher(copies, config, cluster, SOON)
            one.start()
            try:
                yield Service(copies, metrics)
            finally:
                await one.stop()
                await copies.close()


def asked(fake: FakeKubernetes, *kinds: str) -> list[Call]:
    """Return the calls for these kinds of objects."""
    return [call for call in fake.calls if call.resource in kinds]


def clone(fake: FakeKubernetes) -> tuple[Clone, Cloned]:
    """Let CDI ask Longhorn for a copy."""
    claim = bound(fake, "golden", "longhorn-v2", 10 * GiB)
    source = claim["spec"]["volumeName"]
    volume(fake, source, 10 * GiB, 3 * GiB)
    one = Clone(fake, "vm-1", "longhorn-v2", 10 * GiB, kind="csi-clone")
    one.begin()
    one.phase("CSIClone")
    return one, Cloned(fake, one.provision(), source, 10 * GiB)


async def test_copy_is_followed_to_its_end(fake: FakeKubernetes, tmp_path: Path) -> None:
    """Beginning, progress and end come to whoever listens, and to Prometheus."""
    async with watching(fake, tmp_path) as service:
        await service.until(lambda: len(service.copies.watching()) == 5)
        one, two = clone(fake)
        began = await service.news(lambda copy: copy.state == "Running")
        assert (began.uid, began.strategy) == (one.uid, "csi-clone")
        two.begin()
        two.initiate()
        two.progress(50)
        half = await service.news(lambda copy: copy.done == 3 * GiB // 2)
        assert half.total == 3 * GiB
        two.copied()
        one.succeed()
        done = await service.news(lambda copy: copy.state == "Done")
        assert done.done == 3 * GiB
        labels = {**OF, "strategy": "csi-clone"}
        exported = service.value("importer_copy_bytes_total", **labels, basis="inferred")
        assert exported == 3 * GiB


async def test_series_are_there_before_the_first_copy(fake: FakeKubernetes, tmp_path: Path) -> None:
    """Each strategy of a class begins at 0, so that increase() sees its first copy."""
    async with watching(fake, tmp_path) as service:
        labels = {**OF, "strategy": "linked-clone", "outcome": "failed", "reason": "clone-error"}
        told = lambda: service.value("importer_copies_total", **labels)  # noqa: E731
        await service.until(lambda: told() is not None)
        assert told() == 0


@pytest.mark.parametrize(
    ("group", "kinds"),
    [("cdi.kubevirt.io", {"datavolumes"}), ("longhorn.io", {"volumes", "engines"})],
)
async def test_what_is_not_installed_hides_nothing_else(
    fake: FakeKubernetes, tmp_path: Path, group: str, kinds: set[str]
) -> None:
    """Without CDI or without Longhorn the other's copies are seen; the metric says which."""
    fake.uninstall(group)
    with structlog.testing.capture_logs() as logs:
        async with watching(fake, tmp_path) as service:
            await service.until(lambda: len(service.copies.watching()) == 5)
            down = {kind for kind, up in service.copies.watching().items() if not up}
            assert down == kinds
            assert {kind for kind in service.copies.watching() if service.up(kind) == 0} == kinds
            if group == "longhorn.io":
                one = Import(fake, "debian", "longhorn-v2", GiB)
                one.begin()
                one.progress("10.00%")
                assert (await service.news(bool)).strategy == "cdi-import"
            else:
                volume(fake, "golden", GiB)
                two = Cloned(fake, "copy", "golden", GiB)
                two.begin()
                two.initiate()
                assert (await service.news(bool)).strategy == "full-copy"
            await service.until(lambda: len(asked(fake, *kinds)) > 4 * len(kinds))
    warned = [line for line in logs if line["event"] == "copies are not seen"]
    assert len(warned) == len(kinds)  # once each, however often it was tried


async def test_rights_that_are_missing_and_come(fake: FakeKubernetes, tmp_path: Path) -> None:
    """Without rights it says so, and tries until it has them."""
    most = [
        Rule((group,), (kind,), ("list", "watch"))
        for group, kind in (
            ("", "persistentvolumeclaims"),
            ("longhorn.io", "volumes"),
            ("longhorn.io", "engines"),
            ("storage.k8s.io", "storageclasses"),
        )
    ]
    token = fake.user("importer", most)
    async with watching(fake, tmp_path, token) as service:
        await service.until(lambda: service.up("datavolumes") == 0)
        await service.until(lambda: service.up("volumes") == 1)
        every = [*most, Rule(("cdi.kubevirt.io",), ("datavolumes",), ("list", "watch"))]
        fake.users[token] = replace(fake.users[token], rules=every)
        await service.until(lambda: service.up("datavolumes") == 1)


async def test_server_that_is_away(fake: FakeKubernetes, tmp_path: Path) -> None:
    """Copies that run are kept while nothing can be seen, and followed on."""
    one, two = clone(fake)
    two.begin()
    two.initiate()
    async with watching(fake, tmp_path) as service:
        await service.news(lambda copy: copy.state == "Running")
        fault = fake.fail(status=503, times=1_000_000)
        fake.end_watches()
        await service.until(lambda: set(service.copies.watching().values()) == {False})
        assert len(service.copies.running()) == 1
        fake.faults.remove(fault)
        two.copied()
        one.succeed()
        done = await service.news(lambda copy: copy.state == "Done")
        assert done.done == 3 * GiB


async def test_object_that_is_not_as_expected(fake: FakeKubernetes, tmp_path: Path) -> None:
    """One object of another shape is passed over; the others are seen."""
    broken = {"metadata": {"name": "odd", "namespace": "longhorn-system"}, "spec": {"size": [1]}}
    fake.create("volumes", broken)
    _, two = clone(fake)
    two.begin()
    two.initiate()
    async with watching(fake, tmp_path) as service:
        assert (await service.news(bool)).strategy == "csi-clone"
        assert service.up("volumes") == 1


async def test_only_the_namespaces_that_are_allowed(fake: FakeKubernetes, tmp_path: Path) -> None:
    """A service that may use some namespaces asks in those only."""
    async with watching(fake, tmp_path, namespaces=("default",)) as service:
        await service.until(lambda: len(service.copies.watching()) == 5)
    assert {call.namespace for call in asked(fake, "persistentvolumeclaims")} == {"default"}


async def test_without_a_cluster_nothing_is_watched(tmp_path: Path) -> None:
    """Only our own imports are looked at."""
    metrics = Metrics()
    copies = Copies(History(tmp_path / "copies.db"), metrics.copies)
    await copies.open()
    one = Watcher(copies, Config(), None, SOON)
    one.start()
    one.changed()
    await one.stop()
    await copies.close()
    assert copies.watching() == {}


async def test_stop_before_anything_was_seen(fake: FakeKubernetes, tmp_path: Path) -> None:
    """A service that stops at once stops."""
    with suppress(asyncio.CancelledError):
        async with watching(fake, tmp_path):
            pass


async def test_classes_of_one_image_share_a_label(fake: FakeKubernetes, tmp_path: Path) -> None:
    """Harvester makes a class for each image: an image's name becomes no label."""
    for name in ("longhorn-image-abcde", "longhorn-image-fghij"):
        parameters = {"backingImage": name, "dataEngine": "v1"}
        cls = {"provisioner": "driver.longhorn.io", "parameters": parameters}
        fake.create("storageclasses", {"metadata": {"name": name}, **cls})
    claim = bound(fake, "vm-1", "longhorn-image-abcde", GiB)
    volume(fake, "golden", GiB)
    two = Cloned(fake, str(claim["spec"]["volumeName"]), "golden", GiB, engine="v1")
    two.begin()
    two.initiate()
    async with watching(fake, tmp_path) as service:
        copy = await service.news(bool)
        assert (copy.storage_class, copy.engine) == ("(image)", "longhorn-v1")
        assert (copy.namespace, copy.name) == ("default", "vm-1")
        text = service.metrics.text().decode()
    assert 'storage_class="(image)"' in text
    assert "longhorn-image" not in text
