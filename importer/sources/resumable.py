"""An image that comes in any number of requests, one after the other: a hand-over without a store.

Whoever has bytes gives them; the import takes them. One piece at most lies between the two, so a
slow target slows the client down; it stays there when its client goes, and so `offset` counts it.
The last piece is counted once it is taken: whoever has given it can go. A try that ends before that
sets `offset` back to 0: the client sends again.
"""

import asyncio
from dataclasses import dataclass

from importer.errors import ClientAway, Conflict, SizeMismatch, UploadIncomplete
from importer.sources import Declared, Opened
from importer.stream.pipe import Chunks


@dataclass(frozen=True, slots=True)
class Absence:
    """Seconds that a client may be away."""

    away: float
    """While its import waits as it stands."""

    expires: float
    """At all."""


class Resumable:
    """The bytes of one upload. One giver and one taker at a time."""

    def __init__(
        self, size: int | None, absence: Absence, declared: Declared | None = None
    ) -> None:
        self.size = size
        """Bytes of the whole; None until `end_at` says it."""

        self.offset = 0
        """Bytes that this try has: taken, or laid down to be taken."""

        self._passed = 0
        self._absence = absence
        self._declared = declared
        self._offered: bytes | None = None
        self._taken: asyncio.Future[None] | None = None
        self._news = asyncio.Event()
        self._silent_since: float | None = None

    @property
    def rereadable(self) -> bool:
        """True while the client still sends: one that has sent everything is gone."""
        return not self.is_whole

    @property
    def is_whole(self) -> bool:
        """Say whether the last byte was taken."""
        return self._passed == self.size

    @property
    def offered(self) -> bool:
        """Say whether bytes are given that the import has not taken yet."""
        return self._offered is not None

    @property
    def waits(self) -> bool:
        """Say whether the import waits for the client."""
        return self._silent_since is not None

    @property
    def expires_in(self) -> float:
        """Seconds until its client has been away for too long, if not a byte comes."""
        if self._silent_since is None:
            return self._absence.expires
        silent = asyncio.get_running_loop().time() - self._silent_since
        return max(0.0, self._absence.expires - silent)

    def end_at(self, size: int) -> None:
        """Say how many bytes the whole has. Raises Conflict when that is known otherwise."""
        self.refuse_end(size)
        self.size = size
        self._news.set()

    def refuse_end(self, size: int) -> None:
        """Raise Conflict when the whole cannot have *size* bytes."""
        if self.size not in (None, size) or size < self.offset:
            known = f"{self.size} bytes" if self.size is not None else f"over {self.offset} bytes"
            raise Conflict(f"the upload has {known}, not {size}: its length cannot be changed")

    async def ready(self) -> None:
        """Wait for the first byte. Raises UploadIncomplete when the client stays away."""
        while not self.offered and not self.is_whole:
            await self._hear(self._absence.expires)

    async def open(self) -> Opened:
        """Return the bytes from the first on, as clients give them."""
        return Opened(self._chunks(), self.size, declared=self._declared)

    async def close(self) -> None:
        """End a try; what is being given is given back to its sender (Conflict)."""
        if not self.is_whole:
            self.offset = self._passed = 0
        if self._taken and not self._taken.done():
            self._taken.set_exception(_begun_anew(self.offset))
        self._offered = None

    async def give(self, data: bytes, at: int) -> None:
        """Lay *data*, which is at *at* of the whole, down; the last is also waited for to be taken.

        The next piece comes from the network meanwhile: to wait for each to be taken costs requests
        of 8 MiB a fifth of their rate. Where nobody knows the size, any may be the last.
        Raises SizeMismatch for more bytes than were announced, Conflict when the try has ended.
        """
        if at != self.offset:
            raise _begun_anew(self.offset)
        if self.size is not None and self.offset + len(data) > self.size:
            raise SizeMismatch(self.size, self.offset + len(data))
        if self._offered is not None:
            await self._answer()
        self._offered, self._silent_since = data, None
        self._news.set()
        end = self.offset + len(data)
        if self.size is None or end == self.size:
            await self._taken_now(data)
        else:
            self.offset = end

    async def _taken_now(self, data: bytes) -> None:
        """Wait until *data* is taken; without its giver it does not stay."""
        try:
            await self._answer()
        finally:
            if self._offered is data:
                self._offered = None

    async def _answer(self) -> None:
        """Wait until what lies there is taken. Raises Conflict when the try ends before."""
        self._taken = asyncio.get_running_loop().create_future()
        try:
            await self._taken
        finally:
            self._taken = None

    async def _chunks(self) -> Chunks:
        """Raises ClientAway, UploadIncomplete."""
        while not self.is_whole:
            if self._offered is None:
                await self._hear(min(self._absence.away, self._absence.expires))
                continue
            data, self._offered = self._offered, None
            self._passed += len(data)
            self.offset = max(self.offset, self._passed)
            if self._taken and not self._taken.done():
                self._taken.set_result(None)
            yield data

    async def _hear(self, seconds: float) -> None:
        """Wait for news until the client has been silent for *seconds*."""
        loop = asyncio.get_running_loop()
        if self._silent_since is None:
            self._silent_since = loop.time()
        self._news.clear()
        try:
            async with asyncio.timeout_at(self._silent_since + seconds):
                await self._news.wait()
        except TimeoutError as exc:
            raise self._given_up(seconds) from exc

    def _given_up(self, seconds: float) -> ClientAway | UploadIncomplete:
        told = (
            f"the client sent nothing for {seconds:g} s after {self.offset} of "
            f"{'unknown' if self.size is None else self.size} bytes"
        )
        if seconds < self._absence.expires:
            return ClientAway(f"{told}; the upload goes on from 0 when it is back")
        return UploadIncomplete(f"{told}; send the file again")


def _begun_anew(offset: int) -> Conflict:
    return Conflict(f"the import was begun anew and the upload stands at {offset}: send from there")
