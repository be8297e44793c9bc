"""What a place is to get on one try."""

from dataclasses import dataclass

from importer.model import Compression, ImageInfo, Plan, Wire
from importer.plan import Reach, Subject
from importer.stream.extent import Layout


@dataclass(frozen=True, slots=True)
class Cargo:
    """What travels, and what was known when that was decided."""

    info: ImageInfo
    """Of the file, or of what the client says that its file is."""

    compression: Compression | None
    plan: Plan
    subject: Subject
    """What the plan was made of."""

    reach: Reach
    wire: Wire
    """How the place gets it."""

    layout: Layout | None = None
    """The disk, where *wire* is ``raw``; else the path's bytes are what is sent."""

    sent: ImageInfo | None = None
    """Of the file that is sent instead, where the service has laid out another."""

    size: int | None = None
    """Bytes that are sent, where that is known."""

    spooled: bool = False
    """All of the source has been read, and lies on the service's own disk."""
