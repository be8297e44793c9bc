"""A file on this machine as the body of one request."""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path

from importer.errors import CallerError, SourceTruncated
from importer.stream.pipe import Chunks
from importer.units import CHUNK


class LocalFile:
    """A regular file or block device that is sent once. Raises CallerError when it is neither."""

    def __init__(self, path: Path, sent: Callable[[int], None]) -> None:
        self._path = path
        self._sent = sent
        self.size = size_of(path)
        """Bytes when the command began; what is added later is not sent."""

        self.done = 0
        """Bytes that were sent so far."""

    async def chunks(self) -> Chunks:
        """Yield the file's bytes, telling *sent* how many have gone so far."""
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
                self._sent(self.done)

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
