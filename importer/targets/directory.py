"""Images as files in a directory: ``<name>.raw`` or ``<name>.qcow2``, other namespaces below it.

While an image is made there are, beside its future name, ``.<uid>.claim`` (empty until the image
gets its name, then that name: what is there is ours to remove), ``.<uid>.part`` (the file as it
comes) and ``.<uid>.new`` (what it is converted to). ``.<uid>.copy`` is a copy of a finished one.
Files are fsynced before they get their name, and the directory after.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import msgspec

from importer.config import Limits
from importer.errors import CallerError, NoSpace, TargetBusy, TargetError
from importer.model import Format, ImageInfo, Placed, StorageClass, WantedFormat, Wire
from importer.stream.extent import Layout
from importer.stream.pipe import Chunks
from importer.stream.threads import in_thread
from importer.targets import Accepts, Disks, Finished, Order, Tell, Written, untold
from importer.targets.cloning import Cloned
from importer.targets.copying import copied
from importer.targets.sparse import SparseWriter, failure, make_directory, sync_directory
from importer.units import SECTOR, human, round_up

_ENDINGS = ("raw", "qcow2")

ACCEPTS = Accepts(
    wires=frozenset({"as-is", "raw", "raw+zstd", "qcow2"}),
    formats=frozenset(Format),
    stores=frozenset({"raw", "qcow2"}),
    converts=True,
)


class DirectoryShelf:
    """One directory."""

    accepts = ACCEPTS

    def __init__(self, name: str, root: Path, disks: Disks, limits: Limits) -> None:
        self._name = name
        self._root = root
        self._disks = disks
        self._limits = limits

    async def describe(self) -> StorageClass:
        """Return the class with the room of its file system."""
        try:
            room = await in_thread(shutil.disk_usage, _existing(self._root))
        except OSError as exc:
            raise TargetError(f"storage class {self._name}: {exc}") from exc
        return StorageClass(
            name=self._name,
            provisioner="directory",
            backend="local",
            engine="local",
            capacity=room.total,
            available=max(0, room.free - self._limits.free_space),
        )

    def check(self, order: Order) -> None:
        """Raise CallerError: a directory has no options."""
        refuse_options(order)

    def place(self, order: Order, tell: Tell = untold) -> "DirectoryPlace":
        """Return the place for *order*."""
        folder = self._root if order.namespace == "default" else self._root / order.namespace
        return DirectoryPlace(folder, order, self._disks, self._limits)

    async def remove(self, order: Order, placed: Placed) -> None:
        """Remove the image's file."""
        await in_thread(self.place(order).remove, Path(placed.name).name)

    async def clone(self, image: Placed, order: Order, size: int, tell: Tell = untold) -> Cloned:
        """Copy the image's file to a hidden one beside it."""
        tell("the file is copied")
        source = Path(image.name)
        return await copied(source, source.parent / _copy_of(order), self._limits.free_space)

    async def unclone(self, order: Order) -> None:
        """Remove that file."""
        await in_thread(self.place(order).remove, _copy_of(order))


class DirectoryPlace:
    """One file that is being made."""

    def __init__(self, folder: Path, order: Order, disks: Disks, limits: Limits) -> None:
        self._folder = folder
        self._order = order
        self._disks = disks
        self._limits = limits
        self._info = ImageInfo(format=Format.RAW)
        self._wire: Wire = "as-is"
        self._claim, self._part, self._new = (
            folder / f".{order.uid}.{kind}" for kind in ("claim", "part", "new")
        )

    async def prepare(self, info: ImageInfo, wire: Wire = "as-is", size: int | None = None) -> None:
        """Make the directory, see that the name and enough room are there, and claim the name."""
        self._info, self._wire = info, wire
        await in_thread(self._prepare, info)

    async def write(self, chunks: Chunks) -> Written:
        """Write the file as it comes, zeros as holes."""
        async with SparseWriter(self._part, self._limits.free_space) as writer:
            return await writer.write(chunks)

    async def fill(self, layout: Layout) -> Written:
        """Write the disk as a raw file, zeros as holes."""
        async with SparseWriter(self._part, self._limits.free_space) as writer:
            written = await writer.fill(layout)
        self._info = msgspec.structs.replace(self._info, virtual_size=written.size)
        return written

    async def finish(self) -> Finished:
        """Measure and verify the whole file, convert it where asked, and give it its name."""
        if self._wire == "raw":
            await self._disks.refuse_nested(self._part)
            return await self._published(self._info, self._part, "raw")
        info = await self._disks.measure(self._part, self._info.format)
        await self._disks.verify(self._part, info.format)
        wanted = self._order.format or ("qcow2" if info.format is Format.QCOW2 else "raw")
        made = self._part
        if not _is_as_wanted(info.format, wanted):
            made = self._new
            await self._disks.convert(self._part, info.format, made, wanted)
            if wanted == "raw":
                await self._disks.refuse_nested(made)
        return await self._published(info, made, wanted)

    async def settle(self) -> None:
        """Give up the claim: the image is there to stay."""
        await in_thread(self._claim.unlink, missing_ok=True)

    async def abort(self) -> None:
        """Remove every file of this import."""
        await in_thread(self._abort)

    def remove(self, name: str) -> None:
        """Remove the finished file *name*, and make that durable."""
        (self._folder / name).unlink(missing_ok=True)
        self._tidy()

    async def _published(self, info: ImageInfo, made: Path, wanted: WantedFormat) -> Finished:
        final = self._folder / f"{self._order.name}.{wanted}"
        await in_thread(self._publish, made, final, wanted)
        return Finished(info, Placed(kind="File", name=str(final)))

    def _prepare(self, info: ImageInfo) -> None:
        try:
            self._take()
            self._refuse_taken()
            self._refuse_full(info)
        except OSError as exc:
            raise failure(f"directory {self._folder}", exc) from exc

    def _take(self) -> None:
        while True:
            make_directory(self._folder)
            # Gone again: another import of the namespace ended just now and tidied up.
            with suppress(FileNotFoundError):
                self._claim.touch(mode=0o600)
                return sync_directory(self._folder)

    def _refuse_taken(self) -> None:
        for ending in _ENDINGS:
            path = self._folder / f"{self._order.name}.{ending}"
            if path.exists():
                raise TargetBusy(f"{path} exists and is no image of ours; move it away")

    def _refuse_full(self, info: ImageInfo) -> None:
        free = shutil.disk_usage(self._folder).free - self._limits.free_space
        # Of a compressed file more will be written, of extents less, nobody knows how much:
        # that is checked as it comes.
        if self._wire == "as-is" and (needed := info.size or 0) > free:
            raise NoSpace(
                f"the image needs {human(needed)}, {self._folder} has {human(max(0, free))}"
                f" ({human(self._limits.free_space)} are to stay free)"
            )

    def _publish(self, made: Path, final: Path, wanted: str) -> None:
        try:
            with made.open("r+b") as file:
                if wanted == "raw":
                    os.ftruncate(file.fileno(), round_up(made.stat().st_size, SECTOR))
                os.fsync(file.fileno())
            self._refuse_taken()
            self._say(final.name)
            made.rename(final)
            self._part.unlink(missing_ok=True)
            sync_directory(self._folder)
        except OSError as exc:
            raise failure(f"publishing {final}", exc) from exc

    def _say(self, name: str) -> None:
        """Write down that *name* is ours, before it is: a stranger's file is never removed."""
        with self._claim.open("r+") as claim:
            claim.write(name)
            claim.flush()
            os.fsync(claim.fileno())

    def _abort(self) -> None:
        if not self._folder.is_dir():
            return
        if self._claim.exists() and (name := self._claim.read_text()):
            self.remove(name)
        for path in (self._part, self._new, self._claim):
            path.unlink(missing_ok=True)
        self._tidy()

    def _tidy(self) -> None:
        """Make what was removed durable, and remove a namespace's directory that is empty."""
        # Gone already: another import of the namespace ended just now and tidied up.
        with suppress(FileNotFoundError):
            sync_directory(self._folder)
        if self._order.namespace != "default":
            with suppress(OSError):
                self._folder.rmdir()


def _copy_of(order: Order) -> str:
    return f".{order.uid}.copy"


def refuse_options(order: Order) -> None:
    """Raise CallerError when *order* has any options."""
    for option in order.options:
        raise CallerError(f"spec.target.{option}: a local storage class has no options")


def _is_as_wanted(format: Format, wanted: str) -> bool:
    return format is Format.QCOW2 if wanted == "qcow2" else format.is_raw


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
