"""A web server and the way to it, in time that is only counted: how fast a reading would be.

It stands where `sources.remote.Remote` stands. A connection has its own rate and shares the
link's; each answer takes its latency; sockets hold a few MiB that nobody has read.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Any, Self, cast

from importer.config import Url
from importer.sources.body import Body
from importer.sources.patience import Patience
from importer.sources.ranged import Ranged
from importer.sources.remote import HEAD, Remote
from importer.units import KiB, MiB
from tests.sources.clock import seconds

_STEP = 256 * KiB
_SOCKET = 3 * MiB
_BYTES = bytes(_STEP)


class _Pace:
    """One thing that passes so many bytes per second."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at = 0.0

    async def passed(self, size: int) -> None:
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + size / self._rate
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


@dataclass
class Link:
    """The server, as far as time goes."""

    connection: float = math.inf
    """Bytes per second of one connection."""

    all: float = math.inf
    """Bytes per second of all together."""

    latency: float = 0.0
    """Seconds before each answer."""

    def __post_init__(self) -> None:
        self.shared = _Pace(self.all)

    async def body(self, start: int, end: int) -> Any:
        await asyncio.sleep(self.latency)
        return _Answer(self, start, end)


class _Answer:
    def __init__(self, link: Link, start: int, end: int) -> None:
        self.at, self.end, self.since = start, end, 0.0
        self._socket: asyncio.Queue[int] = asyncio.Queue(_SOCKET // _STEP)
        self._sending = asyncio.create_task(self._send(link, end - start))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._sending.cancel()

    async def read(self) -> bytes:
        if self.at == self.end:
            return b""
        size = await self._socket.get()
        self.at += size
        return _BYTES[:size]

    async def _send(self, link: Link, left: int) -> None:
        own = _Pace(link.connection)
        while left:
            size = min(_STEP, left)
            await own.passed(size)
            await link.shared.passed(size)
            await self._socket.put(size)
            left -= size


def rate(link: Link, size: int, connections: int) -> float:
    """Return the bytes per second at which *size* bytes come over *link*."""

    async def reading() -> None:
        settings = Url(connections=connections)
        patience = Patience(settings, lambda: 0.5)
        ranged = Ranged(cast(Remote, link), size, settings, patience)
        head = cast(Body, await link.body(0, min(HEAD, size)))
        assert sum([len(chunk) async for chunk in ranged.chunks(head, link.latency)]) == size

    return size / seconds(reading())
