"""The guest data of a raw disk in zstd frames; zeros that a block tells of are never expanded.

Format: RFC 8878 section 3.1. A frame of raw and RLE blocks is read here: it is what our encoder
makes, and says where zeros are in four bytes for 128 KiB. From a frame's first compressed block on,
the library reads, and its output is looked through for zeros. It also gets whole frames that have a
checksum, which it alone can verify, or a window too large to remember.

Several frames may follow each other, and skippable ones stand between them. A size that is not a
multiple of 512 is filled up with zeros, as qemu does.

Raises CorruptImage when the data is damaged, cut off, or followed by something else;
UnsupportedImage when it needs a dictionary or a window above 128 MiB, or is cut into tiny blocks;
LimitExceeded when it stands for more than it may.
At most about 45 MiB are held, and the window of a frame that only the library reads.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from importer.errors import CorruptImage, LimitExceeded, UnsupportedImage
from importer.formats.read.gathered import Gathered
from importer.formats.read.raw import whole
from importer.formats.read.zstd_header import (
    MAGIC,
    Header,
    content_size,
    fields_size,
    is_skippable,
    parse,
)
from importer.formats.read.zstd_library import Frame, stored
from importer.stream.extent import Extent, Extents
from importer.stream.pipe import Chunks
from importer.stream.threads import in_thread
from importer.units import KiB, MiB

__all__ = ["content_size", "extents"]

_RAW, _RLE, _COMPRESSED, _RESERVED = range(4)
_BLOCK_HEADER = 3

_REMEMBERED = 8 * MiB
"""Largest window of which the content is kept, in case a compressed block points into it: what
``zstd -19`` asks for."""

_SMALL = 4 * KiB
_SMALL_MOST = 64 * KiB
"""Blocks and frames of fewer bytes than _SMALL that a file may have, and one for each 64 KiB of
content more. Each costs some microseconds, so that a file of nothing else would keep us busy."""

_REPEATS = 1024


async def extents(chunks: Chunks, content_size_most: int) -> Extents:
    """Yield the disk that *chunks* of zstd data stand for, at most *content_size_most* bytes."""
    async with aclosing(whole(_groups(chunks, content_size_most))) as found:
        async for extent in found:
            yield extent


async def _groups(chunks: Chunks, most: int) -> AsyncGenerator[list[Extent], None]:
    frames = _Frames(most)
    async for chunk in chunks:
        at = 0
        while at < len(chunk) or frames.has_more:
            group, at = await in_thread(frames.step, chunk, at)
            yield group
    yield frames.end()


class _Frames:
    """Frames being read. Each state is a method that takes what it is for from the chunk."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._gathered = Gathered()
        self._chunk, self._at = b"", 0
        self._carry = b""  # the beginning of a header that goes on in the next chunk
        self._state = self._magic
        self._descriptor = 0
        self._header = Header(None, 0, has_checksum=False)
        self._head = b""  # of this frame: its header as it stands
        self._start = self._position = 0  # of this frame, and now: guest bytes
        self._is_first = self._is_last = False  # of this block
        self._block = b""  # its header as it stands
        self._left = 0  # bytes of a raw block or skippable frame
        self._library = Frame(b"", 0)
        self._small = 0

    @property
    def has_more(self) -> bool:
        """The library has bytes to give before it wants any."""
        return self._library.has_more

    def step(self, chunk: bytes, at: int) -> tuple[list[Extent], int]:
        """Read on in *chunk* from *at*; return what was found and how far it went."""
        self._chunk, self._at = chunk, at
        while (self._at < len(chunk) or self.has_more) and not self._gathered.is_full:
            self._state()
        return self._gathered.taken(), self._at

    def end(self) -> list[Extent]:
        """Return what is left at the file's end."""
        if self._state != self._magic or self._carry or not self._head:
            raise CorruptImage("zstd data ends too early; the file was cut off")
        self._gathered.settle()
        return self._gathered.taken()

    def _take(self, size: int) -> bytes | None:
        """Return the next *size* bytes, or None: the rest of them is in the next chunk."""
        end = self._at + size - len(self._carry)
        taken = self._carry + self._chunk[self._at : end]
        self._at = min(end, len(self._chunk))
        self._carry = taken if len(taken) < size else b""
        return None if self._carry else taken

    def _magic(self) -> None:
        if (magic := self._take(4)) is None:
            return
        if magic == MAGIC:
            self._state = self._after_magic
        elif is_skippable(magic):
            self._state = self._skippable
        else:
            raise CorruptImage(
                f"zstd data is followed by something else: {magic!r}"
                if self._head
                else f"a zstd frame begins with {MAGIC!r}, this one with {magic!r}"
            )

    def _after_magic(self) -> None:
        if descriptor := self._take(1):
            self._descriptor = descriptor[0]
            self._state = self._fields

    def _fields(self) -> None:
        if (fields := self._take(fields_size(self._descriptor))) is None:
            return
        self._header = header = parse(self._descriptor, fields)
        self._head = MAGIC + bytes([self._descriptor]) + fields
        self._start = self._position
        if header.content_size is not None:
            self._refuse_large(self._position + header.content_size)
        is_ours = not header.has_checksum and header.window <= _REMEMBERED
        self._gathered.memory = header.window if is_ours else 0
        if is_ours:
            self._state = self._block_header
        else:
            self._hand_over(self._head)

    def _block_header(self) -> None:
        if (block := self._take(_BLOCK_HEADER)) is None:
            return
        word = int.from_bytes(block, "little")
        self._is_last, kind, size = bool(word & 1), word >> 1 & 3, word >> 3
        if kind == _RESERVED or size > self._header.block_most:
            raise CorruptImage(
                f"a zstd block is of type {kind} and {size} bytes, types 0 to 2 and at most "
                f"{self._header.block_most} bytes are possible"
            )
        self._is_first = self._position == self._start
        self._block, self._left = block, size
        if kind == _COMPRESSED:
            self._hand_over(self._so_far() + block, self._position - self._start)
            return
        self._advance(size)
        if not self._is_last:
            self._count(size)
        self._state = self._rle if kind == _RLE else self._raw
        if kind == _RAW and not size:
            self._block_end()

    def _raw(self) -> None:
        end = min(self._at + self._left, len(self._chunk))
        if self._is_first:  # Raw even of zeros, because old decoders need it so.
            self._gathered.sifted(self._chunk[self._at : end])
        else:
            self._gathered.data(memoryview(self._chunk)[self._at : end])
        self._left -= end - self._at
        self._at = end
        if not self._left:
            self._block_end()

    def _rle(self) -> None:
        if (value := self._take(1)) is None:
            return
        if value == b"\0":
            more = 0 if self._is_last else self._repeats(self._block + value)
            self._advance(more * self._left)
            self._gathered.zeros((1 + more) * self._left)
        elif self._left:
            self._gathered.data(memoryview(value * self._left))
        self._block_end()

    def _repeats(self, block: bytes) -> int:
        """Pass by *block* as often as it follows, and return how often.

        A hole of a tebibyte is eight million times the same block.
        """
        count = 0
        for number in (_REPEATS, 1):
            row = block * number
            while self._chunk.startswith(row, self._at):
                self._at += len(row)
                count += number
        return count

    def _block_end(self) -> None:
        if self._is_last:
            self._frame_end()
        else:
            self._state = self._block_header

    def _frame_end(self) -> None:
        size = self._position - self._start
        if self._header.content_size not in (None, size):
            raise CorruptImage(
                f"a zstd frame holds {size} bytes, its header says {self._header.content_size}"
            )
        self._count(size)
        self._state = self._magic

    def _skippable(self) -> None:
        if (size := self._take(4)) is None:
            return
        self._left = int.from_bytes(size, "little")
        self._count(self._left)
        self._state = self._skip if self._left else self._magic

    def _skip(self) -> None:
        length = min(self._left, len(self._chunk) - self._at)
        self._at += length
        self._left -= length
        if not self._left:
            self._state = self._magic

    def _so_far(self) -> bytes:
        """Return this frame up to here, or one that ends with the same content.

        Raw and RLE blocks change nothing that a compressed block builds on but the window's
        content: no table exists yet, and the repeated offsets are the first ones (RFC 8878
        sections 3.1.1.3.1.1, 3.1.1.3.2.1 and 3.1.1.5).
        """
        size = self._position - self._start
        return stored(self._gathered.last(min(size, self._header.window))) if size else self._head

    def _hand_over(self, begun: bytes, done: int = 0) -> None:
        """Let the library read on; *begun* stands for *done* bytes, or for the window's."""
        self._library = Frame(begun, min(done, self._header.window))
        self._state = self._by_library

    def _by_library(self) -> None:
        made, self._at = self._library.step(self._chunk, self._at)
        if made:
            self._advance(len(made))
            self._gathered.sifted(made)
        if self._library.eof:
            self._frame_end()

    def _advance(self, size: int) -> None:
        self._position += size
        self._refuse_large(self._position)
        announced = self._header.content_size
        if announced is not None and self._position - self._start > announced:
            raise CorruptImage(f"a zstd frame holds more than the {announced} bytes that it says")

    def _refuse_large(self, size: int) -> None:
        if size > self._most:
            raise LimitExceeded(
                f"the zstd data expands to {size} bytes or more, the limit is {self._most}"
            )

    def _count(self, size: int) -> None:
        if size >= _SMALL:
            return
        self._small += 1
        if self._small > _SMALL_MOST + self._position // (64 * KiB):
            raise UnsupportedImage(
                f"the zstd data is cut into too many small blocks: {self._small} of less than "
                f"{_SMALL} bytes stand for {self._position} bytes; compress it again"
            )
