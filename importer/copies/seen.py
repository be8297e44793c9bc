"""The words that the rest shares: kinds of objects, classes, and what is known of one copy."""

from dataclasses import dataclass
from typing import Literal

from importer.model import Basis, Strategy

CLAIMS, DATA_VOLUMES, VOLUMES = "persistentvolumeclaims", "datavolumes", "volumes"
ENGINES = "engines"

State = Literal["waiting", "running", "done", "failed"]

UNKNOWN = "(unknown)"
"""Label of a storage class that the cluster does not have; no class can be called so."""


@dataclass(frozen=True, slots=True)
class ClassFact:
    """A storage class: what its copies are labelled with."""

    name: str
    backend: str
    engine: str
    waits: bool = False
    """Its volumes are made when a pod wants them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one copy."""

    uid: str
    """Of the object that is filled; ``UID/2`` for a second try."""

    kind: str
    """Of that object."""

    namespace: str
    name: str
    of: ClassFact
    strategy: Strategy
    state: State
    total: int | None
    source: str
    why: str = ""
    """Why it is this strategy and not another."""

    phase: str | None = None
    basis: Basis = "inferred"
    done: int | None = None
    """None: nobody tells."""

    error: str = ""
    reason: str = ""
    began: float | None = None
    """Where objects tell it: when the copy began, at the earliest."""

    ended: float | None = None
    """Where objects tell it."""

    is_timed: bool = False
    """`began` and `ended` are exact."""

    is_again: bool = False
    """One before it failed: as long as it was not seen to run, a failure is still that one's."""

    lasts: float = 0.0
    """Seconds for which an end must hold until it is believed."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in ("done", "failed")


@dataclass(frozen=True, slots=True)
class Reading:
    """All copies at a moment."""

    seen: dict[str, Seen]
    absorbed: frozenset[str]
    """Uids of volumes that are a part of others' copies."""
