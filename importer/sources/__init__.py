"""Where bytes come from. A source opens to its size, what proves it unchanged, and fresh chunks.

Opening again gives fresh chunks: a retry is a new pipe. A half-read generator is never sent again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from importer.model import Format, Readable, Wire
from importer.stream.pipe import Chunks


@dataclass(frozen=True, slots=True)
class Declared:
    """What a client says of its file when it sends the disk inside in another form."""

    wire: Wire
    """``raw+zstd`` or ``qcow2``."""

    format: Format
    """Of the file that the user named."""

    size: int
    """Bytes of that file."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A source that answers."""

    chunks: Chunks
    """The file's bytes from the first on. Raises SourceError, CallerError."""

    size: int | None
    """Bytes that will come, or None where the sender does not say."""

    encoded: bool = False
    """The sender wrapped the file once more for the road (``Content-Encoding``), so one more
    layer of compression than the file itself has is to be expected."""

    declared: Declared | None = None
    """The bytes are not the file's own, but the disk's in this form."""

    readable: Callable[[bytes], Readable] | None = None
    """Given the first bytes, which `chunks` brought already: the file as one that can be read
    anywhere. None where the sender cannot do that. It holds until the source is closed."""

    name: str | None = None
    """What the sender calls the file."""


class Source(Protocol):
    """One place that an image's bytes come from."""

    @property
    def rereadable(self) -> bool:
        """True when it can be opened again after it broke."""

    async def open(self) -> Opened:
        """Return the source with nothing read of it. Raises SourceError, AddressRefused."""

    async def close(self) -> None:
        """Let go of sockets and files. The source is not used again."""
