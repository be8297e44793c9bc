"""The disk in a file on this machine, sent in the form that moves the fewest bytes.

A raw file is read by its holes, a qcow2 by its map; the zeros do not travel. Everything else, and
what would gain nothing by the plan, goes as it is (importer.cli.body).

The last chunk leaves only when the checksum is right and the file is still the one that was looked
at: an upload without its end makes no image. Raises SourceError when the file changes meanwhile,
ChecksumMismatch, and what the readers of formats.read raise.
"""

import hashlib
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from importer.cli.body import Stamp, refuse_changed, size_of, stamp_of
from importer.cli.checking import Checking
from importer.errors import ImporterError, SourceError
from importer.formats import compression, inspect
from importer.formats.encode.qcow2 import qcow2, qcow2_at
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
from importer.units import MiB

MARKED = 16 * MiB
"""Bytes sent between two marks."""

MARKS = 64
"""Marks that are kept, so of the last GiB. What was sent and has not arrived is what sockets and
proxies held, far less; without a mark all of the disk is read again up to where it goes on."""


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

    @property
    def shape(self) -> str:
        """A digest of where its data is: a file system may tell that otherwise another time."""
        digest = hashlib.sha256()
        for run in self.runs:
            digest.update(run.end.to_bytes(8, "little") + bytes([run.is_zero]))
        return digest.hexdigest()

    def extents(self, start: int = 0) -> Extents:
        """Yield its guest data from *start* on."""
        if self.format.is_raw:
            return raw.extents(self.path, start)
        return qcow2_file.extents(FileReadable(self.path), start)

    async def refuse_changed(self, cause: Exception | None = None) -> None:
        """Raise SourceError when the file is not the one that was looked at."""
        await refuse_changed(self.path, self.stamp, cause)

    async def refuse_moved(self) -> None:
        """Raise SourceError when the file system tells now that the data is elsewhere."""
        if self.format.is_raw and await raw.runs(self.path) != self.runs:
            raise SourceError(f"{self.path} has changed while it was sent: its holes are others")


async def look(path: Path) -> Disk | None:
    """Return the disk in the file at *path*, None when it can only be sent as it is.

    Raises CallerError when there is no such file, ImageError when the service would refuse it.
    """
    size = size_of(path)
    stamp, file = await in_thread(stamp_of, path), FileReadable(path)
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
    """A disk as what is sent of it, in the form *wire*: ``raw+zstd`` or ``qcow2``."""

    def __init__(
        self,
        disk: Disk,
        wire: Wire,
        checksum: str | None,
        told: Callable[[int], None],
        marks: Iterable[tuple[int, int]] = (),
    ) -> None:
        self._disk = disk
        self._checksum = checksum
        self._told = told
        self._most = survey(disk.runs).sizes[wire]
        self._check: Checking | None = None
        self._marks = deque(marks, MARKS)
        self._made = self._base = 0
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

    @property
    def stamp(self) -> Stamp:
        """Of the file, when it was looked at."""
        return self._disk.stamp

    @property
    def shape(self) -> str:
        """Where the disk has data: what is made of it follows from that."""
        return self._disk.shape

    @property
    def marks(self) -> list[tuple[int, int]]:
        """Bytes of the form, and of the disk, between which and the rest it can be cut."""
        return list(self._marks)

    async def chunks(self, start: int = 0) -> Chunks:
        """Yield the disk in its form, telling *told* how much of the disk has gone so far.

        From byte *start* of the form on: what precedes is made again, but not read, as far as a
        mark or the tables tell where it comes from.
        """
        self.sent = start
        if start:
            await self._disk.refuse_changed()
            await self._disk.refuse_moved()
        if self._check is None:
            self._check, self._base = Checking(self._disk.path, self._checksum), start
        try:
            async with aclosing(self._checked(self._check, start)) as chunks:
                async for chunk in chunks:
                    yield chunk
                    self.sent += len(chunk)
        except ImporterError as exc:
            # Whatever it looks like from inside, the change is why.
            await self._disk.refuse_changed(exc)
            raise

    async def close(self) -> None:
        """Let go of the file, which may still be hashed."""
        if self._check:
            await self._check.stop()

    async def _checked(self, check: Checking, start: int) -> Chunks:
        """Yield the chunks, each when as much of the file is hashed, the last when all is."""
        held = b""
        async with aclosing(self._from(start)) as chunks:
            async for chunk in chunks:
                if held:
                    yield held
                await check.reach((self.sent - self._base) / max(self._most - self._base, 1))
                held = chunk
        await check.passed()
        await self._disk.refuse_changed()
        if held:
            yield held

    async def _from(self, start: int) -> Chunks:
        guest, self._made = self._place(start)
        self.done, skip = guest, start - self._made
        async with aclosing(self._encoded(guest)) as chunks:
            async for chunk in chunks:
                self._made += len(chunk)
                if skip < len(chunk):
                    yield chunk[skip:]
                skip = max(skip - len(chunk), 0)

    def _place(self, start: int) -> tuple[int, int]:
        """Return where the disk is read from for byte *start*, and which byte that makes."""
        if self.wire == "qcow2":
            return qcow2_at(self._disk.runs, self.total, start)
        before = bisect_right(self._marks, start, key=lambda mark: mark[0])
        made, guest = self._marks[before - 1] if before else (0, 0)
        return guest, made

    async def _encoded(self, start: int) -> Chunks:
        async with aclosing(self._counted(self._disk.extents(start))) as extents:
            chunks = (
                zstd_frame(extents, self.total, start, self._mark)
                if self.wire == "raw+zstd"
                else qcow2(self._disk.runs, extents, self.total, start)
            )
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk

    def _mark(self, guest: int) -> None:
        if not self._marks or self._made - self._marks[-1][0] >= MARKED:
            self._marks.append((self._made, guest))

    async def _counted(self, extents: Extents) -> Extents:
        async with aclosing(extents):
            async for extent in extents:
                yield extent
                self.done += extent.length
                self._told(self.done)
