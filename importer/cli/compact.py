"""The disk in a file on this machine, sent in the form that moves the fewest bytes.

A raw file is read by its holes, a qcow2 by its map; the zeros do not travel. Everything else, and
what would gain nothing by the plan, goes as it is (importer.cli.body).

The last chunk leaves only when the checksum is right and the file is still the one that was looked
at: an upload without its end makes no image. Raises SourceError when the file changes meanwhile,
ChecksumMismatch, and what the readers of formats.read raise.
"""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from importer.cli.body import size_of
from importer.cli.checking import Checking, checking
from importer.errors import ImporterError, SourceError
from importer.formats import compression, inspect
from importer.formats.encode.qcow2 import qcow2
from importer.formats.encode.zstd_frame import zstd_frame
from importer.formats.read import qcow2 as qcow2_file
from importer.formats.read import raw
from importer.formats.survey import survey
from importer.model import Format, StorageClass, WantedFormat, Wire
from importer.plan import HERE, Subject, accepted, choose
from importer.stream.extent import Extents, Runs
from importer.stream.pipe import Chunks
from importer.stream.readable import FileReadable
from importer.stream.threads import in_thread


class Stamp(NamedTuple):
    """What tells that a file is as it was."""

    device: int
    inode: int
    size: int
    written: int
    """Time of the last write, ns."""


@dataclass(frozen=True, slots=True)
class Disk:
    """What was found in a file, and where its data is."""

    path: Path
    format: Format
    size: int
    """Bytes of the file."""

    runs: Runs
    stamp: Stamp

    @property
    def virtual_size(self) -> int:
        """Bytes that the guest sees."""
        return self.runs[-1].end if self.runs else 0

    def extents(self) -> Extents:
        """Yield its guest data."""
        if self.format.is_raw:
            return raw.extents(self.path)
        return qcow2_file.extents(FileReadable(self.path))


async def look(path: Path) -> Disk | None:
    """Return the disk in the file at *path*, None when it can only be sent as it is.

    Raises CallerError when there is no such file, ImageError when the service would refuse it.
    """
    size = size_of(path)
    stamp, file = await in_thread(_stamp, path), FileReadable(path)
    head = await file.read_at(0, inspect.HEAD)
    if compression.detect(head):
        return None
    seen = await inspect.see(file, head)
    if seen.format.is_raw:
        return Disk(path, seen.format, size, await raw.runs(path), stamp)
    if seen.format is Format.QCOW2:
        return Disk(path, seen.format, size, await qcow2_file.runs(file), stamp)
    return None


def form(disk: Disk, wanted: WantedFormat | None, place: StorageClass) -> Wire:
    """Return how *disk* is best sent when it is to be stored as *wanted* in *place*.

    Raises UnsupportedImage when that is not possible.
    """
    if not disk.runs:
        return "as-is"  # A disk of no bytes has no form of its own.
    found = survey(disk.runs)
    subject = Subject(
        format=disk.format,
        size=disk.size,
        virtual_size=disk.virtual_size,
        wanted=wanted,
        data=found.data,
        sizes=found.sizes,
    )
    return choose(subject, HERE, accepted(place), place.rates).plan.wire


class Compact:
    """A disk as the body of one request, in the form *wire*: ``raw+zstd`` or ``qcow2``."""

    def __init__(
        self, disk: Disk, wire: Wire, checksum: str | None, told: Callable[[int], None]
    ) -> None:
        self._disk = disk
        self._checksum = checksum
        self._told = told
        self._most = survey(disk.runs).sizes[wire]
        self.wire = wire
        self.size = self._most if wire == "qcow2" else None
        """Bytes that will be sent; None where only the end tells: more zeros may be found."""

        self.total = disk.virtual_size
        """Bytes of the disk."""

        self.done = 0
        """Bytes of the disk that were sent so far, zeros included."""

        self.sent = 0
        """Bytes that were sent so far."""

    @property
    def query(self) -> dict[str, str]:
        """What the service must be told of the user's file."""
        return {
            "wire": self.wire,
            "fileFormat": self._disk.format.value,
            "fileSize": str(self._disk.size),
        }

    async def chunks(self) -> Chunks:
        """Yield the disk in its form, telling *told* how much of the disk has gone so far."""
        self.done = self.sent = 0
        async with checking(self._disk.path, self._checksum) as check:
            try:
                async with aclosing(self._checked(check)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                        self.sent += len(chunk)
            except ImporterError as exc:
                # Whatever it looks like from inside, the change is why.
                await self._refuse_changed(exc)
                raise

    async def _checked(self, check: Checking) -> Chunks:
        """Yield the chunks, each when as much of the file is hashed, the last when all is."""
        held = b""
        async with aclosing(self._encoded()) as chunks:
            async for chunk in chunks:
                if held:
                    yield held
                await check.reach(self.sent / self._most)
                held = chunk
        await check.passed()
        await self._refuse_changed(None)
        yield held

    async def _encoded(self) -> Chunks:
        async with aclosing(self._counted(self._disk.extents())) as extents:
            chunks = (
                zstd_frame(extents, self.total)
                if self.wire == "raw+zstd"
                else qcow2(self._disk.runs, extents, self.total)
            )
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk

    async def _counted(self, extents: Extents) -> Extents:
        async with aclosing(extents):
            async for extent in extents:
                yield extent
                self.done += extent.length
                self._told(self.done)

    async def _refuse_changed(self, cause: ImporterError | None) -> None:
        was, now = self._disk.stamp, await in_thread(_stamp, self._disk.path)
        if now != was:
            raise SourceError(
                f"{self._disk.path} has changed while it was sent (from {was.size} to {now.size} "
                f"bytes, last written {(now.written - was.written) / 1e9:.3f} s later); "
                "send it again when nothing writes to it"
            ) from cause


def _stamp(path: Path) -> Stamp:
    try:
        told = path.stat()
    except OSError as exc:
        raise SourceError(f"{path}: {exc.strerror}") from exc
    return Stamp(told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns)
