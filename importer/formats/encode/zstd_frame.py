"""Guest data as one zstd frame that no compressor made: data as it is, zeros as four bytes.

Format: RFC 8878 section 3.1.1. A frame is a header and blocks; a block is a 3-byte header and its
content: raw (the bytes themselves), or RLE (one byte, to be repeated). So the wire size is that of
the data and 0.003 %, and any zstd decoder reads it. Three choices keep decoders content:

- Not single-segment: that would ask the decoder for a window as large as the disk.
- A window of 128 KiB, which also is the largest block (section 3.1.1.2.4).
- The first block is raw: zstd up to 1.4.3 stops at a frame that begins with an RLE block.
"""

import struct
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from importer.errors import SizeMismatch
from importer.stream.extent import Data, Extent, Extents, Runs, Zero, merged
from importer.stream.pipe import Chunks
from importer.units import KiB

BLOCK = 128 * KiB
"""Most guest bytes in one block."""

_MAGIC = 0xFD2FB528
_CONTENT_SIZE_OF_8_BYTES = 3 << 6  # section 3.1.1.1.1; no other bit: no checksum, no dictionary
_WINDOW = 7 << 3  # section 3.1.1.1.2: 2 ** (10 + 7) bytes
_HEADER = struct.Struct("<IBBQ")

_RAW, _RLE = 0, 1
_BLOCK_HEADER = 3

_HOLE_BLOCKS = 16 * KiB
"""RLE blocks that are sent together: 64 KiB that tell of 2 GiB."""


def frame_size(runs: Runs) -> int:
    """Return the bytes of the frame for extents that are data and zeros as *runs* says.

    Extents that find zeros inside a run of data make a smaller frame.
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


async def zstd_frame(extents: Extents, content_size: int) -> Chunks:
    """Yield one frame that decodes to the *content_size* bytes of *extents*.

    Raises SizeMismatch when they are more or fewer; the frame has no end then.
    """
    yield _HEADER.pack(_MAGIC, _CONTENT_SIZE_OF_8_BYTES, _WINDOW, content_size)
    position = 0
    async with aclosing(_settled(extents)) as settled:
        async for extent in settled:
            end = position + extent.length
            if end > content_size:
                raise SizeMismatch(content_size, end)
            if position == 0 and isinstance(extent, Zero):
                position = min(extent.length, BLOCK)
                yield _raw_blocks(bytes(position), position == content_size)
            if isinstance(extent, Data):
                yield _raw_blocks(extent.data, end == content_size)
            else:
                for piece in _rle_blocks(end - position, end == content_size):
                    yield piece
            position = end
    if position != content_size:
        raise SizeMismatch(content_size, position)
    if not content_size:
        yield _raw_blocks(b"", last=True)


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
        if not tail and extent.length % BLOCK == 0:
            yield extent
            continue
        tail += extent.data
        whole = len(tail) - len(tail) % BLOCK
        if whole:
            yield Data(bytes(tail[:whole]))
            del tail[:whole]
    if tail:
        yield Data(bytes(tail))
    if hole:
        yield Zero(hole)


def _raw_blocks(data: bytes, last: bool) -> bytes:
    view = memoryview(data)
    parts: list[bytes | memoryview] = []
    for start in range(0, len(data) or 1, BLOCK):
        block = view[start : start + BLOCK]
        parts += _block_header(_RAW, len(block), last and start + BLOCK >= len(data)), block
    return b"".join(parts)


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
