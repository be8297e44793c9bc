"""Where a qcow2 file keeps its guest data, as pieces that lie end to end in guest order."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Hole:
    """Guest bytes that read as zeros: not allocated, or flagged as zeros."""

    length: int
    flagged: bool = False
    """Some of it is a cluster with the zero flag, which not every reader of qcow2 knows."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Guest bytes that the file holds as they are, from *offset* on."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Packed:
    """One compressed cluster."""

    offset: int
    end: int
    """At most this far: its length is told in sectors, and the last may belong to others."""

    length: int
    """Guest bytes of it: fewer than a cluster only at the disk's end."""


Place: TypeAlias = Hole | Stored | Packed


def joined(one: Place, two: Place) -> Place | None:
    """Return both as one place, or None when they do not lie end to end in the file."""
    if isinstance(one, Hole) and isinstance(two, Hole):
        return Hole(one.length + two.length, one.flagged or two.flagged)
    if (
        isinstance(one, Stored)
        and isinstance(two, Stored)
        and two.offset == one.offset + one.length
    ):
        return Stored(one.offset, one.length + two.length)
    return None
