"""An image that comes in a request body. It can be read once: whoever sends it sends it again."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from importer.errors import CallerError, UploadIncomplete
from importer.sources import Declared, Opened
from importer.stream.pipe import Chunks
from importer.units import CHUNK, MiB

_CONTINUED = web.RequestKey("continued", bool)


async def _freely(at: int, size: int) -> None:
    """Let the next bytes come at once."""


class Flow:
    """How the bytes of one request may come: no silence, not too slowly, not too fast."""

    def __init__(
        self,
        stall: float,
        least_rate: int = 0,
        passed: Callable[[int, int], Awaitable[None]] = _freely,
        at: int = 0,
        step: int = 0,
    ) -> None:
        self.stall = stall
        """Seconds without a byte that are borne."""

        self._step = step

        self._least_rate = least_rate
        self._passed = passed
        self._at = at
        self._since = 0.0
        self._waited = 0.0
        self._came = 0

    def waits(self) -> None:
        """Begin to wait for bytes."""
        self._since = asyncio.get_running_loop().time()

    def came(self, size: int) -> None:
        """Count *size* bytes that were waited for, and wait on. Raises UploadIncomplete.

        Only the waiting counts, not what the target takes: so a slow target is no slow client.
        """
        now = asyncio.get_running_loop().time()
        self._waited += now - self._since
        self._since = now
        self._came += size
        if self._waited < self.stall:
            return
        if size and self._came < self._least_rate * self._waited:
            raise UploadIncomplete(
                f"{self._came} bytes came in {self._waited:.0f} s, [upload] least_rate asks for "
                f"{self._least_rate} a second"
            )
        self._waited, self._came = 0.0, 0

    def pieces(self, data: bytes) -> Iterable[bytes]:
        """Return *data* in the pieces that a rate wants it in: none is waited for very long."""
        if not self._step:
            return (data,)
        return (data[at : at + self._step] for at in range(0, len(data), self._step))

    async def passed(self, size: int) -> None:
        """Return when more may come after these *size* bytes. Raises TooManyUploads."""
        self._at += size
        await self._passed(self._at, size)


FLOW = web.RequestKey("flow", Flow)
"""How the body of a request may come, where its route counts uploads."""


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
        self._flow = request.get(FLOW) or Flow(stall)
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
                    f"the client sent nothing for {self._flow.stall:g} s after {size} bytes; "
                    "send the file again"
                ) from exc
            except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as exc:
                raise UploadIncomplete(
                    f"the client went away after {size} of {self._size or 'unknown'} bytes; "
                    "send the file again"
                ) from exc
            if not chunk:
                return
            size += len(chunk)
            await self._flow.passed(len(chunk))
            yield chunk

    async def _next(self) -> bytes:
        """Return about CHUNK bytes, fewer only at the end."""
        parts: list[bytes] = []
        missing, loop = CHUNK, asyncio.get_running_loop()
        stall = self._flow.stall
        self._flow.waits()
        async with asyncio.timeout(stall) as patience:
            while missing > 0 and (part := await self._part()):
                parts.append(part)
                missing -= len(part)
                self._flow.came(len(part))
                patience.reschedule(loop.time() + stall)
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


async def file_part(
    request: web.Request, is_file: Callable[[aiohttp.BodyPartReader], bool], stall: float
) -> aiohttp.BodyPartReader | None:
    """Return the part of a form that *is_file*, None when there is none.

    Raises CallerError for a damaged form, UploadIncomplete when it does not begin for *stall*
    seconds.
    """
    await go_ahead(request)
    try:
        async with asyncio.timeout(stall):
            async for part in await request.multipart():
                if isinstance(part, aiohttp.BodyPartReader) and is_file(part):
                    return part
    except TimeoutError as exc:
        raise UploadIncomplete(f"no file began within {stall:g} s of the form") from exc
    except (ValueError, aiohttp.ClientError, HttpProcessingError) as exc:
        raise CallerError(f"the multipart body is damaged: {exc}") from exc
    return None
