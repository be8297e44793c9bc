"""The storage classes of this machine, as the configuration names them."""

import stat
from collections.abc import Iterable
from pathlib import Path

from importer.config import Limits
from importer.errors import CallerError
from importer.targets import Disks, Shelf
from importer.targets.device import DeviceShelf
from importer.targets.directory import DirectoryShelf


def shelves(classes: Iterable[str], data: Path, disks: Disks, limits: Limits) -> dict[str, Shelf]:
    """Return the shelves of *classes* (``NAME=PATH``), in order; relative paths are below *data*.

    Raises CallerError for an entry that is none, or a name that comes twice.
    """
    found: dict[str, Shelf] = {}
    for entry in classes:
        name, _, path = entry.partition("=")
        if not name or not path or name in found:
            raise CallerError(f"[local] classes: {entry!r} is not NAME=PATH with a name of its own")
        place = data / Path(path).expanduser()
        if place.exists() and stat.S_ISBLK(place.stat().st_mode):
            found[name] = DeviceShelf(name, place, data / "spool", disks, limits)
        elif place.exists() and not place.is_dir():
            raise CallerError(f"[local] classes: {place} is neither directory nor block device")
        else:
            found[name] = DirectoryShelf(name, place, disks, limits)
    if not found:
        raise CallerError("[local] classes: at least one storage class is needed")
    return found
