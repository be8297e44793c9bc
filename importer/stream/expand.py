"""gzip, xz, zstd and bzip2 to plain bytes, in steps of bounded size and in a thread.

Formats: RFC 1952, the .xz file format 1.2, RFC 8878, bzip2. A file may be several members one
after the other (RFC 1952 section 2.2, as ``cat a.gz b.gz`` and pigz make them) and end in zero
padding (xz file format section 2.2; tapes for gzip).
Raises: CorruptImage when a member is damaged, when the file ends inside one, or when something
else follows; UnsupportedImage when it wants more memory than MEMORY.
"""

import bz2
import lzma
import sys
from collections.abc import Callable, Mapping
from typing import Protocol

from isal import igzip_lib

from importer.errors import CorruptImage, UnsupportedImage
from importer.model import Compression
from importer.stream.pipe import Chunks, Stage
from importer.stream.threads import in_thread
from importer.units import KiB, MiB

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STEP = MiB
"""Most bytes that one step makes. A 64 KiB chunk of zstd's zeros expands to 2 GiB, so without a
bound a small file could fill the memory."""

PIECE = 64 * KiB
"""Most bytes that a member is given at once. What follows a member's end is copied, so a file of
many tiny members would cost the square of its chunks."""

MEMORY = 160 * MiB
"""Most that a decompressor may hold; ``xz -9`` needs 65 MiB, ``zstd --ultra -22`` 128 MiB."""

_WINDOW_LOG = 27  # zstd's own default bound: 128 MiB


class Member(Protocol):
    """One member being expanded; bz2, lzma, igzip and zstd agree on this face."""

    @property
    def eof(self) -> bool:
        """It has ended."""

    @property
    def needs_input(self) -> bool:
        """It has nothing more to give before it gets more."""

    @property
    def unused_data(self) -> bytes:
        """What it was given beyond its end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return what *data* adds, at most *max_length* bytes of it."""


_OPEN: Mapping[Compression, Callable[[], Member]] = {
    "gzip": lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY),
    "zstd": lambda: zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    ),
}

_IGZIP_ERROR: type[Exception] = igzip_lib.error  # type: ignore[assignment]  # a class, typed as one
_DAMAGED = (_IGZIP_ERROR, lzma.LZMAError, zstd.ZstdError, OSError, EOFError, ValueError)


def expand(compression: Compression) -> Stage:
    """Return the stage that undoes *compression*."""

    async def expanded(chunks: Chunks) -> Chunks:
        file = _File(compression)
        async for chunk in chunks:
            rest = memoryview(chunk)
            while rest or file.has_more:
                out, rest = await in_thread(file.step, rest)
                if out:
                    yield out
        if file.is_inside:
            raise CorruptImage(f"{compression} data ends too early; the file was cut off")

    return expanded


class _File:
    """A compressed file being expanded, member after member."""

    def __init__(self, compression: Compression) -> None:
        self._compression = compression
        self._member: Member | None = None

    @property
    def is_inside(self) -> bool:
        """A member has begun and not ended."""
        return self._member is not None

    @property
    def has_more(self) -> bool:
        """The member has bytes to give before it wants any."""
        return self._member is not None and not self._member.needs_input

    def step(self, data: memoryview) -> tuple[bytes, memoryview]:
        """Return STEP bytes more, or fewer, and what of *data* is left for the next step."""
        out: list[bytes] = []
        room = STEP
        while room > 0 and (data or self.has_more):
            if self._member is None:
                if not (data := _without_padding(data)):
                    break
                self._member = open_member(self._compression)
            made, data = self._more(self._member, data, room)
            out.append(made)
            room -= len(made)
        return b"".join(out), data

    def _more(self, member: Member, data: memoryview, most: int) -> tuple[bytes, memoryview]:
        piece = b"" if self.has_more else bytes(data[:PIECE])
        made = advance(self._compression, member, piece, most)
        if not member.eof:
            return made, data[len(piece) :]
        self._member = None
        unused = member.unused_data
        if piece or not unused:
            return made, data[len(piece) - len(unused) :]
        return made, memoryview(unused + data)  # from a piece that is gone


def open_member(compression: Compression) -> Member:
    """Return a member of which nothing is read."""
    return _OPEN[compression]()


def _without_padding(data: memoryview) -> memoryview:
    start = 0
    while start < len(data) and data[start] == 0:
        start += 1
    return data[start:]


def advance(compression: Compression, member: Member, data: bytes, most: int) -> bytes:
    """Return at most *most* bytes more of *member*. Raises CorruptImage, UnsupportedImage."""
    try:
        return member.decompress(data, most)
    except _DAMAGED as exc:
        if "emory" in str(exc):
            raise UnsupportedImage(
                f"{compression} data needs more than {MEMORY // MiB} MiB to expand; "
                "compress it again with a smaller dictionary (xz -9 or zstd -19)"
            ) from exc
        raise CorruptImage(f"{compression} data is damaged: {exc}") from exc
