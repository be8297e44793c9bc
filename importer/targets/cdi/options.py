"""What ``spec.target`` may say of an image that CDI makes."""

from typing import Literal

import msgspec

from importer.targets import Order
from importer.targets.options import read

AccessMode = Literal["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany", "ReadWriteOncePod"]


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The options, as they are named in JSON."""

    access_modes: tuple[AccessMode, ...] = ()
    """Who may use the volume. Empty: as CDI's StorageProfile of the class says."""

    volume_mode: Literal["Block", "Filesystem"] | None = None
    """None: as the StorageProfile says."""

    preallocation: bool = False
    """Write zeros too, so that the whole volume is allocated."""


def options(order: Order) -> Options:
    """Return the options of *order*. Raises CallerError, which names the one that is wrong."""
    return read(order, Options, "a CDI class")
