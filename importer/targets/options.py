"""What ``spec.target`` says to a backend, as that backend's own type."""

from typing import TypeVar

import msgspec

from importer.errors import CallerError
from importer.targets import Order

T = TypeVar("T", bound=msgspec.Struct)


def read(order: Order, kind: type[T], shelf: str) -> T:
    """Return the options of *order* as *kind*.

    Raises CallerError, which names the option that is wrong; *shelf* says whose options they are.
    """
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for name in order.options:
        if name not in known:
            raise CallerError(f"spec.target.{name}: {shelf} knows {', '.join(known)}")
    try:
        return msgspec.convert(order.options, kind)
    except msgspec.ValidationError as exc:
        raise CallerError(_worded(str(exc))) from exc


def _worded(text: str) -> str:
    """Return msgspec's words (``Expected `int` - at `$.copies```) with the option in front."""
    what, _, where = text.partition(" - at `$.")
    return f"spec.target.{where.rstrip('`')}: {what}"
