"""gzip, xz, zstd and bzip2 to plain bytes, in steps of bounded size and in a thread.

Formats: RFC 1952, the .xz file format 1.2, RFC 8878, bzip2. A file may be several members one
after the other (RFC 1952 section 2.2, as ``cat a.gz b.gz`` and pigz make them) and end in zero
padding (xz file format section 2.2; tapes for gzip).
Raises: CorruptImage when a member is damaged, when the file ends inside one, or when something
else follows; UnsupportedImage when it wants more memory than MEMORY.
"""

import asyncio
import bz2
import lzma
import sys
from collections.abc import Callable, Mapping
from typing import Protocol

from isal import igzip_lib

from importer.errors import CorruptImage, UnsupportedImage
from importer.model import Compression
from importer.stream.pipe import Chunks, Stage
from importer.units import MiB

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STEP = MiB
"""Most bytes that one step makes. A 64 KiB chunk of zstd's zeros expands to 2 GiB, so without a
bound a small file could fill the memory."""

MEMORY = 160 * MiB
"""Most that a decompressor may hold; ``xz -9`` needs 65 MiB, ``zstd --ultra -22`` 128 MiB."""

_WINDOW_LOG = 27  # zstd's own default bound: 128 MiB


class _Member(Protocol):
    """One member being expanded; bz2, lzma, igzip and zstd agree on this face."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_OPEN: Mapping[Compression, Callable[[], _Member]] = {
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
        member: _Member | None = None
        async for chunk in chunks:
            data = chunk
            while data or (member and not member.needs_input and not member.eof):
                if member is None:
                    if not (data := data.lstrip(b"\0")):
                        break
                    member = _OPEN[compression]()
                out = await asyncio.to_thread(_step, compression, member, data)
                if out:
                    yield out
                data = member.unused_data if member.eof else b""
                member = None if member.eof else member
        if member is not None:
            raise CorruptImage(f"{compression} data ends too early; the file was cut off")

    return expanded


def expand_head(compression: Compression, head: bytes, size: int) -> bytes:
    """Return the first *size* bytes, at most, of what *head*, the start of a file, expands to."""
    member = _OPEN[compression]()
    out = bytearray(_step(compression, member, head, size))
    while len(out) < size and not member.needs_input and not member.eof:
        out += _step(compression, member, b"", size - len(out))
    return bytes(out)


def _step(compression: Compression, member: _Member, data: bytes, most: int = STEP) -> bytes:
    try:
        return member.decompress(data, most)
    except _DAMAGED as exc:
        if "emory" in str(exc):
            raise UnsupportedImage(
                f"{compression} data needs more than {MEMORY // MiB} MiB to expand; "
                "compress it again with a smaller dictionary (xz -9 or zstd -19)"
            ) from exc
        raise CorruptImage(f"{compression} data is damaged: {exc}") from exc
