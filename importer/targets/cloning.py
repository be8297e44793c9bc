"""Copying a finished image to another volume of its class, as every VM's boot volume begins.

An ability beside `Shelf` that some shelves have. A copy is found again by its order alone, like an
import: also by another process after a crash, also when nothing was made yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from importer.model import Basis, Placed, Strategy
from importer.targets import Order, Tell, untold


@dataclass(frozen=True, slots=True)
class Cloned:
    """How a copy was made."""

    strategy: Strategy | None
    """None: whoever made it does not tell. A ``linked-clone`` shares blocks with its image."""

    basis: Basis
    """``measured``: `bytes` were counted. ``inferred``: it is the disk's size, and whoever made
    the copy does not tell how much of that had to be moved."""

    bytes: int
    why: str = ""
    """Why it is this strategy, where that was told."""


@runtime_checkable
class Clones(Protocol):
    """A shelf that can copy its images."""

    async def clone(self, image: Placed, order: Order, size: int, tell: Tell = untold) -> Cloned:
        """Copy *image*, a disk of *size* bytes, to a volume that *order* names.

        Returns when a VM could boot from it. Raises NoSpace, TargetBusy, TargetError.
        """

    async def unclone(self, order: Order) -> None:
        """Remove the copy, whole or not; none is fine too. Raises TargetError."""


WHY_NOT: Mapping[str, str] = {
    "backingimage": "a Longhorn v1 volume starts on its backing image without a copy",
    "local": "a block device holds one image",
}
"""Why a shelf of that backend cannot, where it cannot."""
