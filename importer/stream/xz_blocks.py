"""The parts of an .xz file as they pass: headers, blocks, indexes, footers.

Where a block ends is found without expanding it: its LZMA2 chunks say their lengths, and
its header may tell them too (``xz -T``). What a file's index says must be what passed.

Format: the .xz file format 1.2.1 (section numbers below); LZMA2 chunks as in the comment at the top
of XZ Embedded's xz_dec_lzma2.c. Raises CorruptImage, UnsupportedImage.
"""

import hashlib
import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from importer.errors import CorruptImage, UnsupportedImage
from importer.stream.pipe import Chunks
from importer.units import KiB, round_up

HEADER = 12
"""Bytes of a stream's header, and of its footer."""

MAGIC = b"\xfd7zXZ\x00"
FOOTER_MAGIC = b"YZ"
CHECKS = (0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64)
"""Bytes of a block's check, by its type (section 2.1.1.2)."""

_PIECE = 64 * KiB


class Input:
    """Bytes of a stream of chunks, as many at a time as are asked for."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._chunk = memoryview(b"")

    async def take(self, size: int) -> bytes:
        """Return *size* bytes. Raises CorruptImage when there are fewer."""
        if size <= len(self._chunk):
            found, self._chunk = self._chunk[:size], self._chunk[size:]
            return bytes(found)
        parts, missing = [], size
        while missing:
            if not self._chunk and not await self._more():
                raise CorruptImage("xz data ends too early; the file was cut off")
            parts.append(self._chunk[:missing])
            self._chunk = self._chunk[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    async def skip_zeros(self) -> bool:
        """Pass by zeros; say whether anything comes after them."""
        while self._chunk or await self._more():
            rest = bytes(self._chunk).lstrip(b"\0")
            self._chunk = self._chunk[len(self._chunk) - len(rest) :]
            if rest:
                return True
        return False

    async def _more(self) -> bool:
        self._chunk = memoryview(await anext(self._chunks, b""))
        return bool(self._chunk)


@dataclass(slots=True)
class Stream:
    """One of the streams that a file is made of, and the index that its blocks make."""

    header: bytes
    count: int = 0
    """Blocks that passed."""

    size: int = 0
    """Bytes of their records in the index."""

    _records: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def check(self) -> int:
        """Bytes of a block's check."""
        return CHECKS[self.header[7]]

    def add(self, unpadded: int, uncompressed: int) -> None:
        """Note a block, by the sizes that the index has of it (section 4.3)."""
        record = vli(unpadded) + vli(uncompressed)
        self.count += 1
        self.size += len(record)
        self._records.update(record)

    async def end(self, data: Input) -> None:
        """Take the index (but for its first byte) and the footer, which must fit what passed."""
        counted = b"\0" + vli(self.count)
        if await data.take(len(counted) - 1) != counted[1:]:
            raise CorruptImage("xz data is damaged: its index has another number of blocks")
        crc = zlib.crc32(counted)
        found, left = hashlib.sha256(), self.size
        while left:
            piece = await data.take(min(left, _PIECE))
            found.update(piece)
            crc = zlib.crc32(piece, crc)
            left -= len(piece)
        if found.digest() != self._records.digest():
            raise CorruptImage("xz data is damaged: its index does not fit its blocks")
        length = len(counted) + self.size
        padding = bytes(-length % 4)
        rest = await data.take(len(padding) + 4)
        if rest != padding + zlib.crc32(padding, crc).to_bytes(4, "little"):
            raise CorruptImage("xz data is damaged: its index is")
        if await data.take(HEADER) != footer(round_up(length, 4) + 4, self.header):
            raise CorruptImage("xz data is damaged: a stream's footer does not fit it")


async def stream(data: Input) -> Stream:
    """Return the stream that begins here."""
    header = await data.take(HEADER)
    if header[:6] != MAGIC:
        raise CorruptImage("xz data is followed by something else")
    if zlib.crc32(header[6:8]).to_bytes(4, "little") != header[8:]:
        raise CorruptImage("xz data is damaged: a stream's header is")
    if header[6] or header[7] > 15:
        raise UnsupportedImage("xz data uses flags that are not known")
    return Stream(header)


async def lzma2(data: Input) -> AsyncIterator[tuple[bytes, int]]:
    """Yield the LZMA2 chunks of a block to its last, and how many bytes each expands to."""
    while control := (first := await data.take(1))[0]:
        if control >= 0x80:
            head = await data.take(5 if control >= 0xC0 else 4)
            low, packed = struct.unpack_from(">HH", head)
            size = ((control & 0x1F) << 16) + low + 1
        elif control <= 2:
            head = await data.take(2)
            packed = int.from_bytes(head, "big")
            size = packed + 1
        else:
            raise CorruptImage("xz data is damaged: a block is")
        yield first + head + await data.take(packed + 1), size
    yield first, 0


def told(head: bytes) -> int | None:
    """Return the bytes that a block expands to, by its header (section 3.1); few tell it."""
    at = 2
    try:
        if head[1] & 0x40:
            at = number(head, at)[1]
        return number(head, at)[0] if head[1] & 0x80 else None
    except (IndexError, ValueError):
        return None  # liblzma will say what is wrong with it


def tail(header: bytes, unpadded: int, uncompressed: int) -> bytes:
    """Return the index and the footer of a stream of one block."""
    index = b"\0\x01" + vli(unpadded) + vli(uncompressed)
    index += bytes(-len(index) % 4)
    index += zlib.crc32(index).to_bytes(4, "little")
    return index + footer(len(index), header)


def footer(index: int, header: bytes) -> bytes:
    """Return the footer after an *index* of so many bytes (section 2.1.2)."""
    text = struct.pack("<I", index // 4 - 1) + header[6:8]
    return struct.pack("<I", zlib.crc32(text)) + text + FOOTER_MAGIC


def number(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at *at*, and where it ends. Raises IndexError, ValueError."""
    found = 0
    for index in range(9):
        byte = data[at + index]
        found |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if index and not byte:
                break
            return found, at + index + 1
    raise ValueError("no number of the .xz format")


def vli(value: int) -> bytes:
    """Return *value* in as many bytes as it takes, 7 bits each (section 1.2)."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
