"""What this machine remembers of an upload that is under way, so that the same command goes on.

One small file for each upload in ``$XDG_STATE_HOME/importer/uploads``, for its owner's eyes only;
no token is in it. It is keyed by server, namespace, name and path, so that a command which means
something else never finds it. A file that is damaged, not ours, of another version or older than
KEEP is taken for none: the upload then begins anew, which is always right.

Raises nothing: an upload does not fail because it cannot be remembered.
"""

import hashlib
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from importer import __version__
from importer.cli.body import Stamp
from importer.cli.tus import is_id
from importer.model import Size, Wire

KEEP = 24 * 3600.0
"""Seconds that an upload is remembered after its last news. The service forgets it far sooner
([upload] away)."""

_MOST = 64 * 1024
"""Bytes of a file at most; one has about 3 KiB."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """An upload that was begun."""

    id: str
    """What the service calls it."""

    asked: str
    """The options of the command: with others, it is another upload."""

    stamp: Stamp
    wire: Wire
    shape: str
    checksum: str | None = None
    """Of the file, where the command has computed it."""

    marks: Annotated[list[tuple[Size, Size]], Meta(max_length=1000)] = []
    version: str = __version__
    """Another one may make other bytes of the same disk."""


class Kept:
    """The place of one upload in this machine's memory."""

    def __init__(self, server: str, namespace: str | None, name: str, path: Path) -> None:
        key = "\0".join((server, namespace or "", name, str(path.absolute())))
        self._folder = _folder()
        self._path = self._folder / f"{hashlib.sha256(os.fsencode(key)).hexdigest()}.json"
        self._last: Begun | None = None

    def load(self) -> Begun | None:
        """Return what is remembered, if it can be trusted."""
        try:
            begun = msgspec.json.decode(_own(self._path), type=Begun)
        except (OSError, ValueError):
            return None
        return begun if is_id(begun.id) and begun.version == __version__ else None

    def save(self, begun: Begun) -> None:
        """Remember *begun* in place of what was."""
        if begun == self._last:
            return
        fresh = self._path.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                file.write(msgspec.json.encode(begun))
            fresh.replace(self._path)
            self._last = begun

    def forget(self) -> None:
        """Remember nothing of it, nor of uploads that nobody came back to."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            for path in self._folder.iterdir():
                with suppress(OSError):
                    if _is_old(path.lstat()):
                        path.unlink()


def _folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME", "")
    # XDG Base Directory Specification 0.8: a path that is not absolute is to be ignored.
    home = Path(base) if base.startswith("/") else Path("~/.local/state").expanduser()
    return home / "importer" / "uploads"


def _own(path: Path) -> bytes:
    """Return what is in *path*, a file of ours that nobody else could write. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        told = os.fstat(descriptor)
        if not stat.S_ISREG(told.st_mode) or told.st_uid != os.geteuid() or told.st_mode & 0o077:
            raise PermissionError(f"{path} is not ours alone")
        if told.st_size > _MOST or _is_old(told):
            raise PermissionError(f"{path} is too old or too large")
        return file.read(_MOST)


def _is_old(told: os.stat_result) -> bool:
    return not 0 <= time.time() - told.st_mtime + 1 < KEEP
