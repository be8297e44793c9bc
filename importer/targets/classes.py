"""All storage classes that images can go to: this machine's, and those a cluster has just now."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from importer.errors import NotFound, UnknownStorageClass
from importer.model import StorageClass
from importer.targets import Accepts, Shelf

Look = Callable[[], Awaitable[Mapping[str, Shelf]]]
"""Return the shelves of the cluster's classes as they are now."""


class Classes:
    """Shelves by the name of their class. A name that both have is the cluster's."""

    def __init__(self, fixed: Mapping[str, Shelf], look: Look | None = None) -> None:
        self._fixed = fixed
        self._look = look
        self._current: dict[str, Shelf] = {}
        self._every: dict[str, Shelf] = {}
        """Those too that the cluster has no more: images of theirs may be there still."""

        self._described: dict[str, StorageClass] = {}

    async def renew(self) -> list[StorageClass]:
        """Ask again, and return the classes, the default first. Raises TargetError."""
        found = dict(self._fixed)
        if self._look:
            found |= await self._look()
        told = {name: await shelf.describe() for name, shelf in found.items()}
        default = next(
            (name for name, entry in told.items() if entry.default), next(iter(told), "")
        )
        order = sorted(told, key=lambda name: name != default)
        self._described |= {
            name: msgspec.structs.replace(told[name], default=name == default) for name in order
        }
        self._current = {name: found[name] for name in order}
        self._every |= self._current
        return [self._described[name] for name in order]

    def known(self) -> list[StorageClass]:
        """Return the classes as they were last told, without asking anybody."""
        return [self._described[name] for name in self._current]

    @property
    def default(self) -> str:
        """The class that is meant when none is named. Raises UnknownStorageClass."""
        for name in self._current:
            return name
        raise UnknownStorageClass("there is no storage class")

    async def open_to(self, name: str) -> Shelf:
        """Return the shelf of *name* for a new image. Raises UnknownStorageClass."""
        if name not in self._current:
            await self.renew()
        if name not in self._current:
            known = ", ".join(self._current)
            raise UnknownStorageClass(f"no storage class {name!r}; there are {known}")
        return self._current[name]

    def shelf(self, name: str) -> Shelf:
        """Return the shelf of *name*, on which images may be. Raises NotFound."""
        if name not in self._every:
            raise NotFound(f"storage class {name} is there no more; put it back")
        return self._every[name]

    def described(self, name: str) -> StorageClass:
        """Return what *name* is, as it was last told. Raises NotFound."""
        self.shelf(name)
        return self._described[name]

    def accepts(self, name: str) -> Accepts:
        """Return what may be sent to *name*. Raises NotFound."""
        return self.shelf(name).accepts
