"""The beginning of what a compressed file holds, from the file's own beginning.

Raises CorruptImage, UnsupportedImage.
"""

from dataclasses import dataclass

from importer.model import Compression
from importer.stream.expand import expand
from importer.stream.pipe import Chunks, Pipe


class _Cut(Exception):
    """No failure: the file goes on where its head ends."""


@dataclass(frozen=True, slots=True)
class Inner:
    """The first bytes inside."""

    head: bytes
    whole: bool
    """There are no more."""


async def unwrap(compression: Compression, head: bytes, *, whole: bool, most: int) -> Inner:
    """Return the first *most* bytes, at most, of what *head* expands to.

    *whole*: *head* is all of the file; otherwise its end in the middle of things is no damage.
    """
    out = bytearray()
    async with Pipe(_known(head, whole=whole)) as path:
        path.through(expand(compression))
        try:
            async for chunk in path.chunks:
                out += chunk
                if len(out) > most:
                    return Inner(bytes(out[:most]), whole=False)
        except _Cut:
            return Inner(bytes(out), whole=False)
    return Inner(bytes(out), whole=True)


async def _known(head: bytes, *, whole: bool) -> Chunks:
    yield head
    if not whole:
        raise _Cut
