"""A file on this machine as what is sent of it, from its first byte or from any other on."""

import asyncio
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

from importer.errors import CallerError, SourceError, SourceTruncated
from importer.model import Wire
from importer.stream.pipe import Chunks
from importer.stream.threads import in_thread
from importer.units import CHUNK


class Stamp(NamedTuple):
    """What tells that a file is as it was."""

    device: int
    inode: int
    size: int
    written: int
    """Time of the last write, ns."""


class Body(Protocol):
    """What is sent of a file, and how much of it has gone. As long as the file does not change, it
    is the same bytes each time."""

    @property
    def wire(self) -> Wire:
        """The form that it is sent in."""

    @property
    def query(self) -> Mapping[str, str]:
        """What the service must be told of it."""

    @property
    def stamp(self) -> Stamp:
        """Of the file, when the command began."""

    @property
    def shape(self) -> str:
        """What must be the same, besides the file, for the same bytes to come."""

    @property
    def marks(self) -> list[tuple[int, int]]:
        """Where it can be taken up at little cost: bytes of it, and of the disk in it."""

    @property
    def size(self) -> int | None:
        """Bytes that will be sent, None where only the end tells."""

    @property
    def done(self) -> int:
        """Bytes of the file, or of the disk in it, that have gone so far."""

    @property
    def sent(self) -> int:
        """Bytes that were sent so far."""

    def chunks(self, start: int = 0) -> Chunks:
        """Yield what is sent, from byte *start* on. Raises ImporterError."""

    async def close(self) -> None:
        """Let go of the file."""


class LocalFile:
    """A regular file or block device as it is. Raises CallerError when it is neither."""

    wire: Wire = "as-is"
    query: Mapping[str, str] = MappingProxyType({})
    shape = ""

    def __init__(self, path: Path, told: Callable[[int], None]) -> None:
        self._path = path
        self._told = told
        self.size = size_of(path)
        """Bytes when the command began; what is added later is not sent."""

        self.stamp = stamp_of(path)
        self.marks: list[tuple[int, int]] = []
        self.done = 0
        """Bytes that were sent so far."""

        self._is_resumed = False

    @property
    def sent(self) -> int:
        """The same: it goes as it is."""
        return self.done

    async def chunks(self, start: int = 0) -> Chunks:
        """Yield the file's bytes from *start* on, telling *told* how many have gone so far.

        Raises SourceError when it is another file than the one whose start was sent before.
        """
        if start:
            self._is_resumed = True
            await refuse_changed(self._path, self.stamp)
        self.done = start
        # Threads read it: a file may lie on a network that hangs.
        with await asyncio.to_thread(self._path.open, "rb", buffering=0) as file:
            while self.done < self.size:
                chunk = await asyncio.to_thread(self._read, file.fileno(), self.done)
                if not chunk:
                    raise SourceTruncated(
                        f"{self._path} has shrunk to {self.done} bytes from {self.size} while it "
                        "was sent; send it again when nothing writes to it"
                    )
                if self._is_resumed and self.done + len(chunk) == self.size:
                    await refuse_changed(self._path, self.stamp)
                yield chunk
                self.done += len(chunk)
                self._told(self.done)

    async def close(self) -> None:
        """Nothing to do: it is open only while it is read."""

    def _read(self, descriptor: int, offset: int) -> bytes:
        try:
            return os.pread(descriptor, min(CHUNK, self.size - offset), offset)
        except OSError as exc:
            raise CallerError(f"{self._path} cannot be read at byte {offset}: {exc}") from exc


def size_of(path: Path) -> int:
    """Return the bytes of a file or block device. Raises CallerError."""
    try:
        # Opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as exc:
        raise CallerError(f"{path} cannot be read: {exc.strerror}") from exc
    try:
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise CallerError(f"{path} is neither a file nor a block device")
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def stamp_of(path: Path) -> Stamp:
    """Return what tells the file at *path* from another one. Raises SourceError."""
    try:
        told = path.stat()
    except OSError as exc:
        raise SourceError(f"{path}: {exc.strerror}") from exc
    return Stamp(told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns)


async def refuse_changed(path: Path, was: Stamp, cause: Exception | None = None) -> None:
    """Raise SourceError when the file is not the one that it *was*."""
    now = await in_thread(stamp_of, path)
    if now != was:
        raise SourceError(
            f"{path} has changed while it was sent (from {was.size} to {now.size} bytes, last "
            f"written {(now.written - was.written) / 1e9:.3f} s later); send it again when nothing "
            "writes to it"
        ) from cause
