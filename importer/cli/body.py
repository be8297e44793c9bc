"""A file on this machine as the body of one request."""

import asyncio
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from importer.errors import CallerError, SourceTruncated
from importer.model import Wire
from importer.stream.pipe import Chunks
from importer.units import CHUNK


class Body(Protocol):
    """What is sent of a file, and how much of it has gone."""

    @property
    def wire(self) -> Wire:
        """The form that it is sent in."""

    @property
    def query(self) -> Mapping[str, str]:
        """What the service must be told of it."""

    @property
    def size(self) -> int | None:
        """Bytes that will be sent, None where only the end tells."""

    @property
    def done(self) -> int:
        """Bytes of the file, or of the disk in it, that have gone so far."""

    @property
    def sent(self) -> int:
        """Bytes that were sent so far."""

    def chunks(self) -> Chunks:
        """Yield what is sent. Raises ImporterError."""


class LocalFile:
    """A regular file or block device that is sent once. Raises CallerError when it is neither."""

    wire: Wire = "as-is"
    query: Mapping[str, str] = MappingProxyType({})

    def __init__(self, path: Path, told: Callable[[int], None]) -> None:
        self._path = path
        self._told = told
        self.size = size_of(path)
        """Bytes when the command began; what is added later is not sent."""

        self.done = 0
        """Bytes that were sent so far."""

    @property
    def sent(self) -> int:
        """The same: it goes as it is."""
        return self.done

    async def chunks(self) -> Chunks:
        """Yield the file's bytes, telling *told* how many have gone so far."""
        self.done = 0
        # Threads read it: a file may lie on a network that hangs.
        with await asyncio.to_thread(self._path.open, "rb", buffering=0) as file:
            while self.done < self.size:
                chunk = await asyncio.to_thread(self._read, file.fileno(), self.done)
                if not chunk:
                    raise SourceTruncated(
                        f"{self._path} has shrunk to {self.done} bytes from {self.size} while it "
                        "was sent; send it again when nothing writes to it"
                    )
                yield chunk
                self.done += len(chunk)
                self._told(self.done)

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
