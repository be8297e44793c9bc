"""An image that comes in a request body. It can be read once: whoever sends it sends it again."""

import asyncio

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from importer.errors import UploadIncomplete
from importer.sources import Declared, Opened
from importer.stream.pipe import Chunks
from importer.units import CHUNK, MiB

_CONTINUED = web.RequestKey("continued", bool)


class Body:
    """The bytes of one request: ``Content-Length`` or chunked coding says where they end."""

    def __init__(
        self,
        request: web.Request,
        content: aiohttp.StreamReader | aiohttp.BodyPartReader,
        size: int | None,
        stall: float,
        declared: Declared | None = None,
    ) -> None:
        self._request = request
        self._content = content
        self._size = size
        self._stall = stall
        self._declared = declared

    @property
    def rereadable(self) -> bool:
        """False: a client is not asked for the same bytes twice within one request."""
        return False

    async def open(self) -> Opened:
        """Return the body, nothing of it read; a client that waits to be told so may send now."""
        await go_ahead(self._request)
        return Opened(self._chunks(), self._size, declared=self._declared)

    async def close(self) -> None:
        """Nothing to do: the request is its handler's."""

    async def _chunks(self) -> Chunks:
        size = 0
        while True:
            try:
                chunk = await self._next()
            except TimeoutError as exc:
                raise UploadIncomplete(
                    f"the client sent nothing for {self._stall:g} s after {size} bytes; send again"
                ) from exc
            except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as exc:
                raise UploadIncomplete(
                    f"the client went away after {size} of {self._size or 'unknown'} bytes; "
                    "send the file again"
                ) from exc
            if not chunk:
                return
            size += len(chunk)
            yield chunk

    async def _next(self) -> bytes:
        """Return about CHUNK bytes, fewer only at the end."""
        parts: list[bytes] = []
        missing, loop = CHUNK, asyncio.get_running_loop()
        async with asyncio.timeout(self._stall) as patience:
            while missing > 0 and (part := await self._part()):
                parts.append(part)
                missing -= len(part)
                patience.reschedule(loop.time() + self._stall)
        return b"".join(parts)

    async def _part(self) -> bytes:
        """Return what has come, as it came: joined once only, by `_next`."""
        if isinstance(self._content, aiohttp.BodyPartReader):
            return bytes(await self._content.read_chunk(MiB))
        while True:
            part, _ = await self._content.readchunk()
            if part or self._content.at_eof():
                return part  # an empty one before the end only ends an HTTP chunk


async def go_ahead(request: web.Request) -> None:
    """Answer ``Expect: 100-continue``, once, if the client said so (RFC 9110 section 10.1.1)."""
    waits = request.headers.get("Expect", "").lower() == "100-continue"
    if waits and request.transport and not request.get(_CONTINUED):
        request[_CONTINUED] = True
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
