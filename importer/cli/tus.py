"""Resumable uploads of the service, one request at a time (docs/uploads.md; tus 1.0.0).

Raises Unreachable for a way that broke, TooLarge for one that takes no request of this size, and
Refused for what the service says.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter

from importer.cli.client import CONNECT, Answer, Client, odd
from importer.stream.pipe import Chunks

MEDIA = "application/offset+octet-stream"

PATIENCE = 60.0
"""Seconds for the answer to a request without a body."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class Stand:
    """How far the service is."""

    offset: int
    """Bytes that it has taken."""

    size: int | None
    """Bytes of the whole, None until it was told."""


class Tus:
    """The uploads of one service."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create(self, told: Mapping[str, str], size: int | None) -> str:
        """Begin an upload, of which *told* is said, and return its id."""
        says = {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
        answer = await self._ask("POST", "", **says, **{"Upload-Metadata": metadata(told)})
        # Of the address only what names the upload counts: the token goes to no other server.
        named = answer.headers.get("Location", "").rstrip("/").rpartition("/")[2]
        if not is_id(named):
            raise odd("names no upload that it has begun: is it of another version?")
        return named

    async def stands(self, id: str) -> Stand:
        """Return how far an upload is; whoever sends for it now is sent away."""
        answer = await self._ask("HEAD", id)
        return Stand(_number(answer, "Upload-Offset"), _size(answer))

    async def send(
        self, id: str, offset: int, chunks: Chunks, length: int | None, *, asks: bool = True
    ) -> int:
        """Send *chunks*, *length* bytes if that is known, from *offset* on; return the new one.

        *asks*: send nothing before the service wants it (``Expect: 100-continue``), so that a
        refusal costs no byte. The connection is kept for the next piece.
        """
        told = {"Upload-Offset": str(offset), "Content-Type": MEDIA}
        if length is not None:
            told["Content-Length"] = str(length)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT)
        async with _sending(chunks) as body:
            answer = await self._client.call(
                "PATCH",
                _path(id),
                headers=_headers(told),
                data=body,
                expect100=asks,
                timeout=timeout,
                kept=True,
            )
        return _number(answer, "Upload-Offset")

    async def finish(self, id: str, size: int) -> int:
        """Say that the *size* bytes which were sent are all of it; return the offset."""
        told = {"Upload-Offset": str(size), "Upload-Length": str(size), "Content-Type": MEDIA}
        return _number(await self._ask("PATCH", id, **told), "Upload-Offset")

    async def end(self, id: str) -> None:
        """End an upload; nothing stays of an image that is not whole yet."""
        await self._ask("DELETE", id)

    async def _ask(self, method: str, id: str, **told: str) -> Answer:
        timeout = aiohttp.ClientTimeout(total=PATIENCE, sock_connect=CONNECT)
        return await self._client.call(method, _path(id), headers=_headers(told), timeout=timeout)


def metadata(told: Mapping[str, str]) -> str:
    """Return ``Upload-Metadata``; of a file's name, what is no text is ``?``."""
    return ",".join(
        f"{key} {base64.b64encode(text.encode(errors='replace')).decode()}"
        for key, text in told.items()
    )


def is_id(text: str) -> bool:
    """Say whether *text* can be an upload's id: no path, and no other address."""
    return bool(_ID.match(text))


def _path(id: str) -> str:
    return "/v1/uploads" + (f"/{id}" if id else "")


def _headers(told: Mapping[str, str]) -> dict[str, str]:
    return {"Tus-Resumable": "1.0.0", **told}


def _number(answer: Answer, name: str) -> int:
    text = answer.headers.get(name, "")
    if not (text.isascii() and text.isdigit()):
        raise odd(f"says {name}: {text!r:.40}; is it an importer's address?")
    return int(text)


def _size(answer: Answer) -> int | None:
    return _number(answer, "Upload-Length") if "Upload-Length" in answer.headers else None


class _Payload(payload.Payload):
    """A body whose generator is closed by the task that sends it, however that ends.

    aiohttp leaves a generator half-read when the request is cancelled. The loop's end would close
    it and all that it is made of at once, in no order.
    """

    _autoclose = True
    task: asyncio.Task[None] | None = None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Nobody asks: it is for payloads that are text."""
        raise TypeError("the body of an upload is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it."""
        self.task = asyncio.current_task()
        async with aclosing(self._value) as chunks:
            async for chunk in chunks:
                await writer.write(chunk)


@asynccontextmanager
async def _sending(chunks: Chunks) -> AsyncIterator[_Payload]:
    """Give *chunks* as a body; on leaving, nobody reads them any more."""
    body = _Payload(chunks)
    try:
        yield body
    finally:
        if body.task:
            body.task.cancel()
            await asyncio.gather(body.task, return_exceptions=True)
        else:
            await chunks.aclose()
