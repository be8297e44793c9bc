"""An image that comes in any number of requests, one after the other: a hand-over without a store.

Whoever has bytes gives them; the import takes them. `Resumable.give` returns once the import has
taken what it was given, so a slow target slows the client down, and `offset` counts taken bytes
only. A try that ends before the last byte sets `offset` back to 0: the client sends again.
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
        """Bytes that this try has taken."""

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
        return self.offset == self.size

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
            self.offset = 0
        if self._taken and not self._taken.done():
            self._taken.set_exception(
                Conflict("the import was begun anew and the upload stands at 0: send from there")
            )
        self._offered = self._taken = None

    async def give(self, data: bytes) -> None:
        """Hand *data* over; return once the import has taken it.

        Raises SizeMismatch for more bytes than were announced, Conflict when the try has ended.
        """
        if self.size is not None and self.offset + len(data) > self.size:
            raise SizeMismatch(self.size, self.offset + len(data))
        taken = asyncio.get_running_loop().create_future()
        self._offered, self._taken, self._silent_since = data, taken, None
        self._news.set()
        try:
            await taken
        finally:
            if self._taken is taken:
                self._offered = self._taken = None

    async def _chunks(self) -> Chunks:
        """Raises ClientAway, UploadIncomplete."""
        while not self.is_whole:
            if self._offered is None or self._taken is None or self._taken.done():
                # Nothing is there, or its giver was sent away just now.
                await self._hear(min(self._absence.away, self._absence.expires))
                continue
            data, self._offered = self._offered, None
            self.offset += len(data)
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
