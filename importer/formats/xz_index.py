"""What an .xz file expands to, read from the index at its end: nothing is expanded.

A file is one or more streams, each with an index of its blocks and a footer that says how long the
index is; they are read from the last to the first.
Format: the .xz file format 1.2.1, sections 2.1.2 (footer), 2.2 (padding) and 4 (index).
Raises CorruptImage where the index and the file do not fit.
"""

import zlib

from importer.errors import CorruptImage
from importer.model import Readable
from importer.stream.threads import in_thread
from importer.stream.xz_blocks import HEADER, MAGIC, footer, number
from importer.units import KiB, MiB, round_up

STREAMS = 64
"""Streams of one file that are looked at; each costs two requests. Of more, nothing is said."""

INDEX = 4 * MiB
"""Bytes of an index that is read; one of 10 TiB in blocks of 24 MiB has about 3 MiB."""

_TAIL = 64 * KiB
"""Bytes that are read at once: padding, footer, and most indexes."""


async def content_size(file: Readable) -> int | None:
    """Return the bytes that *file* expands to. None: it would take too much to find out."""
    end, size = file.size, 0
    for _ in range(STREAMS):
        found = await _stream(file, end)
        if found is None:
            return None
        end, expands = found
        size += expands
        if end == 0:
            return size
    return None


async def _stream(file: Readable, end: int) -> tuple[int, int] | None:
    """Return where the stream that ends at *end* begins, and what it expands to."""
    start = max(0, end - _TAIL)
    tail = await file.read_at(start, end - start)
    kept = tail.rstrip(b"\0")
    if len(kept) < HEADER and start:
        return None  # padding and no end of it
    at = start + len(kept) - HEADER
    flags, length = _footer(kept[-HEADER:])
    if length > INDEX:
        return None
    if length > at - HEADER:
        raise _damaged(f"an index of {length} bytes does not fit before byte {at}")
    begin = at - length
    index = tail[begin - start : at - start] if begin >= start else None
    index = index or await file.read_at(begin, length)
    blocks, expands = await in_thread(_index, index)
    first = begin - blocks - HEADER
    header = await file.read_at(first, HEADER) if first >= 0 else b""
    if header != MAGIC + flags + zlib.crc32(flags).to_bytes(4, "little"):
        raise _damaged(f"no stream begins at byte {first}, where the index has it")
    return first, expands


def _footer(data: bytes) -> tuple[bytes, int]:
    """Return the stream's flags, and the bytes of its index."""
    if len(data) < HEADER:
        raise _damaged("it does not end in a footer")
    length = (int.from_bytes(data[4:8], "little") + 1) * 4
    if data != footer(length, MAGIC + data[8:10]):
        raise _damaged("it does not end in a footer")
    return data[8:10], length


def _index(data: bytes) -> tuple[int, int]:
    """Return the bytes of all blocks in the file, and of what they expand to."""
    if data[0] or zlib.crc32(data[:-4]).to_bytes(4, "little") != data[-4:]:
        raise _damaged("its index is")
    try:
        count, at = number(data, 1)
        blocks = size = 0
        for _ in range(count):
            unpadded, at = number(data, at)
            expands, at = number(data, at)
            blocks += round_up(unpadded, 4)
            size += expands
    except (IndexError, ValueError) as exc:
        raise CorruptImage(f"xz data is damaged: its index ends too early ({exc})") from exc
    if data[at:-4] != bytes(-at % 4):
        raise _damaged("its index has another number of blocks")
    return blocks, size


def _damaged(why: str) -> CorruptImage:
    return CorruptImage(f"xz data is damaged or cut off: {why}")
