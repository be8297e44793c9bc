"""xz to plain bytes, block beside block: several threads expand one file, its bytes in order.

An .xz file is streams of blocks, and each block can be expanded by itself; ``xz -T`` and, from
version 5.6 on, plain ``xz`` make many. They are cut out of the bytes as these pass (`xz_blocks`),
so the file need not be seekable, and whoever hashes it sees it in order. Each block is put between
a header and an index of its own and given to liblzma, which checks it as ever.

A block whose header does not tell its size (a file made by one thread is a single one), or tells
more than BLOCK, is expanded as it comes. Raises CorruptImage, UnsupportedImage, as `expand` does.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress

from importer.stream import xz_blocks
from importer.stream.expand import Member, advance, open_member
from importer.stream.pipe import Chunks, Stage
from importer.stream.threads import in_thread
from importer.stream.xz_blocks import Input, Stream
from importer.units import CHUNK, MiB

BLOCK = 64 * MiB
"""Most bytes of a block that is kept whole; ``xz -7`` makes 48 MiB, ``-6`` (the default) 24."""

ROOM = 96 * MiB
"""Bytes of blocks that all imports together keep while they expand."""


class Room:
    """What blocks may take of the memory, in all imports of a process."""

    def __init__(self, most: int = ROOM) -> None:
        self._most = most
        self.used = 0
        """Bytes that are kept just now."""

    @property
    def is_full(self) -> bool:
        """No other block should begin. One in each import may all the same, or nothing moves."""
        return self.used >= self._most

    def take(self, size: int) -> None:
        """Note that *size* bytes are kept."""
        self.used += size

    def give(self, size: int) -> None:
        """Note that they are not any more."""
        self.used -= size


class _Block:
    """A block being expanded, in one piece or in several, one after the other."""

    def __init__(self, header: bytes) -> None:
        self.turn = asyncio.Lock()
        self._begin = header
        self._member: Member | None = None

    def expand(self, data: bytes) -> Iterator[bytes]:
        """Yield what *data*, the next bytes of the block, expands to."""
        if self._member is None:
            self._member = open_member("xz")
            data = self._begin + data
        while data or not (self._member.eof or self._member.needs_input):
            yield advance("xz", self._member, data, CHUNK)
            data = b""


_Batch = list[tuple[_Block, bytes]]
"""Blocks, or pieces of blocks, that are expanded by one thread; no block is in it twice."""


async def _expanded(batch: _Batch) -> list[bytes]:
    async with AsyncExitStack() as turns:
        for block, _ in batch:
            await turns.enter_async_context(block.turn)
        return await in_thread(_all_of, batch)


def _all_of(batch: _Batch) -> list[bytes]:
    return [chunk for block, data in batch for chunk in block.expand(data) if chunk]


def unxz(room: Room, threads: int = 0) -> Stage:
    """Return the stage that expands with as many *threads* (0: one for each processor)."""
    threads = threads or len(os.sched_getaffinity(0))

    async def expanded(chunks: Chunks) -> Chunks:
        work = _Work(room, threads + 1)
        try:
            async for batch, size in _batches(Input(chunks)):
                while work.is_full:
                    for chunk in await work.next():
                        yield chunk
                work.begin(batch, size)
            while work.is_waiting:
                for chunk in await work.next():
                    yield chunk
        finally:
            await work.stop()

    return expanded


class _Work:
    """Pieces under way, the oldest first."""

    def __init__(self, room: Room, most: int) -> None:
        self._room = room
        self._most = most
        self._waiting: deque[tuple[asyncio.Task[list[bytes]], int]] = deque()

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    @property
    def is_full(self) -> bool:
        return bool(self._waiting) and (self._room.is_full or len(self._waiting) >= self._most)

    def begin(self, batch: _Batch, size: int) -> None:
        self._room.take(size)
        self._waiting.append((asyncio.create_task(_expanded(batch), name="unxz"), size))

    async def next(self) -> list[bytes]:
        task, kept = self._waiting[0]
        out = await task
        self._waiting.popleft()
        self._room.give(kept)
        return out

    async def stop(self) -> None:
        for task, _ in self._waiting:
            task.cancel()
        for task, kept in self._waiting:
            with suppress(asyncio.CancelledError, Exception):
                await task
            self._room.give(kept)


_Piece = tuple[_Block, bytes, int]
"""A block, its next bytes, and how many those expand to at most."""


async def _batches(data: Input) -> AsyncIterator[tuple[_Batch, int]]:
    """Yield what is worth a thread, and the bytes that it takes and makes."""
    batch: _Batch = []
    size = 0
    async for block, piece, expands in _pieces(data):
        batch.append((block, piece))
        size += len(piece) + expands
        if size >= CHUNK:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size


async def _pieces(data: Input) -> AsyncIterator[_Piece]:
    """Yield the blocks of all streams: small ones whole, large ones as they come."""
    while await data.skip_zeros():
        stream = await xz_blocks.stream(data)
        while (first := await data.take(1)) != b"\0":
            async for piece in _block(data, stream, first):
                yield piece
        await stream.end(data)


async def _block(data: Input, stream: Stream, first: bytes) -> AsyncIterator[_Piece]:
    block = _Block(stream.header)
    head = first + await data.take(first[0] * 4 + 3)
    kept, size = [head], 0
    most = BLOCK if (xz_blocks.told(head) or BLOCK) < BLOCK else CHUNK
    packed = unpacked = 0
    async for chunk, expands in xz_blocks.lzma2(data):
        kept.append(chunk)
        packed += len(chunk)
        unpacked += expands
        size += expands
        if size >= most:
            yield block, b"".join(kept), size
            kept, size, most = [], 0, CHUNK
    padding = await data.take(-packed % 4)
    check = await data.take(stream.check)
    unpadded = len(head) + packed + stream.check
    stream.add(unpadded, unpacked)
    kept += (padding, check, xz_blocks.tail(stream.header, unpadded, unpacked))
    yield block, b"".join(kept), size
