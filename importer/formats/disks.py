"""Disk image files on this machine: measured, verified, converted.

Satisfies importer.targets.Disks. Files are opened here and lent to qemu-img as descriptors.
Raises ImageError, LimitExceeded, NoSpace, TargetError.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from importer.config import Limits
from importer.errors import NoSpace, TargetError
from importer.formats import allocated, qcow2, recognise, whole
from importer.formats.inspect import HEAD, refuse_large, see
from importer.formats.qemu_img import QemuImg
from importer.model import Format, ImageInfo, WantedFormat
from importer.stream.threads import in_thread
from importer.units import SECTOR, round_up

_CHECKED = frozenset({Format.QCOW2, Format.VMDK, Format.VDI, Format.VHDX})
"""Formats that ``qemu-img check`` knows (7.2); it refuses VHD and raw with exit code 63."""


class Disks:
    """Looks at whole files and lays out their guest data."""

    def __init__(self, qemu_img: QemuImg, limits: Limits) -> None:
        self._qemu_img = qemu_img
        self._limits = limits

    async def measure(self, path: Path, claimed: Format, size: int | None = None) -> ImageInfo:
        """Return what *path* is, now that its end is there; see importer.targets.Disks.

        *claimed* is not believed: the head is looked at again.
        """
        with _opened(path, os.O_RDONLY) as file:
            part = _Part(file, size)
            head = await part.read_at(0, HEAD)
            seen = await see(part, head)
            if seen.format.is_raw:
                whole.check(head, part.size, seen.format)
                virtual_size = round_up(part.size, SECTOR)
            else:
                virtual_size = await self._qemu_img.virtual_size(file, seen.format)
        refuse_large(virtual_size, self._limits)
        return ImageInfo(format=seen.format, virtual_size=virtual_size, size=part.size)

    async def verify(self, path: Path, format: Format) -> None:
        """Raise CorruptImage when *path*, a file of *format*, is damaged or ends too early."""
        with _opened(path, os.O_RDONLY) as file:
            await in_thread(allocated.check, file, format)
            if format in _CHECKED and not await in_thread(_counts_are_stale, file, format):
                await self._qemu_img.check(file, format)

    async def refuse_nested(self, path: Path) -> None:
        """Raise UnsafeImage when the raw disk at *path* begins as a file of another format."""
        with _opened(path, os.O_RDONLY) as file:
            recognise.refuse_nested(await in_thread(os.pread, file, SECTOR, 0))

    async def convert(self, source: Path, format: Format, to: Path, wanted: WantedFormat) -> None:
        """Write the guest data of *source* to *to*; nothing is left of *to* when that fails.

        The bytes are durable on return, the new file's name is not.
        """
        with _opened(source, os.O_RDONLY) as file:
            virtual_size = await self._qemu_img.virtual_size(file, format)
            refuse_large(virtual_size, self._limits)
            with _made(to, virtual_size if wanted == "raw" else 0) as target:
                await self._qemu_img.convert(file, format, target, wanted, virtual_size)
                await in_thread(_sync, target)


def _counts_are_stale(file: int, format: Format) -> bool:
    """Say whether qemu-img check would only complain of what the next writer mends by itself."""
    return format is Format.QCOW2 and qcow2.parse(os.pread(file, HEAD, 0)).dirty


class _Part:
    """An open file as model.Readable; *size* where only its start is the image."""

    def __init__(self, file: int, size: int | None) -> None:
        self._file = file
        self.size = os.lseek(file, 0, os.SEEK_END) if size is None else size

    async def read_at(self, offset: int, length: int) -> bytes:
        return await in_thread(os.pread, self._file, min(length, self.size - offset), offset)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    try:
        file = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise TargetError(f"{path}: {exc.strerror}") from exc
    try:
        yield file
    finally:
        os.close(file)


@contextlib.contextmanager
def _made(path: Path, length: int) -> Iterator[int]:
    """Yield a new file of *length* bytes, or the block device at *path*; a failure removes it."""
    device = path.exists() and stat.S_ISBLK(path.stat().st_mode)
    with _opened(path, os.O_RDWR if device else os.O_RDWR | os.O_CREAT | os.O_EXCL) as file:
        try:
            if not device:
                _lengthen(file, length)
            yield file
        except BaseException:
            if not device:
                path.unlink(missing_ok=True)
            raise


def _lengthen(file: int, length: int) -> None:
    try:
        os.ftruncate(file, length)
    except OSError as exc:
        raise NoSpace(f"a file of {length} bytes: {exc.strerror}") from exc


def _sync(file: int) -> None:
    try:
        os.fsync(file)
    except OSError as exc:
        raise TargetError(f"fsync of the converted image: {exc.strerror}") from exc
