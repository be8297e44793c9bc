"""What ``spec.target`` may say of an image on Longhorn."""

from typing import Annotated

import msgspec
from msgspec import Meta

from importer.targets import Order
from importer.targets.options import read

Tags = tuple[Annotated[str, Meta(min_length=1, max_length=253)], ...]


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The options, as they are named in JSON."""

    copies: Annotated[int, Meta(ge=1, le=99)] | None = None
    """Disks that are to hold the image (`minNumberOfCopies`). None: Longhorn's own setting."""

    disk_selector: Tags | None = None
    """Tags that these disks must have. None: those of the storage class."""

    node_selector: Tags | None = None
    """Tags that their nodes must have. None: those of the storage class."""

    storage_class: bool = False
    """Make a storage class too, whose volumes begin as the image."""


def options(order: Order) -> Options:
    """Return the options of *order*. Raises CallerError, which names the one that is wrong."""
    return read(order, Options, "a Longhorn class")
