"""The storage classes of this machine, as the configuration names them."""

import re
import stat
from collections.abc import Iterable
from pathlib import Path

from importer.config import Limits
from importer.errors import CallerError
from importer.targets import Disks, Shelf
from importer.targets.device import DeviceShelf
from importer.targets.directory import DirectoryShelf

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
"""A name is part of a file's name: nothing in it leads elsewhere."""


def shelves(classes: Iterable[str], data: Path, disks: Disks, limits: Limits) -> dict[str, Shelf]:
    """Return the shelves of *classes* (``NAME=PATH``), in order; relative paths are below *data*.

    Raises CallerError for an entry that is none, or a name or a device that comes twice.
    """
    found: dict[str, Shelf] = {}
    devices: dict[int, str] = {}
    for entry in classes:
        name, _, path = entry.partition("=")
        if not _NAME.fullmatch(name) or not path or name in found:
            raise CallerError(f"[local] classes: {entry!r} is not NAME=PATH with a name of its own")
        place, device = _resolved(data, path)
        if device is None:
            found[name] = DirectoryShelf(name, place, disks, limits)
        elif (other := devices.setdefault(device, name)) != name:
            raise CallerError(f"[local] classes: {place} is the device of {other} already")
        else:
            found[name] = DeviceShelf(name, place, data / "spool", disks, limits)
    if not found:
        raise CallerError("[local] classes: at least one storage class is needed")
    return found


def _resolved(data: Path, path: str) -> tuple[Path, int | None]:
    """Return where *path* is, and the number of the device if it is one."""
    try:
        place = data / Path(path).expanduser()
        status = place.stat()
    except FileNotFoundError:
        return place, None
    except (OSError, RuntimeError, ValueError) as exc:
        # RuntimeError: no home is known. ValueError: a NUL byte.
        raise CallerError(f"[local] classes: {path!r}: {exc}") from exc
    if stat.S_ISBLK(status.st_mode):
        return place, status.st_rdev
    if not stat.S_ISDIR(status.st_mode):
        raise CallerError(f"[local] classes: {place} is neither directory nor block device")
    return place, None
