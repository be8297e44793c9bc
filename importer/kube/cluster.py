"""One cluster: read, create, change and delete objects, through everything that may pass.

Objects are dicts as the API gives them; a namespace is empty for what has none. A request that
fails for a passing reason (connection, 429, 5xx, a page that is no JSON) is sent again with growing
pauses for `[kubernetes] patience` seconds; refused credentials are read again once.
Raises ClusterUnavailable when that was not enough, ClusterForbidden, ClusterRefused, NotInstalled,
ObjectGone and TargetBusy as their docstrings say, each with the server's own message.
"""

import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import aiohttp
import structlog

from importer.config import Kubernetes
from importer.errors import (
    CallerError,
    ClusterForbidden,
    ClusterRefused,
    ClusterUnavailable,
    ObjectGone,
    TargetBusy,
)
from importer.kube import answers
from importer.kube.answers import About, Changed, Expired, Later, Renew
from importer.kube.connection import Connection, connect
from importer.kube.patience import Patience
from importer.kube.resources import Resource

log = structlog.get_logger()

Object = dict[str, Any]
T = TypeVar("T")

PAGE = 500
"""Objects that one answer of a list holds at most, as kubectl asks for."""

CONFLICTS = 8
"""Times in a row that somebody else may change an object between our read and our write."""

RELISTS = 5
"""Times that a list is begun anew because the server forgot its version half-way (410)."""

_JSON = "application/json"
_MERGE = "application/merge-patch+json"  # RFC 7386


@asynccontextmanager
async def cluster(settings: Kubernetes) -> AsyncIterator["Cluster"]:
    """Connect to the cluster of *settings* until the block ends."""
    connection = await connect(settings)
    try:
        yield Cluster(connection, settings)
    finally:
        await connection.close()


class Cluster:
    """The objects of a cluster."""

    def __init__(self, connection: Connection, settings: Kubernetes) -> None:
        self._connection = connection
        self.settings = settings

    @property
    def address(self) -> str:
        """Where its API server is."""
        return self._connection.address

    def check_namespace(self, namespace: str) -> None:
        """Raise CallerError when images may not be made in *namespace*."""
        allowed = self.settings.namespaces
        if allowed and namespace not in allowed:
            raise CallerError(
                f"namespace {namespace} is not one of {', '.join(allowed)} "
                f"([kubernetes] namespaces)"
            )

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return an object; ObjectGone when there is none."""
        about = About("get", resource, namespace, name)
        return await self._ask(about, "GET", resource.path(namespace, name))

    async def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return an object, or None when there is none."""
        try:
            return await self.get(resource, namespace, name)
        except ObjectGone:
            return None

    async def all(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        """Return the objects that match the selectors, in all namespaces or in one."""
        return (await self.listed(resource, namespace, labels=labels, fields=fields, keep=_whole))[
            0
        ]

    async def everywhere(self, resource: Resource, *, labels: str) -> list[Object]:
        """Return the objects that match in every namespace in which images may be made.

        One request a namespace where they are configured: a role in each is enough then.
        """
        spaces = self.settings.namespaces or ("",)
        return [one for space in spaces for one in await self.all(resource, space, labels=labels)]

    async def listed(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        keep: Callable[[Object], T],
    ) -> tuple[list[T], str]:
        """Return what *keep* makes of them, and the version from which a watch goes on."""
        for _ in range(RELISTS):
            with suppress(Expired):  # too slow between two pages: all of them anew
                return await self._pages(resource, namespace, selectors(labels, fields), keep)
        raise ClusterUnavailable(
            f"API server {self.address}: {resource.plural} cannot be listed: the history is "
            f"forgotten between two pages, {RELISTS} times in a row"
        )

    async def _pages(
        self,
        resource: Resource,
        namespace: str,
        query: dict[str, str],
        keep: Callable[[Object], T],
    ) -> tuple[list[T], str]:
        about = About("list", resource, namespace)
        found: list[T] = []
        query = {**query, "limit": str(PAGE)}
        while True:
            page = await self._ask(about, "GET", resource.path(namespace), query)
            # Items of built-in kinds come without them.
            head = {"apiVersion": resource.api_version, "kind": resource.kind}
            found += [keep({**head, **item}) for item in page.get("items") or []]
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return found, str(metadata.get("resourceVersion", ""))
            query["continue"] = metadata["continue"]

    async def create(self, resource: Resource, new: Object) -> Object:
        """Create an object and return it as the server keeps it.

        TargetBusy when there is one of that name. One that carries all of *new*'s labels and
        annotations, after a try whose answer was lost, is that try's. An object that the server
        names (`generateName`) is not protected so: give it an owner.
        """
        metadata = new["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
        about = About("create", resource, namespace, name)
        lost: list[Exception] = []
        path = resource.path(namespace)
        try:
            # A quota that others use at the same time is a conflict too.
            return await self._settled(
                about, lambda: self._ask(about, "POST", path, body=new, lost=lost)
            )
        except TargetBusy:
            found = await self.find(resource, namespace, name) if lost else None
            if found is None or not _carries(found, new):
                raise
            return found

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Object,
        subresource: str = "",
    ) -> Object:
        """Merge *patch* into an object (null removes) and return the whole; ObjectGone."""
        about = About("patch", resource, namespace, name)
        path = resource.path(namespace, name, subresource)
        return await self._settled(
            about, lambda: self._ask(about, "PATCH", path, body=patch, content_type=_MERGE)
        )

    async def change(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Object], Object | None],
    ) -> Object:
        """Replace an object by what *change* makes of its newest version; None: leave it.

        *change* is called again, with the object read again, when somebody else was first.
        """
        about = About("update", resource, namespace, name)
        path = resource.path(namespace, name)

        async def once() -> Object:
            old = await self.get(resource, namespace, name)
            new = change(copy.deepcopy(old))
            if new is None or new == old:
                return old
            return await self._ask(about, "PUT", path, body=new)

        return await self._settled(about, once)

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str = ""
    ) -> Object | None:
        """Delete an object, with all that it owns; None when there is none (any more).

        *uid*: only that one, never another that has taken its name since. An object that
        finalizers hold is returned as it is: `wait.wait_gone` waits for its end.
        """
        about = About("delete", resource, namespace, name)
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        options["propagationPolicy"] = "Background"
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            gone = await self._ask(about, "DELETE", resource.path(namespace, name), body=options)
        except ObjectGone:
            return None
        except Changed:
            if uid:
                return None
            raise
        return gone if (gone.get("metadata") or {}).get("deletionTimestamp") else None

    async def _settled(self, about: About, once: Callable[[], Awaitable[Object]]) -> Object:
        """Do it again while others change the object meanwhile."""
        for _ in range(CONFLICTS - 1):
            with suppress(Changed):
                return await once()
        return await once()

    async def _ask(
        self,
        about: About,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = _JSON,
        lost: list[Exception] | None = None,
    ) -> Object:
        """Return the answer to a request; *lost* collects the tries whose end nobody knows."""
        timeout = aiohttp.ClientTimeout(total=self.settings.timeout)

        async def once() -> Object:
            async with self._sent(
                about, method, path, query or {}, body, content_type, timeout
            ) as response:
                return await answers.read(response, about)

        return await self.patiently(about, once, lost)

    async def patiently(
        self, about: About, once: Callable[[], Awaitable[T]], lost: list[Exception] | None = None
    ) -> T:
        """Return what *once* returns, tried again as long as what goes wrong may pass."""
        patience = Patience(self.settings.patience)
        renewed = False
        while True:
            try:
                return await once()
            except Renew as exc:
                if renewed:
                    raise ClusterForbidden(
                        f"{self.address} refuses our credentials: {exc}"
                    ) from exc
                renewed = True
                await self.renew()
            except Later as exc:
                if lost is not None:
                    lost.append(exc)
                log.info("trying again", what=f"{about.verb} {about}", error=str(exc))
                if not await patience.pause(exc.seconds):
                    raise answers.unavailable(about, self.address, patience.waited, exc) from exc

    async def renew(self) -> None:
        """Read the credentials again: they were refused."""
        await self._connection.renew()

    @asynccontextmanager
    async def stream(
        self, about: About, path: str, query: dict[str, str], timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give a successful answer with its body unread. Tried once; raises Later and Renew too."""
        async with self._sent(about, "GET", path, query, None, _JSON, timeout) as response:
            if response.status != 200:
                await answers.read(response, about)
            yield response

    @asynccontextmanager
    async def _sent(
        self,
        about: About,
        method: str,
        path: str,
        query: dict[str, str],
        body: Any,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give the answer; what the network does wrong, also while it is read, becomes Later."""
        try:
            response = await self._connection.send(method, path, query, body, content_type, timeout)
            async with response:
                yield response
        except (aiohttp.ClientSSLError, aiohttp.InvalidURL) as exc:
            # A certificate that is not trusted today is not trusted in a minute.
            raise ClusterRefused(f"API server {self.address}: {exc}") from exc
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise Later(str(exc) or f"no answer in {timeout.total or timeout.sock_read} s") from exc


def selectors(labels: str, fields: str) -> dict[str, str]:
    """Return the query of selectors that are not empty."""
    both = {"labelSelector": labels, "fieldSelector": fields}
    return {name: text for name, text in both.items() if text}


def _whole(found: Object) -> Object:
    return found


def _carries(found: Object, new: Object) -> bool:
    """Whether *found* has every label and annotation of *new*, and there is one at least."""
    told = [
        found["metadata"].get(kind, {}).get(key) == value
        for kind in ("labels", "annotations")
        for key, value in (new["metadata"].get(kind) or {}).items()
    ]
    return bool(told) and all(told)
