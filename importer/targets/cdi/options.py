"""What ``spec.target`` may say of an image that CDI makes."""

from typing import Literal

import msgspec

from importer.errors import CallerError
from importer.targets import Order

AccessMode = Literal["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany", "ReadWriteOncePod"]


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The options, as they are named in JSON."""

    access_modes: tuple[AccessMode, ...] = ()
    """Who may use the volume. Empty: as CDI's StorageProfile of the class says."""

    volume_mode: Literal["Block", "Filesystem"] | None = None
    """None: as the StorageProfile says."""

    preallocation: bool = False
    """Write zeros too, so that the whole volume is allocated."""


_NAMES = msgspec.structs.fields(Options)


def options(order: Order) -> Options:
    """Return the options of *order*. Raises CallerError, which names the one that is wrong."""
    known = [field.encode_name for field in _NAMES]
    for name in order.options:
        if name not in known:
            raise CallerError(f"spec.target.{name}: a CDI class knows {', '.join(known)}")
    try:
        return msgspec.convert(order.options, Options)
    except msgspec.ValidationError as exc:
        raise CallerError(_worded(str(exc))) from exc


def _worded(text: str) -> str:
    """Return msgspec's words (``Expected `bool` - at `$.x```) with the option in front."""
    what, _, where = text.partition(" - at `$.")
    return f"spec.target.{where.rstrip('`')}: {what}"
