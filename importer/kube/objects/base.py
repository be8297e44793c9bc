"""What every object has, and how a dict of the API becomes a view of it."""

from typing import Any, TypeVar

import msgspec

from importer.errors import ClusterRefused
from importer.kube.cluster import Object

T = TypeVar("T", bound="View")


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of an object: unknown fields are no business of ours."""


class Owner(Part, frozen=True, kw_only=True):
    """One of ``ownerReferences``."""

    kind: str
    name: str
    uid: str
    controller: bool = False


class Metadata(Part, frozen=True, kw_only=True):
    """What every object has."""

    name: str = ""
    """Empty in what is never stored: nobody makes a name of its ``generateName``."""

    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str = ""
    """When its deletion was asked for; empty while it was not."""

    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    owner_references: tuple[Owner, ...] = ()
    finalizers: tuple[str, ...] = ()


class View(Part, frozen=True, kw_only=True):
    """An object."""

    kind: str = ""
    metadata: Metadata

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name

    def __str__(self) -> str:
        return f"{self.kind} {self.metadata.namespace}/{self.name}".replace(" /", " ")


class Condition(Part, frozen=True, kw_only=True):
    """One of ``status.conditions``."""

    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""

    @property
    def holds(self) -> bool:
        """Whether it is so."""
        return self.status == "True"


class Conditions(Part, frozen=True, kw_only=True):
    """A status that has them."""

    conditions: tuple[Condition, ...] = ()

    def condition(self, kind: str) -> Condition:
        """Return the condition of that type; Unknown when there is none."""
        found = (one for one in self.conditions if one.type == kind)
        return next(found, Condition(type=kind))


def view(kind: type[T], found: Object) -> T:
    """Return *found* as *kind*."""
    try:
        return msgspec.convert(_told(found), kind, strict=False)
    except msgspec.ValidationError as exc:
        name = (found.get("metadata") or {}).get("name")
        raise ClusterRefused(f"{kind.__name__} {name} is not as expected: {exc}") from exc


def _told(found: Any) -> Any:
    """Return *found* without its nulls: Go writes them where it has nothing to say."""
    if isinstance(found, dict):
        return {key: _told(value) for key, value in found.items() if value is not None}
    return [_told(one) for one in found] if isinstance(found, list) else found
