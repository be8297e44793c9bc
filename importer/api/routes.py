"""What a route is: enough to serve it, and to describe it in ``/openapi.json``."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from importer.api.problems import Handler
from importer.errors import CallerError, ImporterError
from importer.model import Name

JSON_LIMIT = 64 * 1024
"""Bytes of a JSON body at most."""

JSON_PATIENCE = 60.0
"""Seconds in which it must have come."""


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. The first line of the handler's docstring is its summary."""

    method: str
    path: str
    handler: Handler
    status: Mapping[int, Any]
    """Type of the answer's JSON by status; None for no body, a string for another media type."""

    errors: Sequence[type[ImporterError]] = ()
    """What it may answer besides what every route may."""

    body: Any = None
    """Type of the JSON body, or a tuple of media types for bytes."""

    instead: Sequence[str] = ()
    """Media types of bytes that the body may be instead."""

    query: Mapping[str, Any] = field(default_factory=dict)
    """Types of the query's parameters."""

    headers: Mapping[str, Any] = field(default_factory=dict)
    """Types of the headers that the request must have."""

    public: bool = False
    """Needs no token."""

    described: bool = True
    """Stands in the description."""


async def read_json(request: web.Request, kind: Any) -> Any:
    """Return the request's JSON body as *kind*. Raises CallerError."""
    try:
        async with asyncio.timeout(JSON_PATIENCE):
            body = await request.read()
        return msgspec.json.decode(body, type=kind)
    except TimeoutError as exc:
        raise CallerError(f"the JSON body did not come within {JSON_PATIENCE:g} s") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise CallerError(f"the JSON body is not as it should be: {exc}") from exc


def read_query(request: web.Request, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Return the query's parameters as *kinds*; those that are missing are None.

    Raises CallerError for one that is unknown, comes twice or has a wrong value.
    """
    for name in request.query:
        if name not in kinds or len(request.query.getall(name)) > 1:
            raise CallerError(f"query parameter {name[:80]!r} is unknown here or comes twice")
    return {
        name: _converted(name, request.query[name], kind) if name in request.query else None
        for name, kind in kinds.items()
    }


def name_of(request: web.Request) -> str:
    """Return the image's name in the path. Raises CallerError."""
    return str(_converted("name", request.match_info["name"], Name))


def json(value: Any, status: int = 200) -> web.Response:
    """Return *value* as a JSON answer."""
    return web.json_response(body=msgspec.json.encode(value), status=status)


def _converted(name: str, text: str, kind: Any) -> Any:
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise CallerError(f"{name}={text[:200]!r}: {exc}") from exc
