"""The rights in deploy/kustomize against the calls that imports make, in both directions.

A cluster of fakes knows the service's account with exactly the rules that an overlay binds to it.
`SCENES` are what a service does there: a new way of asking the cluster gets its scene, or a scene
that comes by. A call that no rule grants fails the test, and so does a right that no scene uses.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from importer import config
from importer.copies import Copies
from importer.copies.history import History
from importer.copies.watcher import Watcher
from importer.errors import ImporterError, TargetTimeout
from importer.formats.recognise import refuse_nested
from importer.kube.classes import storage_classes
from importer.kube.cluster import Cluster
from importer.kube.cluster import cluster as connected
from importer.metrics import Metrics
from importer.model import Placed
from importer.targets import Order, Place, Shelf, marks
from importer.targets.backingimage.shelf import BackingImageShelf
from importer.targets.cdi.shelf import CdiShelf
from importer.targets.cloning import Clones
from importer.units import MiB
from tests import images
from tests.deploy.kustomize import Object, overlay
from tests.servers.kubernetes import Call, Rule
from tests.servers.site import Site, site
from tests.targets.conftest import chunks, prepare

ACCOUNT = {"kind": "ServiceAccount", "name": "image-importer", "namespace": "image-importer"}
USER = "system:serviceaccount:image-importer:image-importer"
GONE = Placed(kind="", name="")


def rules(objects: list[Object]) -> list[Rule]:
    """Return what is granted to the service's account, one rule for each right."""
    roles = {
        (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]): one
        for one in objects
    }
    found = []
    for one in objects:
        if one["kind"] in ("RoleBinding", "ClusterRoleBinding") and ACCOUNT in one["subjects"]:
            space = one["metadata"].get("namespace")
            role = roles[one["roleRef"]["kind"], space, one["roleRef"]["name"]]
            found += [right for rule in role["rules"] for right in rights(rule, space or "")]
    return found


def rights(rule: dict[str, Any], space: str) -> list[Rule]:
    """Return a rule of a manifest as one for each group, resource, name and verb."""
    return [
        Rule((group,), (resource,), (verb,), (name,) if name else (), space)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    ]


@dataclass
class Stage:
    """A cluster, and the service's account in it."""

    site: Site
    cluster: Cluster
    config: config.Config
    image: Path

    async def shelf(self, name: str, cdi: config.Cdi | None = None) -> Shelf:
        """Return the shelf of a class, looked up as the service does; *cdi*: other settings."""
        (one,) = (one for one in await storage_classes(self.cluster) if one.name == name)
        if one.backend == "backingimage":
            return BackingImageShelf(self.cluster, one, self.config.longhorn, refuse_nested)
        return CdiShelf(self.cluster, one, cdi or self.config.cdi)


@asynccontextmanager
async def stage(root: Path, granted: list[Rule]) -> AsyncIterator[Stage]:
    """Run a cluster in which our account has the rights *granted*."""
    async with site(root) as there:
        token = there.kubernetes.user(USER, granted)
        kubeconfig = there.api.kubeconfig(root / "ours", token)
        whole = config.Config(
            kubernetes=config.Kubernetes(enabled=True, kubeconfig=str(kubeconfig), timeout=10.0),
            longhorn=config.Longhorn(url=there.longhorn.url),
            cdi=config.Cdi(url=there.cdi.url),
        )
        image = images.raw(root / "disk.raw", 4 * MiB)
        async with connected(whole.kubernetes) as cluster:
            yield Stage(there, cluster, whole, image)


def order(name: str, **options: Any) -> Order:
    return Order(f"uid-{name}", "default", name, None, options)


async def import_(place: Place, image: Path) -> Placed:
    """Import *image* to the end."""
    await prepare(place, image)
    await place.write(chunks(image))
    finished = await place.finish()
    await place.settle()
    return finished.placed


async def held(gate: asyncio.Event, there: Stage, doing: Awaitable[Any]) -> None:
    """Do it while *gate* is shut until something is watched, so that it cannot do without."""
    gate.clear()
    task = asyncio.ensure_future(doing)
    await there.site.kubernetes.watched(2)
    gate.set()
    await task


# --- scenes


async def backing_image(there: Stage) -> None:
    """An image with a storage class; again, as after a crash before it was noted; its end."""
    shelf, gate = await there.shelf("longhorn"), there.site.longhorn.scheduling
    wanted = order("one", storageClass=True)
    await held(gate, there, import_(shelf.place(wanted), there.image))
    placed = await import_(shelf.place(wanted), there.image)
    await shelf.remove(wanted, placed)


async def data_volume(there: Stage) -> None:
    """The same through CDI, in a class that waits for its consumer."""
    shelf, gate = await there.shelf("lvm"), there.site.cdi.scheduling
    wanted = order("two")
    await held(gate, there, import_(shelf.place(wanted), there.image))
    placed = await import_(shelf.place(wanted), there.image)
    await shelf.remove(wanted, placed)


async def convert_fails(there: Stage) -> None:
    """CDI fails after the last byte: its pod says why."""
    there.site.cdi.tries.append({"convert_error": "qemu-img: error while reading"})
    place = (await there.shelf("longhorn-v2")).place(order("three"))
    qcow2 = images.make("qcow2", there.image.parent, 4 * MiB)
    await held(there.site.cdi.scheduling, there, prepare(place, qcow2))
    await place.write(chunks(qcow2))
    with pytest.raises(ImporterError, match="error while reading"):
        await place.finish()
    await place.abort()


async def never_ready(there: Stage) -> None:
    """Nobody provisions the volume: events are asked why."""
    there.site.cdi.unprovisionable["ceph"] = "no space left in the pool"
    shelf = await there.shelf("ceph", replace(there.config.cdi, prepare=0.5))
    place = shelf.place(order("four"))
    with pytest.raises(TargetTimeout):
        await prepare(place, there.image)
    await place.abort()


async def claim_alone(there: Stage) -> None:
    """Somebody deleted the DataVolume and kept its claim, which goes once no pod uses it."""
    api, wanted = there.site.kubernetes, order("five")
    meta = {"name": "five", "namespace": "default", "labels": marks.labels(wanted)}
    meta |= {"finalizers": ["kubernetes.io/pvc-protection"]}
    api.create("persistentvolumeclaims", {"metadata": meta, "spec": {}})
    removing = asyncio.ensure_future((await there.shelf("lvm")).remove(wanted, GONE))
    await api.watched()
    api.apply("persistentvolumeclaims", "default", "five", {"metadata": {"finalizers": None}})
    await removing
    assert api.find("persistentvolumeclaims", "default", "five") is None


async def copies_seen(there: Stage) -> None:
    """Every kind of object that tells of copies is listed and watched."""
    history, metrics = History(there.image.parent / "copies.db"), Metrics()
    copies = Copies(history, metrics.copies)
    await copies.open()
    watcher = Watcher(copies, there.config, there.cluster)
    watcher.start()
    await there.site.kubernetes.watched(5)
    await watcher.stop()
    await copies.close()
    assert set(copies.watching().values()) == {True}


async def copied(there: Stage) -> None:
    """An image of Longhorn v2 is copied, which is over when Longhorn says so; then both go."""
    shelf, image, copy = await there.shelf("longhorn-v2"), order("six"), order("seven")
    assert isinstance(shelf, Clones)
    placed = await import_(shelf.place(image), there.image)
    cloned = await shelf.clone(placed, copy, 4 * MiB)
    assert cloned.why == "", "Longhorn is looked at"
    await shelf.unclone(copy)
    await shelf.remove(image, placed)


SCENES: list[Callable[[Stage], Awaitable[None]]] = [
    backing_image,
    data_volume,
    convert_fails,
    never_ready,
    claim_alone,
    copies_seen,
    copied,
]


async def calls(root: Path, granted: list[Rule]) -> list[Call]:
    """Return the calls that all scenes make with the rights *granted*."""
    async with stage(root, granted) as there:
        for scene in SCENES:
            await scene(there)
        return [call for call in there.site.kubernetes.calls if call.user == USER]


async def test_nothing_too_little_and_nothing_too_much(tmp_path: Path) -> None:
    """Every call is granted, and every right is used, with exactly the manifests' rules."""
    granted = rules(overlay("kubevirt-longhorn"))
    made = await calls(tmp_path, granted)
    denied = {str(call) for call in made if not any(right.allows(call) for right in granted)}
    assert denied == set()
    unused = [right for right in granted if not any(right.allows(call) for call in made)]
    assert unused == [], unused


def test_no_right_is_granted_twice() -> None:
    """One that a Role repeats of the ClusterRole, or a rule of another, would be used by none."""
    granted = rules(overlay("kubevirt-longhorn"))
    anywhere = [right for right in granted if not right.namespace]
    twice = [
        right
        for right in granted
        if sum(covers(other, right) for other in {*anywhere, right}) > 1 or granted.count(right) > 1
    ]
    assert twice == []


def covers(wide: Rule, narrow: Rule) -> bool:
    """Whether *wide* grants all that *narrow* does."""
    same = (wide.groups, wide.resources, wide.verbs) == (
        narrow.groups,
        narrow.resources,
        narrow.verbs,
    )
    return same and wide.names in ((), narrow.names) and wide.namespace in ("", narrow.namespace)


def test_overlays_grant_the_same() -> None:
    """They differ in where CDI is, and in Harvester's own images."""
    here, there = rules(overlay("kubevirt-longhorn")), rules(overlay("harvester"))
    there = [one for one in there if one.groups != ("harvesterhci.io",)]
    moved = {"cdi": "harvester-system"}
    assert [Rule(*unspaced(one), moved.get(one.namespace, one.namespace)) for one in here] == there


def unspaced(one: Rule) -> tuple[Any, ...]:
    return one.groups, one.resources, one.verbs, one.names


def test_nothing_dangerous_is_granted() -> None:
    """No wildcard, nothing about Secrets, roles, or what runs in pods, whatever imports need."""
    for right in rules(overlay("harvester")):
        assert "*" not in (*right.groups, *right.resources, *right.verbs)
        assert right.groups[0] != "rbac.authorization.k8s.io"
        assert right.resources[0] not in ("secrets", "serviceaccounts", "pods/exec", "nodes")
        assert not (right.resources[0] == "pods" and right.verbs[0] not in ("get", "list", "watch"))
