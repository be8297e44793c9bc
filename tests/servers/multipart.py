"""One part of a ``multipart/form-data`` body, byte by byte as it comes (RFC 7578, RFC 2046).

Unlike aiohttp's reader nothing is held back but what may begin the delimiter, so counters
of received bytes are as exact as the real servers'.
"""

import re
from collections.abc import AsyncIterator

from aiohttp import StreamReader, web

NAME = re.compile(rb'name="([^"]*)"')


class UnexpectedEnd(Exception):
    """The body ended, or its connection did, before the last delimiter."""


class NoPart(Exception):
    """The body was read to its end and no part has that name."""


def boundary(request: web.Request) -> bytes | None:
    """Return the boundary, or None when the body is no form."""
    found = re.search(r"boundary=\"?([^\";]+)", request.headers.get("Content-Type", ""))
    form = request.content_type == "multipart/form-data"
    return found[1].encode() if form and found else None


async def chunks(content: StreamReader) -> AsyncIterator[bytes]:
    """Yield what comes; a connection that breaks is an `UnexpectedEnd`."""
    try:
        while chunk := await content.readany():
            yield chunk
    except Exception as exc:
        raise UnexpectedEnd(str(exc)) from exc


async def part(content: StreamReader, boundary: bytes, name: str) -> AsyncIterator[bytes]:
    """Yield the content of the first part called *name*; the others are skipped."""
    reader = _Reader(content, b"\r\n--" + boundary)
    await reader.skip()
    while await reader.begins():
        head = await reader.head()
        found = NAME.search(head)
        if found and found[1].decode() == name:
            async for chunk in reader.body():
                yield chunk
            return
        await reader.skip()
    raise NoPart(name)


class _Reader:
    def __init__(self, content: StreamReader, delimiter: bytes) -> None:
        self._chunks = chunks(content)
        self._delimiter = delimiter
        self._held = b"\r\n"  # the first delimiter has no line's end before it

    async def _more(self) -> None:
        try:
            self._held += await anext(self._chunks)
        except StopAsyncIteration:
            raise UnexpectedEnd("unexpected EOF") from None

    async def begins(self) -> bool:
        """Return whether another part follows; the end is marked by two dashes."""
        while len(self._held) < 2:
            await self._more()
        return not self._held.startswith(b"--")

    async def head(self) -> bytes:
        """Return the part's headers."""
        while b"\r\n\r\n" not in self._held:
            await self._more()
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        return head

    async def body(self) -> AsyncIterator[bytes]:
        """Yield up to the next delimiter, and step over it."""
        while True:
            at = self._held.find(self._delimiter)
            if at >= 0:
                if at:
                    yield self._held[:at]
                self._held = self._held[at + len(self._delimiter) :]
                return
            sure = self._sure()
            if sure:
                chunk, self._held = self._held[:sure], self._held[sure:]
                yield chunk
            await self._more()

    async def skip(self) -> None:
        """Go past the next delimiter."""
        async for _ in self.body():
            pass

    def _sure(self) -> int:
        """Return how many of the held bytes cannot belong to a delimiter."""
        at = self._held.rfind(b"\r", -len(self._delimiter))
        begins = at >= 0 and self._delimiter.startswith(self._held[at:])
        return at if begins else len(self._held)
