"""What clients may have of the service for their uploads: how many, how large, how fast.

A client is an address. Nothing is remembered of one that has no upload open.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from importer.config import Upload
from importer.errors import TooManyUploads
from importer.sources.rate import Bucket


class Share:
    """What one open upload has."""

    def __init__(self, allowance: "Allowance", client: str, size: int | None) -> None:
        self._allowance = allowance
        self.client = client
        self.size = size or 0
        """Bytes of the file, as far as they are announced or have come."""

    def grow(self, size: int) -> None:
        """Say that the file has *size* bytes or more. Raises TooManyUploads."""
        if size > self.size:
            self._allowance.refuse(self.client, size - self.size, 0)
            self.size = size

    async def passed(self, at: int, size: int) -> None:
        """Say that *size* more bytes came, *at* in all; return when the next may."""
        self.grow(at)
        await self._allowance.pace(self.client, size)

    def leave(self) -> None:
        """Give it back; once is enough."""
        self._allowance.leave(self)


class Allowance:
    """The shares of all clients."""

    def __init__(self, settings: Upload) -> None:
        self._settings = settings
        self.shares: set[Share] = set()
        """Of all uploads that are open."""

        self._rate = Bucket(settings.rate)
        self._rates: dict[str, Bucket] = {}

    def enter(self, client: str, size: int | None) -> Share:
        """Return a share for an upload of *size* bytes. Raises TooManyUploads."""
        self.refuse(client, size or 0, 1)
        share = Share(self, client, size)
        self.shares.add(share)
        return share

    @contextmanager
    def share(self, client: str, size: int | None) -> Iterator[Share]:
        """Have a share until the block ends. Raises TooManyUploads."""
        share = self.enter(client, size)
        try:
            yield share
        finally:
            share.leave()

    def leave(self, share: Share) -> None:
        """Take *share* back."""
        self.shares.discard(share)
        if not any(other.client == share.client for other in self.shares):
            self._rates.pop(share.client, None)

    def refuse(self, client: str, size: int, uploads: int) -> None:
        """Raise TooManyUploads unless *size* more bytes in as many more *uploads* may be open."""
        limits = self._settings
        its = [share for share in self.shares if share.client == client]
        _within("per_client", limits.per_client, len(its) + uploads, f"uploads of {client}")
        _within("open", limits.open, len(self.shares) + uploads, "uploads")
        bytes_of = f"bytes in uploads of {client}"
        _within("client_bytes", limits.client_bytes, _sum(its) + size, bytes_of)
        _within("open_bytes", limits.open_bytes, _sum(self.shares) + size, "bytes in uploads")

    async def pace(self, client: str, size: int) -> None:
        """Return when *size* more bytes of *client* are within its rate and that of all."""
        if self._settings.client_rate:
            bucket = self._rates.setdefault(client, Bucket(self._settings.client_rate))
            await bucket.take(size)
        await self._rate.take(size)


def _sum(shares: "set[Share] | list[Share]") -> int:
    return sum(share.size for share in shares)


def _within(name: str, most: int, would: int, what: str) -> None:
    if most and would > most:
        raise TooManyUploads(
            f"{would} {what} would be open, [upload] {name} allows {most}; wait until some ended"
        )
