"""A file on a web server as one that can be read anywhere (model.Readable).

Tables are read a few bytes at a time: those reads take whole blocks, which are kept for a while, so
a walk over a table is a round trip for many entries.
"""

import asyncio
from collections import OrderedDict

from importer.sources.patience import PASSING, Patience
from importer.sources.remote import Remote
from importer.units import KiB

BLOCK = 64 * KiB
"""Bytes that a small read fetches, at a multiple of it."""

_KEPT = 64
"""Blocks that are remembered: 4 MiB."""


class HttpReadable:
    """A file for as long as it does not change. Raises SourceChanged, SourceError,
    SourceUnavailable."""

    def __init__(self, remote: Remote, head: bytes, connections: int, patience: Patience) -> None:
        self._remote = remote
        self._head = head
        self._turns = asyncio.Semaphore(max(1, connections))
        self._size = remote.size or 0
        self._patience = patience
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._under_way: dict[int, asyncio.Lock] = {}

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    async def read_at(self, offset: int, length: int) -> bytes:
        """Return ``[offset, offset + length)``; the head is at hand already."""
        end = min(offset + length, self._size)
        if end <= offset:
            return b""
        if end <= len(self._head):
            return self._head[offset:end]
        if end - offset >= BLOCK:
            return await self._fetch(offset, end)
        first = offset // BLOCK * BLOCK
        parts = [await self._block(start) for start in range(first, end, BLOCK)]
        return b"".join(parts)[offset - first : end - first]

    async def _block(self, start: int) -> bytes:
        """Return the block at *start*; whoever wants it meanwhile waits for the same fetch."""
        lock = self._under_way.setdefault(start, asyncio.Lock())
        async with lock:
            if start not in self._blocks:
                self._blocks[start] = await self._fetch(start, min(start + BLOCK, self._size))
                self._forget()
            self._blocks.move_to_end(start)
            return self._blocks[start]

    def _forget(self) -> None:
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        idle = [start for start, lock in self._under_way.items() if start not in self._blocks]
        for start in idle:
            if not self._under_way[start].locked():
                del self._under_way[start]

    async def _fetch(self, start: int, end: int) -> bytes:
        async with self._turns:
            return await self._fetched(start, end)

    async def _fetched(self, start: int, end: int) -> bytes:
        loop, parts, at, tries = asyncio.get_running_loop(), [], start, 0
        while at < end:
            since, before, body = loop.time(), at, None
            try:
                body = await self._remote.body(at, end)
                with body:
                    while chunk := await body.read():
                        self._patience.progress()
                        parts.append(chunk)
                        at += len(chunk)
            except PASSING as fault:
                tries = tries + 1 if at == before else 1
                await self._patience.again(fault, tries, body.since if body else since)
        return b"".join(parts)
