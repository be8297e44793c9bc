"""Looks at the cluster for as long as the service runs, whatever the cluster does.

One watch for each kind of object, each by itself: without CDI, without Longhorn or without the
rights the others go on. A watch that fails says so once, `Copies.watching` and the metrics say so
for as long as it lasts, and it is tried again. What changes is looked at together, at most twice a
second; when nothing changes nothing is done.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from importer.config import Config
from importer.copies import Copies, facts
from importer.copies.facts import Facts
from importer.copies.seen import ClassFact
from importer.errors import ImporterError
from importer.kube import classes
from importer.kube.cluster import Cluster, Object
from importer.kube.resources import (
    CLAIMS,
    DATA_VOLUMES,
    ENGINES,
    STORAGE_CLASSES,
    VOLUMES,
    Resource,
)
from importer.kube.watch import Key, kept

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How often something is done, in seconds."""

    interval: float = 0.5
    """Between two looks at least."""

    first: float = 5.0
    """Before a watch that failed is tried again; doubled each time in a row, with jitter."""

    longest: float = 300.0
    """Before any try at most."""


OF_AN_IMAGE = "(image)"
"""Label of all classes whose volumes begin as one BackingImage: Harvester has one for each image,
and no image may be a label."""


_PACE = Pace()


@dataclass(slots=True)
class _Kind:
    """One kind of object in one namespace."""

    resource: Resource
    namespace: str
    keep: Callable[[Object], Any]
    objects: Mapping[Key, Any] = field(default_factory=dict)
    is_up: bool | None = None
    """None: not tried yet."""


class Watcher:
    """The watches of one cluster; without one, only our own imports are looked at."""

    def __init__(
        self, copies: Copies, config: Config, cluster: Cluster | None, pace: Pace = _PACE
    ) -> None:
        self._copies = copies
        self._pace = pace
        self._cluster = cluster
        self._kinds = _kinds(config)
        self._changed = asyncio.Event()
        self._one = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look."""
        self._tasks = [asyncio.create_task(self._look())]
        if self._cluster is None:
            self._kinds = []
            return
        watches = [self._watch(self._cluster, kind) for kind in self._kinds]
        self._tasks += [asyncio.create_task(watch) for watch in watches]

    async def stop(self) -> None:
        """Look for the last time, and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._take_in()

    def changed(self) -> None:
        """Hear that there is something new to look at."""
        self._changed.set()

    async def _look(self) -> None:
        while True:
            # Never cut off in the middle: what it has found would be lost.
            due = await asyncio.shield(self._take_in())
            await asyncio.sleep(self._pace.interval)
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else due - self._copies.clock()):
                    await self._changed.wait()
            self._changed.clear()

    async def _take_in(self) -> float | None:
        """Look at everything, and return when to look again at the latest.

        Not before each kind has been tried: what is read together belongs together.
        """
        if any(kind.is_up is None for kind in self._kinds):
            return None
        async with self._one:
            try:
                self._copies.classify(self._classes())
                return await self._copies.look(self._facts())
            except Exception:  # the disk is full: the service goes on without figures of copies
                log.exception("copies cannot be looked at")
                return self._copies.clock() + self._pace.first

    def _facts(self) -> Facts:
        return Facts(
            claims=self._all(CLAIMS),
            data_volumes=self._all(DATA_VOLUMES),
            volumes=self._all(VOLUMES),
            engines=self._all(ENGINES),
            watched=frozenset(kind.resource.plural for kind in self._kinds) - self._down(),
        )

    def _down(self) -> set[str]:
        return {kind.resource.plural for kind in self._kinds if not kind.is_up}

    def _all(self, resource: Resource) -> list[Any]:
        kinds = [kind for kind in self._kinds if kind.resource is resource]
        return [one for kind in kinds for one in kind.objects.values() if one is not None]

    def _classes(self) -> dict[str, ClassFact]:
        return {one.name: _label(one) for one in self._all(STORAGE_CLASSES)}

    async def _watch(self, cluster: Cluster, kind: _Kind) -> None:
        """Keep *kind* up to date for ever."""
        pause = self._pace.first
        while True:
            try:
                watching = kept(cluster, kind.resource, _safely(kind.keep), kind.namespace)
                async with aclosing(watching) as states:
                    async for objects in states:
                        kind.objects, pause = objects, self._pace.first
                        self._is_up(kind, "")
            except ImporterError as exc:
                self._is_up(kind, str(exc))
            except Exception as exc:
                log.exception("a watch broke", resource=kind.resource.name)
                self._is_up(kind, str(exc) or type(exc).__name__)
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  # jitter
            pause = min(2 * pause, self._pace.longest)

    def _is_up(self, kind: _Kind, error: str) -> None:
        if error and kind.is_up is not False:
            log.warning("copies are not seen", resource=kind.resource.name, why=error)
        elif not error and kind.is_up is False:
            log.info("copies are seen again", resource=kind.resource.name)
        kind.is_up = not error
        ups = [one.is_up for one in self._kinds if one.resource is kind.resource]
        self._copies.up(kind.resource.plural, all(up is not False for up in ups))
        self._changed.set()


def _kinds(config: Config) -> list[_Kind]:
    spaces = config.kubernetes.namespaces or ("",)
    longhorn = config.longhorn.namespace
    return [
        _Kind(STORAGE_CLASSES, "", classes.read),
        *(_Kind(CLAIMS, space, facts.claim) for space in spaces),
        *(_Kind(DATA_VOLUMES, space, facts.data_volume) for space in spaces),
        _Kind(VOLUMES, longhorn, facts.volume),
        _Kind(ENGINES, longhorn, facts.engine),
    ]


def _safely(keep: Callable[[Object], Any]) -> Callable[[Object], Any]:
    """Return *keep*, with None for an object that is not as expected: one must not hide all."""

    def safe(found: Object) -> Any:
        with suppress(ImporterError, KeyError, TypeError, ValueError, AttributeError):
            return keep(found)
        return None

    return safe


def _label(one: classes.ClusterClass) -> ClassFact:
    name = OF_AN_IMAGE if one.of_an_image else one.name
    return ClassFact(name, one.backend, one.engine, one.waits_for_consumer)
