"""The head of a client's file, sent to be looked at before the file is: ``POST /v1/inspect``."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Meta

from importer.api.routes import read_query
from importer.errors import CallerError, LimitExceeded, UploadIncomplete
from importer.model import Size
from importer.sources.upload import go_ahead
from importer.units import KiB, MiB

MEDIA = "application/octet-stream"

HEAD = MiB
"""Bytes from the start of the file: all that are looked at."""

TAIL = 64 * KiB
"""Bytes from its end, at most. VHD needs 512 of them, VMDK 1536."""

PATIENCE = 60.0
"""Seconds in which all of it must have come."""

QUERY: Mapping[str, Any] = {"size": Size, "tail": Annotated[int, Meta(ge=0, le=TAIL)]}


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a file that is somewhere else."""

    size: int
    """Bytes of the whole file."""

    head: bytes
    """Its first MiB, or all of it."""

    tail: bytes
    """Its last bytes, or none."""


def is_sent(request: web.Request) -> bool:
    """Say whether *request* brings the ends of a file; one that says nothing brings JSON."""
    return "Content-Type" in request.headers and request.content_type == MEDIA


async def read_ends(request: web.Request) -> Ends:
    """Return what *request* brings of a file. Raises CallerError, LimitExceeded, UploadIncomplete.

    ``?size=N``: bytes of the file. ``&tail=K``: the body's last K bytes are the file's last.
    """
    query = read_query(request, QUERY)
    size, tail = query["size"], query["tail"] or 0
    if size is None:
        raise CallerError("size is missing: say how many bytes the file has, as ?size=N")
    head = min(size, HEAD)
    _refuse_more(request.content_length or 0, head + tail)
    body = await _body(request, head + tail)
    if len(body) != head + tail or tail > size:
        raise CallerError(
            f"the body has {len(body)} bytes: of a file of {size} send the first {head}, and "
            f"then the last {tail} (tail)"
        )
    return Ends(size, body[:head], body[head:])


async def _body(request: web.Request, most: int) -> bytes:
    await go_ahead(request)
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            while part := await request.content.readany():
                body += part
                _refuse_more(len(body), most)
    except TimeoutError as exc:
        raise UploadIncomplete(f"{len(body)} of {most} bytes came in {PATIENCE:g} s") from exc
    except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as exc:
        raise UploadIncomplete(f"the connection broke after {len(body)} bytes") from exc
    return bytes(body)


def _refuse_more(size: int, most: int) -> None:
    if size > most:
        raise LimitExceeded(f"the body has {size} bytes or more, {most} are looked at")
