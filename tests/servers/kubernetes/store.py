"""The objects, their versions, and everything that ever happened to them. No I/O, no waiting.

Objects are plain dicts; whatever goes in or comes out is a copy. One counter numbers every change,
as etcd does. Raises Refused, as the server would answer.
"""

import asyncio
import copy
import re
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.servers.clock import Clock
from tests.servers.kubernetes import refusals
from tests.servers.kubernetes.resources import Catalogue, Resource
from tests.servers.kubernetes.selectors import Matches, at

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace (empty for what has none) and name."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # what Kubernetes makes names of
_SERVERS_OWN = ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation")


@dataclass(frozen=True)
class Change:
    """One entry of the history."""

    revision: int
    type: str
    """ADDED, MODIFIED or DELETED."""

    resource: Resource
    object: Object
    previous: Object | None = None

    def seen_by(self, matches: Matches) -> "Change | None":
        """Return what a watch with a selector is told of this: leaving it looks like deletion."""
        before = self.previous is not None and matches(self.previous)
        after = matches(self.object)
        if self.type == "DELETED" or not (before or after):
            return self if after or before else None
        type_ = "DELETED" if not after else "MODIFIED" if before else "ADDED"
        return Change(self.revision, type_, self.resource, self.object, self.previous)


@dataclass
class Store:
    """Everything the API server remembers."""

    catalogue: Catalogue = field(default_factory=Catalogue)
    skew: timedelta = timedelta()
    """How far the server's clock is ahead of ours."""

    clock: Clock = field(default_factory=Clock)

    revision: int = 100
    compacted: int = 0
    """Changes before this revision are forgotten, for clients; ourselves never forget."""

    history: list[Change] = field(default_factory=list)
    _objects: dict[Resource, dict[Key, Object]] = field(default_factory=dict)
    _waiting: set["asyncio.Future[None]"] = field(default_factory=set)

    def now(self) -> datetime:
        """Return the server's time."""
        return datetime.fromtimestamp(self.clock.now(), UTC) + self.skew

    def compact(self, before: int | None = None) -> None:
        """Forget the history, or that *before* a revision: clients that would go on get 410."""
        if before is None:
            self.revision += 1  # so that even a client that has seen everything is too old
        self.compacted = self.revision if before is None else before
        self.wake()

    def wake(self) -> None:
        """Let every watch look again."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    async def changed(self) -> None:
        """Wait for the next change."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def all(self, resource: Resource, namespace: str = "") -> list[Object]:
        """Return every object, or those of one namespace, by namespace and name."""
        found = self._objects.get(resource, {})
        return [copy.deepcopy(found[key]) for key in sorted(found) if namespace in ("", key[0])]

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return one object."""
        return copy.deepcopy(self._objects.get(resource, {}).get((namespace, name)))

    def read(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return one object, or refuse with 404."""
        found = self.find(resource, namespace, name)
        if found is None:
            raise refusals.not_found(resource, name)
        return found

    def create(
        self,
        resource: Resource,
        namespace: str,
        new: Object,
        admit: Callable[[Object], None] = lambda _: None,
    ) -> Object:
        """Store a new object; *admit* sees it first, whole, and may change or refuse it."""
        new = self._prepared(resource, namespace, new)
        admit(new)
        name = new["metadata"]["name"]
        if self.find(resource, namespace, name):
            raise refusals.already_exists(resource, name)
        self.check(resource, new)
        return self._put("ADDED", resource, new, None)

    def _prepared(self, resource: Resource, namespace: str, new: Object) -> Object:
        """Return a new object with all that the server adds."""
        meta = copy.deepcopy(new.get("metadata") or {})
        if resource.namespaced:
            if self.find(self.catalogue.find("namespaces"), "", namespace) is None:
                raise refusals.not_found(self.catalogue.find("namespaces"), namespace)
            if meta.setdefault("namespace", namespace) != namespace:
                raise refusals.bad_request(
                    "the namespace of the provided object does not match the namespace sent on "
                    "the request"
                )
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + self._suffix()
        if not meta.get("name"):
            raise refusals.invalid(
                resource, "", "metadata.name", "Required value: name or generateName is required"
            )
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = self.stamp()
        if "spec" in new:
            meta["generation"] = 1
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        return {**head, **copy.deepcopy(new), **head, "metadata": meta}

    def _suffix(self) -> str:
        number, letters = self.revision, ""
        for _ in range(5):
            number, digit = divmod(number, len(_LETTERS))
            letters = _LETTERS[digit] + letters
        return letters

    def stamp(self) -> str:
        """Return the server's time as it writes it."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def check(self, resource: Resource, new: Object) -> None:
        """Refuse what the schema does not allow."""
        name = new["metadata"]["name"]
        if len(name) > 253 or not _NAME.fullmatch(name):
            why = f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower'
            raise refusals.invalid(resource, name, "metadata.name", why)
        for path, allowed in resource.enums.items():
            value = at(new, path)
            if value and value not in allowed:
                raise refusals.unsupported(resource, name, path, value, allowed)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Object], Object],
        part: str = "main",
    ) -> Object:
        """Replace an object by what *change* makes of it; *part* is main, status, or both.

        Nothing happens when nothing changes. An object without finalizers that is being deleted
        goes.
        """
        old = self.read(resource, namespace, name)
        new = change(copy.deepcopy(old))
        self._same(resource, old, new)
        new = self._only(resource, old, new, part)
        self.check(resource, new)
        if new == old:
            return old
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        stored = self._put("MODIFIED", resource, new, old)
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            self.remove(resource, namespace, name)
        return stored

    def _same(self, resource: Resource, old: Object, new: Object) -> None:
        name = old["metadata"]["name"]
        meta = new.get("metadata") or {}
        if meta.get("uid") not in (None, old["metadata"]["uid"]):
            raise refusals.precondition(resource, name, meta["uid"], old["metadata"]["uid"])
        if meta.get("resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
            raise refusals.conflict(resource, name)

    def _only(self, resource: Resource, old: Object, new: Object, part: str) -> Object:
        """Return *new* with what the path may not change as it was."""
        meta = {**new.get("metadata", {}), "name": old["metadata"]["name"]}
        for key in (*_SERVERS_OWN, "namespace"):
            meta.pop(key, None)
            if key in old["metadata"]:
                meta[key] = old["metadata"][key]
        new = {**new, "metadata": meta, "apiVersion": old["apiVersion"], "kind": old["kind"]}
        if part == "status":
            return {**old, **({"status": new["status"]} if "status" in new else {})}
        if part == "main" and resource.status:
            new.pop("status", None)
            return {**new, **({"status": old["status"]} if "status" in old else {})}
        return new

    def delete(
        self, resource: Resource, namespace: str, name: str, options: Object | None = None
    ) -> Object:
        """Delete an object, or mark it when finalizers hold it. Its dependents go too."""
        old = self.read(resource, namespace, name)
        options = options or {}
        wanted = options.get("preconditions") or {}
        if wanted.get("uid") not in (None, old["metadata"]["uid"]):
            raise refusals.precondition(resource, name, wanted["uid"], old["metadata"]["uid"])
        if wanted.get("resourceVersion") not in (None, old["metadata"]["resourceVersion"]):
            raise refusals.conflict(resource, name)
        if options.get("propagationPolicy") == "Orphan":
            self._orphan(old["metadata"]["uid"])
        if not old["metadata"].get("finalizers"):
            return self.remove(resource, namespace, name)
        if old["metadata"].get("deletionTimestamp"):
            return old
        new = copy.deepcopy(old)
        new["metadata"] |= {"deletionTimestamp": self.stamp(), "deletionGracePeriodSeconds": 0}
        return self._put("MODIFIED", resource, new, old)

    def remove(self, resource: Resource, namespace: str, name: str) -> Object:
        """Take an object away at once, and all that it owns."""
        old = self._objects[resource].pop((namespace, name))
        self.revision += 1
        last = copy.deepcopy(old)
        last["metadata"]["resourceVersion"] = str(self.revision)
        self._note(Change(self.revision, "DELETED", resource, last, old))
        self._collect(old["metadata"]["uid"])
        return copy.deepcopy(last)

    def _collect(self, uid: str) -> None:
        """Delete what only the object with *uid* owned."""
        for resource, dependent in self._owned(uid):
            meta = dependent["metadata"]
            owners = [owner for owner in meta["ownerReferences"] if owner["uid"] != uid]
            if any(self._exists(owner["uid"]) for owner in owners):
                self._disown(resource, dependent, uid)
            elif self.find(resource, meta.get("namespace", ""), meta["name"]):
                self.delete(resource, meta.get("namespace", ""), meta["name"])

    def _orphan(self, uid: str) -> None:
        for resource, dependent in self._owned(uid):
            self._disown(resource, dependent, uid)

    def _disown(self, resource: Resource, dependent: Object, uid: str) -> None:
        new = copy.deepcopy(dependent)
        owners = [owner for owner in new["metadata"]["ownerReferences"] if owner["uid"] != uid]
        new["metadata"]["ownerReferences"] = owners
        self._put("MODIFIED", resource, new, dependent)

    def _owned(self, uid: str) -> list[tuple[Resource, Object]]:
        return [
            (resource, found)
            for resource, group in self._objects.items()
            for found in list(group.values())
            if any(owner["uid"] == uid for owner in found["metadata"].get("ownerReferences") or [])
        ]

    def _exists(self, uid: str) -> bool:
        return any(
            found["metadata"]["uid"] == uid
            for group in self._objects.values()
            for found in group.values()
        )

    def _put(self, type_: str, resource: Resource, new: Object, old: Object | None) -> Object:
        self.revision += 1
        new["metadata"]["resourceVersion"] = str(self.revision)
        key = (new["metadata"].get("namespace", ""), new["metadata"]["name"])
        self._objects.setdefault(resource, {})[key] = new
        self._note(Change(self.revision, type_, resource, copy.deepcopy(new), old))
        return copy.deepcopy(new)

    def _note(self, change: Change) -> None:
        self.history.append(change)
        self.wake()

    def since(self, resource: Resource, namespace: str, revision: int) -> list[Change]:
        """Return what happened after *revision*; 410 when clients cannot know any more."""
        if revision < self.compacted:
            raise refusals.gone(f"too old resource version: {revision} ({self.compacted + 1})")
        return self.happened(resource, namespace, revision)

    def happened(self, resource: Resource, namespace: str, revision: int) -> list[Change]:
        """Return what happened after *revision*."""
        return [
            change
            for change in self.history
            if change.revision > revision
            and change.resource == resource
            and namespace in ("", change.object["metadata"].get("namespace", ""))
        ]

    async def watch(self, resource: Resource, namespace: str = "") -> AsyncIterator[Change]:
        """Yield what there is as ADDED, then every change, for ever."""
        revision = self.revision
        for found in self.all(resource, namespace):
            yield Change(int(found["metadata"]["resourceVersion"]), "ADDED", resource, found)
        while True:
            news = self.happened(resource, namespace, revision)
            for change in news:
                yield change
                revision = change.revision
            if not news:
                await self.changed()
