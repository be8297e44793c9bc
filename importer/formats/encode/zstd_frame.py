"""Guest data as one zstd frame that no compressor made: data as it is, zeros as four bytes.

Format: RFC 8878 section 3.1.1. A frame is a header and blocks; a block is a 3-byte header and its
content: raw (the bytes themselves), or RLE (one byte, to be repeated). So the wire size is that of
the data and 0.003 %, and any zstd decoder reads it. Three choices keep decoders content:

- Not single-segment: that would ask the decoder for a window as large as the disk.
- A window of 128 KiB, which also is the largest block (section 3.1.1.2.4).
- The first block is raw: zstd up to 1.4.3 stops at a frame that begins with an RLE block.
"""

import struct
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import TypeAlias

from importer.errors import SizeMismatch
from importer.stream.extent import Data, Extent, Extents, Runs, Zero, merged
from importer.stream.pipe import Chunks
from importer.units import KiB

BLOCK = 128 * KiB
"""Most guest bytes in one block."""

Passed: TypeAlias = Callable[[int], None]

_MAGIC = 0xFD2FB528
_CONTENT_SIZE_OF_8_BYTES = 3 << 6  # section 3.1.1.1.1; no other bit: no checksum, no dictionary
_WINDOW = 7 << 3  # section 3.1.1.1.2: 2 ** (10 + 7) bytes
_HEADER = struct.Struct("<IBBQ")

_RAW, _RLE = 0, 1
_BLOCK_HEADER = 3

_RAW_PIECE = 4 * BLOCK
"""Data that is sent together. Pieces above 1 MiB would come from fresh pages each time (glibc's
mmap threshold): 1.3 s for 1 GiB, and 0.2 s so."""

_HOLE_BLOCKS = 16 * KiB
"""RLE blocks that are sent together: 64 KiB that tell of 2 GiB."""


def frame_size(runs: Runs) -> int:
    """Return the bytes of the frame for extents that are data and zeros exactly where *runs* says.

    Zeros that are found only while a run of data is read make the frame smaller.
    """
    size = _HEADER.size
    joined = merged(runs)
    for run in joined:
        size += _size_of_zeros(run.length) if run.is_zero else _size_of_data(run.length)
    if not joined:
        return size + _BLOCK_HEADER
    if joined[0].is_zero:
        first = min(joined[0].length, BLOCK)
        size += _size_of_data(first) - _size_of_zeros(first)
    return size


async def zstd_frame(
    extents: Extents, content_size: int, start: int = 0, passed: Passed | None = None
) -> Chunks:
    """Yield one frame that decodes to the *content_size* bytes of *extents*.

    *passed* hears where the disk may be cut: it is given a guest offset once all of the frame that
    tells of what stands before has been taken. With such an offset as *start*, and the extents from
    there on, the rest of the same frame comes.

    Raises SizeMismatch when they are more or fewer; the frame has no end then.
    """
    if not start:
        yield _HEADER.pack(_MAGIC, _CONTENT_SIZE_OF_8_BYTES, _WINDOW, content_size)
    position = start
    async with aclosing(_settled(extents)) as settled:
        async for extent in settled:
            end = position + extent.length
            if end > content_size:
                raise SizeMismatch(content_size, end)
            for piece in _blocks(extent, first=position == 0, last=end == content_size):
                yield piece
            position = end
            if passed:
                passed(end)
    if position != content_size:
        raise SizeMismatch(content_size, position)
    if not content_size:
        yield _block_header(_RAW, 0, last=True)


async def _settled(extents: Extents) -> AsyncGenerator[Extent, None]:
    """Yield *extents* so that blocks can be cut from each alone, however they were cut before.

    Neighbouring zeros are one, and data is whole blocks, but for what stands before zeros.
    """
    tail, hole = bytearray(), 0
    async for extent in extents:
        if isinstance(extent, Zero):
            if tail:
                yield Data(bytes(tail))
                tail.clear()
            hole += extent.length
            continue
        if hole:
            yield Zero(hole)
            hole = 0
        for data in _whole_blocks(tail, extent.data):
            yield Data(data)
    if tail:
        yield Data(bytes(tail))
    if hole:
        yield Zero(hole)


def _whole_blocks(tail: bytearray, data: bytes) -> Iterator[bytes]:
    """Yield *tail* and *data* as whole blocks; what is left over is the new tail."""
    missing = -len(tail) % BLOCK
    tail += data[:missing]
    if len(tail) == BLOCK:
        yield bytes(tail)
        tail.clear()
    end = len(data) - max(len(data) - missing, 0) % BLOCK
    if end > missing:
        yield data[missing:end]
    tail += data[max(missing, end) :]


def _blocks(extent: Extent, first: bool, last: bool) -> Iterator[bytes]:
    """Yield *extent* as blocks; its place in the frame is first, last, or neither."""
    if isinstance(extent, Data):
        yield from _raw_blocks(extent.data, last)
        return
    head = min(extent.length, BLOCK) if first else 0
    if head:
        yield from _raw_blocks(bytes(head), last and head == extent.length)
    yield from _rle_blocks(extent.length - head, last)


def _raw_blocks(data: bytes, last: bool) -> Iterator[bytes]:
    view = memoryview(data)
    for start in range(0, len(data), _RAW_PIECE):
        piece = view[start : start + _RAW_PIECE]
        parts: list[bytes | memoryview] = []
        for at in range(0, len(piece), BLOCK):
            block = piece[at : at + BLOCK]
            is_last = last and start + at + len(block) == len(data)
            parts += _block_header(_RAW, len(block), is_last), block
        yield b"".join(parts)


def _rle_blocks(length: int, last: bool) -> Iterator[bytes]:
    if not length:
        return
    # The last block is made alone: it may be shorter, and may be the frame's last.
    whole = (length - 1) // BLOCK
    full = _block_header(_RLE, BLOCK) + b"\0"
    many = full * min(whole, _HOLE_BLOCKS)
    for _ in range(whole // _HOLE_BLOCKS):
        yield many
    yield (
        full * (whole % _HOLE_BLOCKS) + _block_header(_RLE, length - whole * BLOCK, last) + b"\0"
    )


def _block_header(kind: int, size: int, last: bool = False) -> bytes:
    """Return the header of section 3.1.1.2: whether it is the last, its kind, its size."""
    return (last | kind << 1 | size << 3).to_bytes(_BLOCK_HEADER, "little")


def _size_of_data(length: int) -> int:
    return length + _BLOCK_HEADER * -(-length // BLOCK)


def _size_of_zeros(length: int) -> int:
    return (_BLOCK_HEADER + 1) * -(-length // BLOCK)
