"""An object that somebody else made, and that one upload is to fill.

It is not ours to remove: an import that fails lets go of it, and deleting the image's record leaves
it where it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

from importer.targets import Accepts, Place, Tell


@dataclass(frozen=True, slots=True)
class Into:
    """Where the bytes of an image go instead of to a place of its storage class."""

    backend: str
    """How it is filled; another one, maybe, than its storage class implies."""

    accepts: Accepts
    place: Callable[[Tell], Place]
    """Return the object as a place. Called once: a request's bytes come once."""
