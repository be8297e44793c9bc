"""Where images are made: a shelf holds those of one storage class, an import fills one place on it.

The life of a place: `prepare` → `write` → `finish` → `settle`, or `abort` at any point before
`settle`, also by another process after a crash, also when nothing was prepared. Nothing half-made
is ever left.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from importer.model import Format, ImageInfo, Placed, StorageClass, WantedFormat, Wire
from importer.stream.extent import Layout
from importer.stream.pipe import Chunks


@dataclass(frozen=True, slots=True)
class Order:
    """What a target must know of an image to make it."""

    uid: str
    """Names everything half-made, so that it is found again after a crash."""

    namespace: str
    name: str
    format: WantedFormat | None
    """Format to store, or None to keep raw and qcow2 and make raw of the others."""

    options: dict[str, Any]
    """``spec.target``."""


@dataclass(frozen=True, slots=True)
class Accepts:
    """What a target takes, and what it then does: what a plan is made of."""

    wires: frozenset[Wire]
    """Forms in which an image may come."""

    formats: frozenset[Format]
    """Formats of files that may come as they are."""

    stores: frozenset[WantedFormat]
    """Formats that it can store."""

    converts: bool
    """It takes a format that is not the one to be stored, puts the file down, and converts it."""

    hashes: bool = False
    """It reads all that it got once more before the image is ready."""

    exact: bool = False
    """It must know how many bytes will come before the first of them."""

    libqcow: bool = False
    """It reads qcow2 files with libqcow, which knows less of the format than QEMU does."""

    made: bool = False
    """The object is there already and waits for its bytes: a form that can be sent at once is
    taken before all that need the service's own disk, and its size was somebody else's affair."""


@dataclass(frozen=True, slots=True)
class Written:
    """What arrived at a target."""

    size: int
    """Bytes, zeros included."""

    data: int
    """Bytes that had to be written; the rest were zeros and became holes."""

    wire: int
    """Bytes that travelled to it: zeros that were only told of are none."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What was made, as measured on the finished thing."""

    info: ImageInfo
    """Format and virtual size of what came in, now that its end has been seen. Its `size` is that
    of the disk image inside any outer compression."""

    placed: Placed


class Tell(Protocol):
    """Hears what a place waits for, or what the target is doing, in words for people."""

    def __call__(self, doing: str, done: int | None = None, total: int | None = None) -> None:
        """*done* of *total*, bytes or percent, where the target counts."""


def untold(doing: str, done: int | None = None, total: int | None = None) -> None:
    """Tell nobody."""


class Place(Protocol):
    """One import's place on a shelf."""

    async def prepare(self, info: ImageInfo, wire: Wire = "as-is", size: int | None = None) -> None:
        """Make room for what is to come as *wire*, *size* bytes where that is known.

        *info* is of the image, whatever travels: its virtual size is that of the volume. Raises
        NoSpace, TargetBusy, TargetError.
        """

    async def write(self, chunks: Chunks) -> Written:
        """Take the bytes of a file, in order, to their end. Raises NoSpace, TargetError."""

    async def fill(self, layout: Layout) -> Written:
        """Take the disk itself, every guest byte once, in any order.

        Only where `prepare` was told ``raw``, by targets on this machine. Raises NoSpace,
        TargetError.
        """

    async def finish(self) -> Finished:
        """Verify, convert, make durable; return when the image is whole and in its place.

        Until `settle` the place can still be aborted. Raises ImageError when the bytes turn out
        bad, TargetError when the target does.
        """

    async def settle(self) -> None:
        """Let go of what `abort` would have needed: the store says Ready now."""

    async def abort(self) -> None:
        """Leave nothing of this import behind; nothing to do is fine too."""


class Shelf(Protocol):
    """The images of one storage class."""

    @property
    def accepts(self) -> Accepts:
        """What may be sent to it."""

    async def describe(self) -> StorageClass:
        """Return what it is and how much room there is."""

    def check(self, order: Order) -> None:
        """Raise CallerError when *order* has options that this backend does not know."""

    def place(self, order: Order, tell: Tell = untold) -> Place:
        """Return the place for *order*; nothing is touched yet. *tell* hears what it waits for."""

    async def remove(self, order: Order, placed: Placed) -> None:
        """Remove a finished image; one that is gone already is fine."""


class Disks(Protocol):
    """What targets on this machine need to know of disk formats; `formats.disks` does it.

    Paths are files of our own making, or block devices. Nothing is ever opened with a format that
    was guessed by qemu-img.
    """

    async def measure(self, path: Path, claimed: Format, size: int | None = None) -> ImageInfo:
        """Look at the whole of *path*, whose head looked like *claimed*.

        *size*: bytes of the image, where *path* is a block device that may be larger.

        Returns its format, its virtual size as qemu-img measures it, and its size. The format may
        differ from *claimed*: a fixed VHD looks raw until its last 512 bytes. Raises ImageError.
        """

    async def verify(self, path: Path, format: Format) -> None:
        """Raise CorruptImage when *path*, a file of *format*, is damaged or ends too early."""

    async def refuse_nested(self, path: Path) -> None:
        """Raise UnsafeImage when the raw disk at *path* begins as a file of another format."""

    async def convert(self, source: Path, format: Format, to: Path, wanted: WantedFormat) -> None:
        """Write the guest data of *source*, of *format*, to *to* as *wanted*.

        *to* does not exist yet (it is made, sparse), or is a block device. Verify first. Raises
        CorruptImage, NoSpace, TargetError.
        """
