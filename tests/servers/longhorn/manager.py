"""longhorn-manager's HTTP API, as far as images come and go by it (facts, E2).

Plain HTTP without authentication, service ``longhorn-backend:9500``.
"""

import asyncio
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.servers.listening import application, empty, no_continue, not_found
from tests.servers.longhorn.data_source import DataSource, PodGone
from tests.servers.page import Page

CODES = {404: "Not Found", 500: "Internal Server Error"}


@dataclass
class LonghornManager:
    """Forwards uploads to data sources and gives images back."""

    sources: dict[str, DataSource] = field(default_factory=dict)
    """Data sources whose pods run, by the name of their image."""

    waiting: set[str] = field(default_factory=set)
    """Images whose data source has a pod that does not run yet."""

    files: dict[str, Path] = field(default_factory=dict)
    """Files of ready images."""

    pages: list[Page] = field(default_factory=list)
    """What a proxy in front answers to the next uploads, in its stead."""

    requests: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        """Return it as an application."""
        app = application()
        app.router.add_post("/v1/backingimages/{name}", self._act, expect_handler=no_continue)
        app.router.add_get("/v1/backingimages/{name}/download", self._download)
        app.router.add_route("*", "/{rest:.*}", not_found)
        return app

    async def _act(self, request: web.Request) -> web.Response:
        self.requests.append(str(request.rel_url))
        if request.query.get("action") != "upload":
            return await not_found(request)
        if self.pages:
            return await self.pages.pop(0).answer(request, self._upload)
        return await self._upload(request)

    async def _upload(self, request: web.Request) -> web.Response:
        """Forward as LHM: api/forwarder.go:175-212 does."""
        name = request.match_info["name"]
        source = self.sources.get(name)
        if name in self.waiting:
            return failure(500, "backing image data source pod is not ready for uploading")
        if source is None:
            return failure(500, f"cannot find pod for backing image data source {name}")
        if source.info()["state"] != "pending":
            missing = f"upload server for backing image {name} has not been initiated"
            return failure(500, missing)
        try:
            return await source.upload(request)
        except PodGone:
            return empty(502)  # Go's ReverseProxy, when its upstream breaks off

    async def _download(self, request: web.Request) -> web.StreamResponse:
        """Send a ready image: gzip without a length, or as it is ``?forV2Creation=true``."""
        name = request.match_info["name"]
        path = self.files.get(name)
        if path is None:
            return failure(404, f'backingimages.longhorn.io "{name}" not found')
        if request.query.get("forV2Creation") == "true":
            return web.FileResponse(path)
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        response.headers["Content-Disposition"] = f"attachment; filename={name}.gz"
        await response.prepare(request)
        press = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        with path.open("rb") as file:
            while data := await asyncio.to_thread(file.read, 1 << 20):
                await response.write(await asyncio.to_thread(press.compress, data))
        await response.write_eof(press.flush())
        return response


def failure(status: int, message: str) -> web.Response:
    """Return an error as LHM: api/router.go:18-46 sends it."""
    told: dict[str, Any] = {"type": "error", "status": status, "code": CODES[status]}
    return web.json_response({**told, "message": message}, status=status)
