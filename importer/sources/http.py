"""Images on web servers: read from their first byte to their last, or looked at by ranges.

A server that sends ranges is read over several connections (`ranged`), any other over one
(`resume`); both go on after a fault. A first contact that fails is the caller's to repeat, unless
the server itself asks to be left alone for a while.

Raises AddressRefused, SourceError (the server says no), SourceChanged, SourceUnavailable (it does
not answer, or says later), SourceTruncated (it hung up early, and cannot prove its file the same).
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from importer.config import Url
from importer.errors import SourceUnavailable
from importer.model import Readable
from importer.sources import Opened
from importer.sources.blocks import HttpReadable
from importer.sources.body import Body
from importer.sources.guard import Guard
from importer.sources.hosts import Hosts
from importer.sources.origin import Origin, Plain
from importer.sources.patience import Patience
from importer.sources.ranged import Ranged
from importer.sources.rate import Bucket
from importer.sources.remote import HEAD, Remote
from importer.sources.resume import streamed
from importer.sources.session import Session
from importer.sources.trust import trusted
from importer.stream.pipe import Chunks

__all__ = ["HEAD", "HttpSource", "Probe", "Web"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What the first MiB of a remote file told."""

    head: bytes
    size: int | None
    """Bytes in the file, or None where the server does not say."""

    readable: Readable | None
    """The file, where the server can send any part of it."""

    name: str | None = None
    """What the server calls the file."""


class Web:
    """All web servers, behind one guard and within one rate."""

    def __init__(self, settings: Url, jitter: Callable[[], float] = random.random) -> None:
        self._settings = settings
        self._jitter = jitter
        self._trust = trusted(settings.ca_bundle)
        self._bucket = Bucket(settings.rate)
        self._hosts = Hosts(settings.per_host)
        self.guard = Guard(settings)
        self._session = self.session()

    def session(self) -> Session:
        """Return connections of their own, for one import."""
        return Session(self._settings, self.guard, self._trust)

    def patience(self) -> Patience:
        """Return new patience, for one import."""
        return Patience(self._settings, self._jitter)

    def source(self, origin: str | Origin, rate: int = 0) -> "HttpSource":
        """Return the file at *origin* as a source of at most *rate* bytes per second (0: any)."""
        buckets = (self._bucket, Bucket(rate))
        return HttpSource(self, _origin(origin), self._settings, self._hosts, buckets)

    async def probe(self, origin: str | Origin) -> Probe:
        """Look at the first MiB of the file at *origin*; the connection ends there."""
        remote = Remote(self._session, _origin(origin), (self._bucket,))
        with await remote.look() as body:
            head = await _at_most(body, HEAD)
        size = None if remote.coded else remote.size
        if not remote.ranged or size is None:
            return Probe(head, size, None, remote.name)
        readable = HttpReadable(remote, head, self._settings.connections, self.patience())
        return Probe(head, size, readable, remote.name)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


class HttpSource:
    """A file that is read once, from its first byte to its last."""

    rereadable = True

    def __init__(
        self, web: Web, origin: Origin, settings: Url, hosts: Hosts, buckets: Sequence[Bucket]
    ) -> None:
        self._settings = settings
        self._hosts = hosts
        self._host = origin.url.host or ""
        self._entered = False
        self._body: Body | None = None
        self._session = web.session()
        self._patience = web.patience()
        self._remote = Remote(self._session, origin, buckets)

    async def open(self) -> Opened:
        """Wait for its turn at the host and ask for the file's head.

        Raises AddressRefused, SourceError, SourceUnavailable.
        """
        await self._hosts.enter(self._host)
        self._entered = True
        since = asyncio.get_running_loop().time()
        self._body = body = await self._looked()
        latency = asyncio.get_running_loop().time() - since
        size = None if self._remote.coded else self._remote.size
        chunks = self._chunks(body, latency)
        readable = self._readable if self._remote.ranged else None
        return Opened(chunks, size, self._remote.coded, readable=readable, name=self._remote.name)

    async def close(self) -> None:
        """Close every connection and let the next one to the host."""
        if self._entered:
            self._entered = False
            self._hosts.leave(self._host)
        if self._body:
            self._body.close()
        await self._session.close()

    def _readable(self, head: bytes) -> Readable:
        return HttpReadable(self._remote, head, self._settings.connections, self._patience)

    async def _looked(self) -> Body:
        tries = 0
        while True:
            since = asyncio.get_running_loop().time()
            try:
                return await self._remote.look()
            except SourceUnavailable as fault:
                if fault.retry_after is None:
                    raise
                tries += 1
                await self._patience.again(fault, tries, since)

    def _chunks(self, body: Body, latency: float) -> Chunks:
        size = self._remote.size
        if self._remote.ranged and size is not None:
            return Ranged(self._remote, size, self._settings, self._patience).chunks(body, latency)
        return streamed(self._remote, body, self._patience)


async def _at_most(body: Body, size: int) -> bytes:
    head = b""
    while len(head) < size and (chunk := await body.read()):
        head += chunk
    return head[:size]


def _origin(origin: str | Origin) -> Origin:
    return Plain(origin) if isinstance(origin, str) else origin
