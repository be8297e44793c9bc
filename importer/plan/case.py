"""What a plan is made of: the image, its source, its target, and what follows from them at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from importer.model import Compression, Format, Rates, WantedFormat, Wire
from importer.targets import Accepts

READ = (Format.RAW, Format.ISO, Format.QCOW2)
"""Formats whose guest data we read ourselves; qemu reads the others, on the finished file."""

_GUESS = 0.5
"""Share of a disk that is taken for data while nothing is known of it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of the image when the plan is made."""

    format: Format
    compression: Compression | None = None
    size: int | None = None
    """Bytes of the published file."""

    virtual_size: int | None = None
    wanted: WantedFormat | None = None
    """None: qcow2 stays qcow2 where the target stores that, everything else becomes raw."""

    data: int | None = None
    """Guest bytes that are data, where a map told."""

    sizes: Mapping[Wire, int] = field(default_factory=dict)
    """Exact bytes of forms, where a map told."""

    unfit: str = ""
    """Why the target could not use the file as it is, though it takes its format."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What can be done with the source."""

    here: bool = False
    """A file beside the client that sends it: every form goes to the service first, and what is
    sent as it is can still be undone there on its way."""

    can_seek: bool = False
    """Any part of it can be read at any time: a local file, a server that knows ranges."""

    shuffled: str = ""
    """Why it cannot be read in one pass, when an earlier try found that out."""

    spooled: bool = False
    """The service has put the file down on a disk of its own, without its outer compression and,
    where only qemu reads it, as raw."""


def stored_as(kind: Format, wanted: WantedFormat | None, accepts: Accepts) -> WantedFormat:
    """Return the format that an image of *kind* is to have in the end."""
    if wanted:
        return wanted
    return "qcow2" if kind is Format.QCOW2 and "qcow2" in accepts.stores else "raw"


@dataclass(frozen=True, slots=True)
class Case:
    """All that a plan depends on, and what follows from it at once."""

    subject: Subject
    reach: Reach
    accepts: Accepts
    rates: Rates

    def form(self, wire: Wire) -> str:
        """Return the format that arrives as *wire*, in qemu-img's words; ISO is raw."""
        if wire == "as-is":
            return "raw" if self.subject.format.is_raw else str(self.subject.format)
        return "qcow2" if wire == "qcow2" else "raw"

    def stored(self, wire: Wire) -> str:
        """Return the format that the image has in the end when it travels as *wire*."""
        subject, form = self.subject, self.form(wire)
        if not subject.wanted and not self.accepts.converts and form in self.accepts.stores:
            return form  # Nobody converts and nobody asked: guests see the same disk in either.
        return stored_as(subject.format, subject.wanted, self.accepts)

    def fits(self, wire: Wire) -> bool:
        """Say whether what arrives as *wire* is stored as it comes."""
        return self.form(wire) == self.stored(wire)

    def undone(self, wire: Wire) -> bool:
        """Say whether the service reads the file on its way, so that it is never put down."""
        if not (self.reach.here and self.on_the_way and self.stored(wire) == "raw"):
            return False
        return wire == "as-is" and self.subject.format in READ and not self.reach.shuffled

    @property
    def seeks(self) -> bool:
        """Say whether any part of the disk image file can be read: not through a compression."""
        return self.reach.can_seek and self.subject.compression is None

    @property
    def has_map(self) -> bool:
        """Say whether all extents are known before the first byte."""
        told = self.reach.here or self.subject.format is Format.QCOW2
        return self.reach.spooled or (self.seeks and told)

    @property
    def on_the_way(self) -> bool:
        """Say whether the service itself lays out the disk on the target, as raw."""
        return "raw" in self.accepts.wires

    @property
    def file(self) -> int | None:
        """Bytes of the disk image file inside any compression, None where nobody knows."""
        if self.subject.compression is None:
            return self.subject.size
        return self.subject.virtual_size if self.subject.format.is_raw else None

    @property
    def disk(self) -> int | None:
        """Bytes of the disk: the file's own where only its end will tell."""
        size = self.subject.virtual_size
        return self.file or self.subject.size if size is None else size

    @property
    def data(self) -> int | None:
        """Bytes of data on the disk; a guess where no map told."""
        if self.subject.data is not None or self.disk is None:
            return self.subject.data
        if self.subject.format.is_raw or self.file is None:
            return int(self.disk * _GUESS)
        return min(self.disk, self.file)
