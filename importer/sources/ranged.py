"""A file over several connections at once, its bytes in order.

The file is cut into pieces; the one that is being delivered and those right behind it are fetched
at the same time, each over a connection of its own. A piece keeps at most ROOM bytes that nobody
took yet: then its connection waits. So memory is bounded, and the first bytes go out at once.
Nothing behind the head is asked for before somebody wants it: many files are refused for what their
heads say.

Pieces are as long as ROOM while that is enough, so that all of them can fill while the first is
delivered. Where more could come while an answer is waited for than all pieces may hold, they grow:
those behind the first are then under way long before their turn.
"""

import asyncio
from collections import deque

from importer.config import Url
from importer.sources.body import Body
from importer.sources.patience import PASSING, Patience
from importer.sources.remote import Remote
from importer.stream.pipe import Chunks
from importer.units import CHUNK, MiB

ROOM = 6 * MiB
"""Bytes that a piece keeps at most; aiohttp and the kernel keep some more."""

_LONGEST = 64 * MiB

_OBJECT = 128
"""Bytes that Python adds to a chunk, about: a server that sends single bytes must not cost more."""


class Piece:
    """Bytes ``[at, end)`` of the file on their way."""

    def __init__(self, start: int, end: int) -> None:
        self.at = start
        """Offset of the byte to come next."""

        self.end = end
        self.task: asyncio.Task[None] | None = None
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()

    def fetched_by(self, task: "asyncio.Task[None]") -> None:
        """Know who fetches it: its error is what `take` raises."""
        self.task = task
        task.add_done_callback(lambda _: self._arrived.set())

    async def put(self, chunk: bytes) -> None:
        """Add *chunk*; return when there is room for more."""
        self._chunks.append(chunk)
        self._size += len(chunk) + _OBJECT
        self.at += len(chunk)
        self._arrived.set()
        while self._size >= ROOM:
            self._room.clear()
            await self._room.wait()

    async def take(self) -> bytes:
        """Return what has come, about CHUNK at most; nothing at the end."""
        while not self._chunks:
            if self.task and self.task.done():
                self.task.result()
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        parts, size = [], 0
        while self._chunks and size < CHUNK:
            parts.append(self._chunks.popleft())
            size += len(parts[-1])
        self._size -= size + _OBJECT * len(parts)
        self._room.set()
        return b"".join(parts)


class Ranged:
    """One reading of a file whose server sends ranges."""

    def __init__(self, remote: Remote, size: int, settings: Url, patience: Patience) -> None:
        self._remote = remote
        self._size = size
        self._connections = max(1, settings.connections)
        self._patience = patience
        self._next = 0
        self._length = ROOM

    async def chunks(self, head: Body, latency: float) -> Chunks:
        """Yield the file; *head* is the answer that has its first bytes, *latency* the seconds that
        it took to come.

        Raises SourceChanged, SourceError, SourceUnavailable.
        """
        pieces = deque([self._begun(head.end or self._size, head, latency)])
        most = 1
        try:
            while pieces or self._next < self._size:
                while len(pieces) < most and self._next < self._size:
                    pieces.append(self._begun(self._next + self._share()))
                while chunk := await pieces[0].take():
                    yield chunk
                pieces.popleft()
                most = self._connections  # now that more than the head is wanted
        finally:
            head.close()
            await _stopped(pieces)

    def _share(self) -> int:
        """Return the next piece's length: no more than a fair share of what is left."""
        left = self._size - self._next
        return min(left, max(ROOM, min(self._length, left // self._connections)))

    def _begun(self, end: int, body: Body | None = None, latency: float = 0.0) -> Piece:
        piece = Piece(self._next, end)
        piece.fetched_by(asyncio.create_task(self._fetch(piece, body, latency), name="range"))
        self._next = end
        return piece

    async def _fetch(self, piece: Piece, body: Body | None, latency: float) -> None:
        """Fill *piece*, however many requests that takes."""
        loop, tries = asyncio.get_running_loop(), 0
        while piece.at < piece.end:
            since, before = loop.time(), piece.at
            try:
                with body or await self._remote.body(piece.at, piece.end) as body:
                    await self._read(piece, body, latency or loop.time() - since)
            except PASSING as fault:
                tries = tries + 1 if piece.at == before else 1
                await self._patience.again(fault, tries, body.since if body else since)
            body, latency = None, 0.0

    async def _read(self, piece: Piece, body: Body, latency: float) -> None:
        loop = asyncio.get_running_loop()
        reading, size, since = 0.0, 0, loop.time()
        while chunk := await body.read():
            self._patience.progress()
            reading += loop.time() - since
            size += len(chunk)
            await piece.put(chunk)
            since = loop.time()
        if reading > 0:
            self._fit(latency, size / reading)

    def _fit(self, latency: float, rate: float) -> None:
        """Let the next pieces be worth their requests: *latency* seconds at *rate* bytes/s.

        They grow by steps, as the first bytes of a connection may come faster than all others.
        """
        missed = latency * rate * self._connections
        wanted = missed if missed > ROOM * self._connections else ROOM
        self._length = int(min(wanted, _LONGEST, 2 * self._length))


async def _stopped(pieces: deque[Piece]) -> None:
    tasks = [piece.task for piece in pieces if piece.task]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
