"""A Kubernetes API server in memory, for tests: its state, its faults, and what was asked of it.

In the test's own loop, so controllers can act in process::

    kubernetes = FakeKubernetes()
    kubernetes.create("storageclasses", {"metadata": {"name": "longhorn"}, "provisioner": "..."})
    async for change in kubernetes.watch("datavolumes"):       # what is there first, then changes
        meta = change.object["metadata"]
        kubernetes.apply("datavolumes", meta["namespace"], meta["name"],
                         {"status": {"phase": "UploadReady"}})  # a merge patch, status and all

    async with serving(kubernetes) as cluster:                  # server.py: real HTTP, maybe TLS
        cluster.kubeconfig(path)

Everything that takes a resource takes its plural (``pods``), with the group where two share one
(``nodes.longhorn.io``), or a `Resource`. What goes in and out is a copy.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.servers.kubernetes.access import Call, Rule, User
from tests.servers.kubernetes.faults import Fault
from tests.servers.kubernetes.patches import merged
from tests.servers.kubernetes.resources import Resource
from tests.servers.kubernetes.reviews import access_review, token_review
from tests.servers.kubernetes.store import Change, Object, Store

Answer = Callable[[User, str, Object], Awaitable[Object] | Object]
"""What a virtual resource does with (who asks, namespace, body)."""

Admission = Callable[[str, Object, Object | None], None]
"""Called with (verb, new, old) before create and update (main path) and delete (new is what goes);
may change *new* in place, or raise Refused."""

ADMIN = "admin-token"
NAMESPACES = ("default", "kube-system", "longhorn-system", "cdi", "harvester-system")


@dataclass
class FakeKubernetes:
    """The API server as tests and controllers see it."""

    store: Store = field(default_factory=Store)
    users: dict[str, User] = field(default_factory=lambda: {ADMIN: User("admin")})
    """By bearer token."""

    faults: list[Fault] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    """Every request to a resource, in order, refused ones too."""

    answers: dict[str, Answer] = field(default_factory=dict)
    """By resource name, as ``uploadtokenrequests.upload.cdi.kubevirt.io``."""

    admissions: list[tuple[Resource, Admission]] = field(default_factory=list)
    bookmarks: int = 0
    """How many bookmarks every open watch has been sent (those that asked for them)."""

    ends: int = 0
    """How often every open watch has been ended as after its time."""

    streams: set[asyncio.Transport] = field(default_factory=set)
    """Connections with a watch open."""

    def __post_init__(self) -> None:
        for name in NAMESPACES:
            self.create("namespaces", {"metadata": {"name": name}})
        reviews: dict[str, Answer] = {
            "tokenreviews": lambda _, __, new: token_review(self.users, new),
            "subjectaccessreviews": lambda _, __, new: access_review(self.users, new),
            "selfsubjectaccessreviews": lambda user, _, new: access_review({}, new, user),
        }
        for plural, answer in reviews.items():
            self.answers[self.resource(plural).name] = answer

    # --- objects, in process ---------------------------------------------------------------

    def resource(self, name: str | Resource) -> Resource:
        """Return the resource of a name."""
        return self.store.catalogue.find(name)

    def create(self, resource: str | Resource, new: Object) -> Object:
        """Create an object; its namespace is in its metadata (``default`` when it has none)."""
        kind = self.resource(resource)
        namespace = new["metadata"].get("namespace") or "default" if kind.namespaced else ""
        return self.store.create(kind, namespace, new)

    def find(self, resource: str | Resource, namespace: str, name: str) -> Object | None:
        """Return an object, or None. *namespace* is empty for what has none."""
        return self.store.find(self.resource(resource), namespace, name)

    def get(self, resource: str | Resource, namespace: str, name: str) -> Object:
        """Return an object; Refused (404) when there is none."""
        return self.store.read(self.resource(resource), namespace, name)

    def all(self, resource: str | Resource, namespace: str = "") -> list[Object]:
        """Return all objects, or those of a namespace."""
        return self.store.all(self.resource(resource), namespace)

    def apply(self, resource: str | Resource, namespace: str, name: str, patch: Object) -> Object:
        """Merge *patch* into an object, its status too. Nothing happens when nothing changes."""
        kind = self.resource(resource)
        return self.store.update(kind, namespace, name, lambda old: merged(old, patch), "both")

    def delete(self, resource: str | Resource, namespace: str, name: str) -> None:
        """Delete an object; one with finalizers is marked only (apply ``finalizers: None``)."""
        self.store.delete(self.resource(resource), namespace, name)

    def watch(self, resource: str | Resource, namespace: str = "") -> AsyncIterator[Change]:
        """Yield what there is as ADDED, then every change, for ever."""
        return self.store.watch(self.resource(resource), namespace)

    async def until(
        self,
        resource: str | Resource,
        namespace: str,
        name: str,
        condition: Callable[[Object], Any] = lambda _: True,
    ) -> Object:
        """Wait until an object exists and *condition* holds of it; return it."""
        while not ((found := self.find(resource, namespace, name)) and condition(found)):
            await self.store.changed()
        return found

    async def until_gone(self, resource: str | Resource, namespace: str, name: str) -> None:
        """Wait until there is no such object."""
        while self.find(resource, namespace, name):
            await self.store.changed()

    def event(self, about: Object, reason: str, message: str, type: str = "Warning") -> Object:
        """Record an event about an object, as controllers do."""
        meta = about["metadata"]
        namespace = meta.get("namespace", "default")
        involved = {"kind": about["kind"], "apiVersion": about["apiVersion"], "name": meta["name"]}
        involved |= {"namespace": namespace, "uid": meta["uid"]}
        stamp = self.store.stamp()
        return self.create(
            "events",
            {
                "metadata": {"generateName": f"{meta['name']}.", "namespace": namespace},
                "involvedObject": involved,
                "reason": reason,
                "message": message,
                "type": type,
                "count": 1,
                "firstTimestamp": stamp,
                "lastTimestamp": stamp,
                "source": {"component": "fake"},
            },
        )

    # --- what is installed, who may, what goes wrong ---------------------------------------

    def uninstall(self, group: str) -> None:
        """Take away every resource of *group*: its paths answer 404 from now on."""
        self.store.catalogue.uninstall(group)

    def answer(self, resource: str, answer: Answer) -> None:
        """Answer creates of a virtual resource."""
        self.answers[self.resource(resource).name] = answer

    def admit(self, resource: str, admission: Admission) -> None:
        """Let *admission* look at every create, update and delete of a client."""
        self.admissions.append((self.resource(resource), admission))

    def user(self, name: str, rules: list[Rule] | None = None) -> str:
        """Add somebody and return the token; *rules* None: may do everything."""
        self.users[f"{name}-token"] = User(name, rules)
        return f"{name}-token"

    def fail(self, **fault: Any) -> Fault:
        """Add a Fault of these fields, and return it."""
        self.faults.append(Fault(**fault))
        return self.faults[-1]

    def cut_watches(self) -> int:
        """Break every connection that has a watch open; return how many."""
        for transport in (cut := list(self.streams)):
            transport.abort()
        return len(cut)

    def expire_watches(self) -> None:
        """Forget the history: open watches end with 410, and so do those that would go on."""
        self.store.compact()

    def bookmark(self) -> None:
        """Send a bookmark on every open watch that takes them."""
        self.bookmarks += 1
        self.store.wake()

    def end_watches(self) -> None:
        """End every open watch as the server does when its time is up, with a last bookmark."""
        self.ends += 1
        self.store.wake()

    async def watched(self, count: int = 1) -> None:
        """Wait until at least *count* watches are open."""
        while len(self.streams) < count:
            await self.store.changed()

    async def unwatched(self) -> None:
        """Wait until no watch is open."""
        while self.streams:
            await self.store.changed()
