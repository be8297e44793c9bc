"""Writes a file's bytes in order, or a disk's extents in any, and leaves the zeros out.

A regular file gets holes; a block device is told to zero the range (``BLKZEROOUT``, linux/fs.h),
which costs no data on the wire to it where the device can, and writes zeros where it cannot.
"""

import asyncio
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from importer.errors import NoSpace, TargetError
from importer.stream.extent import Data, Layout, Located, Zero
from importer.stream.lookahead import in_order
from importer.stream.pipe import Chunks
from importer.stream.threads import in_thread
from importer.stream.zeros import runs
from importer.targets import Written
from importer.units import SECTOR, GiB, MiB, human, round_up

P = ParamSpec("P")
T = TypeVar("T")

FLUSH = 16 * MiB
"""Bytes after which the disk is made to write, while more come: the last fsync has little to do
then, and dirty pages do not pile up in the memory."""

AT_ONCE = 3
"""Extents that are written at once: the path to the disk is as long as that from it, and both
processors find work. On two busy ones 2 GiB took 2.4 s so, and 4.3 s one by one."""

_BLKZEROOUT = 0x127F
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ZEROS = bytes(MiB)
_ZEROS_AT_ONCE = GiB


class SparseWriter:
    """A file or block device being written from its first byte on."""

    def __init__(self, path: Path, reserve: int = 0) -> None:
        self._path = path
        self._reserve = reserve  # bytes of the file system that must stay free
        self._fd = -1
        self._device = False
        self._unflushed = 0
        self._size = 0
        self._written = 0
        self._came = 0

    async def __aenter__(self) -> Self:
        await in_thread(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await in_thread(os.close, self._fd)

    async def write(self, chunks: Chunks) -> Written:
        """Write *chunks* to their end and make them durable. Raises NoSpace, TargetError."""
        async with aclosing(_appended(chunks)) as layout:
            await self._all(layout, at_once=1)
        return Written(self._size, self._written, self._came)

    async def fill(self, layout: Layout) -> Written:
        """Write every extent where it belongs and make them durable. Raises as `write` does."""
        async with aclosing(_steps(layout)) as steps:
            await self._all(steps, AT_ONCE)
        return Written(self._size, self._written, self._came)

    async def _all(self, layout: Layout, at_once: int) -> None:
        flushing: asyncio.Future[None] | None = None
        try:
            async with aclosing(in_order(layout, self._placed, at_once)) as placed:
                async for _ in placed:
                    if self._unflushed >= FLUSH:
                        self._unflushed = 0
                        if flushing:
                            await flushing  # one at a time: what is dirty stays bounded
                        flushing = asyncio.ensure_future(in_thread(self._guarded, self._flush))
        finally:
            if flushing:
                # Ends only when the thread has, however often the waiting is cancelled.
                await asyncio.gather(flushing, return_exceptions=True)
        if flushing:
            await flushing
        await in_thread(self._guarded, self._end)

    def _open(self) -> None:
        self._device = self._path.exists() and stat.S_ISBLK(self._path.stat().st_mode)
        flags = os.O_EXCL if self._device else os.O_CREAT | os.O_EXCL
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
        except OSError as exc:
            raise failure(f"cannot write {self._path}", exc) from exc

    def _guarded(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        except OSError as exc:
            if exc.errno in _FULL:
                raise self._full() from exc
            raise TargetError(f"writing {self._path}: {exc.strerror}") from exc

    def _full(self) -> NoSpace:
        where = self._path if self._device else self._path.parent
        return NoSpace(
            f"no space left on {where} after {human(self._size)} ({human(self._reserve)} are to "
            "stay free); free some, or choose another storage class"
        )

    async def _placed(self, located: Located) -> None:
        written = await in_thread(self._guarded, self._put, located)
        # Counted here, not in threads, which would lose some of each other's.
        extent = located.extent
        self._size = max(self._size, located.offset + extent.length)
        self._written += written
        if isinstance(extent, Data):
            self._came += extent.length
            self._unflushed += extent.length

    def _put(self, located: Located) -> int:
        """Write one extent; return the bytes that were not left out as zeros."""
        extent = located.extent
        if isinstance(extent, Data):
            return self._write(located.offset, extent.data)
        if self._device:
            self._zero(located.offset, extent.length)
        return 0

    def _write(self, offset: int, chunk: bytes) -> int:
        written = 0
        for data, start, end in runs(chunk):
            if data:
                _write_all(self._fd, memoryview(chunk)[start:end], offset + start)
                written += end - start
            elif self._device:
                self._zero(offset + start, end - start)
        return written

    def _zero(self, offset: int, length: int) -> None:
        if not length:
            return
        try:
            fcntl.ioctl(self._fd, _BLKZEROOUT, struct.pack("QQ", offset, length))
        except OSError:
            # EINVAL: not on the device's own sector size. Written out, it is right everywhere.
            for at in range(offset, offset + length, len(_ZEROS)):
                piece = memoryview(_ZEROS)[: min(len(_ZEROS), offset + length - at)]
                _write_all(self._fd, piece, at)

    def _flush(self) -> None:
        os.fdatasync(self._fd)
        if not self._device and _free(self._fd) < self._reserve:
            raise self._full()

    def _end(self) -> None:
        if self._device:
            # The guest sees whole sectors: nothing old may be left in the last one.
            self._zero(self._size, round_up(self._size, SECTOR) - self._size)
        else:
            os.ftruncate(self._fd, self._size)
        os.fsync(self._fd)


async def _appended(chunks: Chunks) -> Layout:
    offset = 0
    async for chunk in chunks:
        yield Located(offset, Data(chunk))
        offset += len(chunk)


async def _steps(layout: Layout) -> Layout:
    """Yield *layout* with its zeros in steps that a cancelled import need not wait for long."""
    async with aclosing(layout):
        async for located in layout:
            if isinstance(located.extent, Data):
                yield located
                continue
            end = located.offset + located.extent.length
            for offset in range(located.offset, end, _ZEROS_AT_ONCE):
                yield Located(offset, Zero(min(_ZEROS_AT_ONCE, end - offset)))


def _free(fd: int) -> int:
    room = os.statvfs(fd)
    return room.f_bavail * room.f_frsize


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    while data:
        done = os.pwrite(fd, data, offset)
        data, offset = data[done:], offset + done


def failure(what: str, error: OSError) -> TargetError:
    """Return NoSpace where that is what *error* says, else TargetError."""
    kind = NoSpace if error.errno in _FULL else TargetError
    return kind(f"{what}: {error.strerror}")


def make_directory(path: Path) -> None:
    """Make *path* and what is missing above it, for us alone, and make that durable."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in *path* durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def wipe(path: Path, offset: int, length: int) -> None:
    """Write zeros over a part of a block device that nobody else holds, and make that durable."""
    with _exclusive(path, os.O_WRONLY) as fd:
        _write_all(fd, memoryview(bytes(length)), offset)
        os.fsync(fd)


def refuse_used(path: Path) -> None:
    """Raise OSError (EBUSY) when a block device is mounted, or part of something larger."""
    with _exclusive(path, os.O_RDONLY):
        pass


def device_size(path: Path) -> int:
    """Return the bytes of a block device. Raises OSError, also when *path* is something else."""
    with path.open("rb", buffering=0) as device:
        if not stat.S_ISBLK(os.fstat(device.fileno()).st_mode):
            raise OSError(errno.ENOTBLK, os.strerror(errno.ENOTBLK), str(path))
        return device.seek(0, os.SEEK_END)


@contextmanager
def _exclusive(path: Path, flags: int) -> Iterator[int]:
    # open(2): without O_CREAT, O_EXCL is for block devices, and fails when one is in use.
    fd = os.open(path, flags | os.O_EXCL | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
