"""The service as the page sees it on a cluster whose volumes are being copied: what a script says.

Passes everything on to a real service, and adds what only a large cluster has: copies and reports
of classes (``GET /v1/copies``), and ``event: copy`` among the events.
"""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.web.browser import Served


@dataclass
class Copying:
    """A proxy before *behind*; `items` and `classes` are what ``GET /v1/copies`` answers."""

    behind: Served
    items: list[dict[str, Any]] = field(default_factory=list)
    classes: list[dict[str, Any]] = field(default_factory=list)
    watching: dict[str, bool] = field(default_factory=lambda: {"datavolumes": True})
    asked: int = 0
    """Times the copies were asked for."""

    address: str = ""
    _streams: set[web.StreamResponse] = field(default_factory=set)

    @property
    def page(self) -> str:
        return f"{self.address}/#token={self.behind.token}"

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(auto_decompress=False)
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
        await self._runner.cleanup()

    async def tell(self, copy: dict[str, Any]) -> None:
        """Let every page that listens know how *copy* is now."""
        self.items = [one for one in self.items if one["uid"] != copy["uid"]] + [copy]
        for stream in list(self._streams):
            with suppress(ConnectionError):  # that page is closed
                await stream.write(f"event: copy\ndata: {json.dumps(copy)}\n\n".encode())

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/v1/copies":
            self.asked += 1
            told = {"items": self.items, "classes": self.classes, "watching": self.watching}
            return web.json_response(told)
        async with self._client.request(
            request.method,
            self.behind.address + request.raw_path,
            headers=request.headers,
            data=request.content if request.body_exists else None,
            allow_redirects=False,
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=answer.headers)
            await response.prepare(request)
            await self._pass_on(request.path, answer, response)
            return response

    async def _pass_on(
        self, path: str, answer: aiohttp.ClientResponse, response: web.StreamResponse
    ) -> None:
        if path == "/v1/events":
            self._streams.add(response)
        try:
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
        except (ConnectionError, aiohttp.ClientError, asyncio.CancelledError):
            pass  # one of the two has left
        finally:
            self._streams.discard(response)


def moment(ago: float) -> str:
    """Return the time *ago* seconds before now, as the API writes it."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def copied(name: str, **fields: Any) -> dict[str, Any]:
    """Return a copy as ``GET /v1/copies`` has them: a CSI clone of 8 GiB, half done."""
    done, seconds = fields.get("done", 4 << 30), fields.get("seconds", 20.0)
    copy = {
        "uid": f"uid-of-{name}",
        "namespace": "default",
        "name": name,
        "storageClass": "longhorn-v2",
        "engine": "longhorn-v2",
        "backend": "cdi",
        "strategy": "csi-clone",
        "basis": "inferred",
        "state": "Running",
        "phase": None,
        "done": done,
        "total": 8 << 30,
        "startedAt": moment(seconds or 0),
        "endedAt": None,
        "seconds": seconds,
        "bytesPerSecond": done / seconds if seconds else 0,
        "isHint": True,
        "idleSeconds": 0.0,
        "error": None,
        "reason": "",
        "source": "golden/debian-12",
    }
    return {**copy, **fields}


def over(name: str, ago: float, **fields: Any) -> dict[str, Any]:
    """Return a copy that ended *ago* seconds before now."""
    seconds = fields.get("seconds", 40.0)
    done = {"state": "Done", "done": 8 << 30, "seconds": seconds, "isHint": False}
    times = {"startedAt": moment(ago + seconds), "endedAt": moment(ago)}
    rate = {"bytesPerSecond": (8 << 30) / seconds}
    return copied(name, **{**done, **times, **rate, **fields})


def reported(storage_class: str, ready: int, rate: float | None, **imports: Any) -> dict[str, Any]:
    """Return the report of a class that *ready* images came to at *rate* bytes a second."""
    told = {"ready": ready, "failed": 0, "bytesPerSecond": rate, "slowestPhase": None}
    told |= {"failures": {}, **{key: value for key, value in imports.items() if key != "copies"}}
    copies = imports.get("copies", [])
    backend = "local" if storage_class == "local" else "cdi"
    names = {"storageClass": storage_class, "backend": backend, "engine": storage_class}
    return {**names, "imports": told, "copies": copies}


def strategy(name: str, rate: float | None, **counts: Any) -> dict[str, Any]:
    """Return what one way of copying came to on a class."""
    zero = {"done": 0, "failed": 0, "active": 0}
    return {"strategy": name, "basis": "measured", "bytesPerSecond": rate, **zero, **counts}
