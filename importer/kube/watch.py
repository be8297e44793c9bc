"""Objects as they are now, and again after every change: list, then watch.

The API's protocol (Kubernetes API concepts, "Efficient detection of changes"): a list gives a
version; a watch goes on from it and sends ADDED, MODIFIED, DELETED and BOOKMARK, one JSON object a
line. A connection that breaks is taken up at the last version; a version that the server has
forgotten (410) means to list again, and what went meanwhile is seen to be gone.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import aiohttp
import structlog

from importer.errors import ClusterForbidden
from importer.kube import answers
from importer.kube.answers import About, Expired, Later, Renew
from importer.kube.cluster import Cluster, Object, selectors
from importer.kube.patience import Patience
from importer.kube.resources import Resource

log = structlog.get_logger()

Key = tuple[str, str]
"""Namespace (empty for what has none) and name."""

Objects = Mapping[Key, Object]

T = TypeVar("T")

LONGEST = 1800
"""Seconds until the server ends a watch, which is then taken up again."""

SILENCE = 150.0
"""Seconds without a line before a connection is thought dead. Servers send a bookmark a minute
(cacher.go, bookmarkFrequency)."""

GOOD = 10.0
"""Seconds that a watch must have been open for its end to be none of the server's failures."""

_ADDED = frozenset({"ADDED", "MODIFIED"})


def watch(
    cluster: Cluster,
    resource: Resource,
    namespace: str = "",
    *,
    labels: str = "",
    fields: str = "",
    silence: float = SILENCE,
) -> AsyncGenerator[Objects, None]:
    """Yield all objects that match, at once and after every change; it ends only by raising.

    What is yielded is a view that is up to date until the next is asked for. The server is given
    `[kubernetes] patience` seconds to come back each time it goes away: ClusterUnavailable.
    """
    return kept(cluster, resource, _whole, namespace, labels=labels, fields=fields, silence=silence)


async def kept(
    cluster: Cluster,
    resource: Resource,
    keep: Callable[[Object], T],
    namespace: str = "",
    *,
    labels: str = "",
    fields: str = "",
    silence: float = SILENCE,
) -> AsyncGenerator[Mapping[Key, T], None]:
    """Yield the same, of each object only what *keep* returns: thousands cost little memory."""
    seen = _Seen(cluster, resource, keep, namespace, selectors(labels, fields), silence)
    while True:
        found, seen.version = await cluster.listed(
            resource, namespace, labels=labels, fields=fields, keep=seen.kept
        )
        seen.objects = dict(found)
        yield MappingProxyType(seen.objects)
        try:
            async with aclosing(seen.changes()) as changes:
                async for _ in changes:
                    yield MappingProxyType(seen.objects)
        except Expired as exc:
            await seen.pause(exc)


class _Seen(Generic[T]):
    """What a watch knows."""

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource,
        keep: Callable[[Object], T],
        namespace: str,
        query: dict[str, str],
        silence: float,
    ) -> None:
        self.objects: dict[Key, T] = {}
        self.version = ""
        self._keep = keep
        self._cluster = cluster
        self._patience = Patience(cluster.settings.patience)
        self._opened: float | None = None
        self._about = About("watch", resource, namespace)
        self._path = resource.path(namespace)
        self._query = query
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=cluster.settings.timeout, sock_read=silence
        )

    def kept(self, found: Object) -> tuple[Key, T]:
        """Return what is kept of an object, and its key."""
        return _key(found), self._keep(found)

    async def changes(self) -> AsyncGenerator[None, None]:
        """Yield after every change to the objects. Raises Expired when the version is too old."""
        renewed = False
        while True:
            self._opened = None
            try:
                async with aclosing(self._lines()) as lines:
                    async for line in lines:
                        renewed = False
                        if self._take(line):
                            self._patience.renew()
                            yield
                await self.pause(Later("the server ends the watch at once"))
            except Renew as exc:
                if renewed:
                    raise ClusterForbidden(f"{self._about}: {exc}") from exc
                renewed = True
                await self._cluster.renew()
            except Later as exc:
                await self.pause(exc)

    async def pause(self, exc: Exception) -> None:
        """Wait before the next connection, unless the last one was a good one."""
        opened, self._opened = self._opened, None
        if opened is not None and asyncio.get_running_loop().time() - opened > GOOD:
            self._patience.renew()
            return
        log.info("trying again", what=f"watch {self._about}", error=str(exc))
        asked = exc.seconds if isinstance(exc, Later) else None
        if not await self._patience.pause(asked):
            waited = self._patience.waited
            raise answers.unavailable(self._about, self._cluster.address, waited, exc) from exc

    async def _lines(self) -> AsyncGenerator[dict[str, Any], None]:
        """Yield what the server says after `version`, until it ends the watch."""
        query = {
            **self._query,
            "watch": "1",
            "resourceVersion": self.version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(LONGEST),
        }
        async with self._cluster.stream(self._about, self._path, query, self._timeout) as response:
            self._opened = asyncio.get_running_loop().time()
            try:
                async for line in response.content:
                    yield json.loads(line)
            except ValueError as exc:  # cut in the middle of a line, or longer than the buffer
                raise Later(f"{self._about}: {exc}") from exc

    def _take(self, line: dict[str, Any]) -> bool:
        """Note one event; return whether an object has changed by it."""
        kind, found = line.get("type"), line.get("object") or {}
        if kind == "ERROR":
            raise answers.failure(found, self._about)
        try:
            self.version = found["metadata"]["resourceVersion"]
        except (KeyError, TypeError) as exc:
            raise Later(f"{self._about}: an event without a version: {kind}") from exc
        if kind in _ADDED:
            self.objects[_key(found)] = self._keep(found)
        elif kind == "DELETED":
            self.objects.pop(_key(found), None)
        return kind != "BOOKMARK"


def _whole(found: Object) -> Object:
    return found


def _key(found: Object) -> Key:
    metadata = found["metadata"]
    return str(metadata.get("namespace", "")), str(metadata["name"])
