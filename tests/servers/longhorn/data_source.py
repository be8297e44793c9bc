"""Longhorn's data-source server: takes one file, once (facts, E3).

Ports 8000 (`/v1/file`) and 8001 (`/v1/files`) of a data source's pod. Every text and state is
one that the real program showed: transcripts ``longhorn-*``.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from tests.servers import multipart
from tests.servers.listening import (
    Listening,
    application,
    empty,
    error,
    hang_up,
    no_continue,
    not_found,
    wants_body,
)
from tests.servers.longhorn.sync_file import CopyFailed, SyncFile, SyncServer
from tests.servers.tasks import Tasks

DISK = "11111111-2222-3333-4444-555555555555"
"""Identity of the disk, as its ``longhorn-disk.cfg`` says."""

MiB = 1 << 20


class PodGone(Exception):
    """The pod was killed while it worked."""


@dataclass
class DataSource(SyncServer):
    """One data-source server. Its faults are fields."""

    source_type: str = "upload"
    parameters: dict[str, str] = field(default_factory=dict)
    start_limit: float = 60.0
    """Seconds within which an upload must begin (``longhorn-idle``: about 61)."""

    host: str = "127.0.0.1"
    port: int = 0
    sync_port: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.own_state = "pending" if self.source_type == "upload" else "starting"
        self.own_message = ""
        self.transferred = False
        self.alive = True
        self._tasks = Tasks()
        self._take_back: Callable[[], None] = lambda: None
        self._listeners: list[Listening] = []

    # --- its life

    async def __aenter__(self) -> Self:
        await self.begin()
        front = Listening(self.app(), self.host, self.port)
        back = Listening(self.sync_app(), self.host, self.sync_port)
        try:
            for listener in (front, back):
                self._listeners.append(await listener.__aenter__())
        except OSError:
            await self.kill()
            raise
        self.port, self.sync_port = front.port, back.port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def begin(self) -> None:
        """Start to wait, or to download."""
        (self.root / "tmp").mkdir(parents=True, exist_ok=True)
        (self.root / "longhorn-disk.cfg").write_text(f'{{"diskUUID":"{DISK}"}}')
        if self.source_type == "download":
            self._tasks.start(self._download(self.parameters["url"]))
        else:
            self._take_back = self.clock.call_later(self.start_limit, self._too_late)

    async def kill(self) -> None:
        """End as a killed pod does: connections break, nothing is answered any more."""
        self.alive = False
        self._take_back()
        for listener in self._listeners:
            await listener.close()
        await self._tasks.cancel()

    def _too_late(self) -> None:
        if self.file is None:
            self.own_state = "failed"
            self.own_message = "timeout waiting for the datasource file processing begin"
            self.changed()

    # --- what it says

    def info(self) -> dict[str, Any]:
        """Return the answer to ``GET /v1/file`` (transcript ``longhorn-good``)."""
        begun = self._shown is not None and self.own_state != "failed"
        file = self._shown if begun and self._shown else SyncFile(state=self.own_state)
        return {
            "sourceType": self.source_type,
            "parameters": self.parameters,
            "name": self.name,
            "diskUUID": "" if begun and self.source_type == "upload" else DISK,
            "expectedChecksum": self.checksum,
            "filePath": self.shown_path,
            "uuid": self.uuid,
            "size": file.size,
            "virtualSize": file.virtual_size,
            "realSize": file.real_size,
            "state": "ready" if self.transferred else file.state,
            "progress": file.progress,
            "processedSize": file.processed,
            "modificationTime": file.modified,
            "currentChecksum": file.checksum,
            "message": file.message or self.own_message,
            "sendingReference": 0,
        }

    def fail(self, message: str) -> None:
        """Fail now, for that reason."""
        if self._shown is None:
            self.own_state, self.own_message = "failed", message
        else:
            self._failed(self._shown, message)
        self.changed()

    # --- its routes

    def app(self) -> web.Application:
        """Return port 8000: what the manager forwards to."""
        app = application()
        app.router.add_get("/v1/file", self._get, allow_head=False)
        app.router.add_post("/v1/file", self._post, expect_handler=no_continue)
        app.router.add_route("*", "/{rest:.*}", not_found, expect_handler=no_continue)
        return app

    def sync_app(self) -> web.Application:
        """Return port 8001: the files."""
        app = application()
        app.router.add_get("/v1/files", self._list)
        app.router.add_delete("/v1/files/{id:.+}", self._delete)
        app.router.add_route("*", "/{rest:.*}", not_found)
        return app

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self.info(), content_type="application/json")

    async def _post(self, request: web.Request) -> web.Response:
        action = request.query.get("action")
        if action == "transfer":
            return self.transfer()
        if action != "upload":
            return await not_found(request)
        try:
            return await self.upload(request)
        except PodGone:
            return hang_up(request)

    async def _list(self, request: web.Request) -> web.Response:
        listed = {} if self.file is None or self.transferred else {self.shown_path: self.info()}
        return web.json_response(listed, content_type="application/json")

    async def _delete(self, request: web.Request) -> web.Response:
        if request.match_info["id"] == self.shown_path:
            self.file = None
            self.path.unlink(missing_ok=True)
            self.config.unlink(missing_ok=True)
        return empty()

    def transfer(self) -> web.Response:
        """Hand the file over to the backing image manager."""
        state = self.info()["state"]
        if state != "ready-for-transfer":
            refusal = f"datasource file current state is {state} rather than ready-for-transfer"
            return error(500, f"{refusal}, cannot do transfer")
        self.transferred = True
        self.changed()
        return empty()

    # --- uploads

    async def upload(self, request: web.Request) -> web.Response:
        """Take the file, as the forwarder hands it on."""
        if self.source_type != "upload":
            wrong = f"cannot do upload since data source type is {self.source_type}"
            return error(400, f"{wrong} rather than upload")
        asked = request.query.get("size", "")
        if not re.fullmatch(r"[+-]?\d+", asked):
            return error(500, f'strconv.ParseInt: parsing "{asked}": invalid syntax')
        size = int(asked)
        if size % 512:
            odd = f"the uploaded file size {size} should be a multiple of 512 bytes"
            return error(500, f"{odd} since Longhorn uses directIO by default")
        if self.file is not None:
            return error(500, f"file {self.shown_path} already exists")
        self.file = self._shown = SyncFile(size)
        self._take_back_start()
        return await self._receive(request, self.file)

    def _take_back_start(self) -> None:
        self._take_back()
        self.changed()

    async def _receive(self, request: web.Request, file: SyncFile) -> web.Response:
        boundary = multipart.boundary(request)
        if boundary is None:
            return error(500, "request Content-Type isn't multipart/form-data")
        wants_body(request)
        body = multipart.part(request.content, boundary, "chunk")
        copy = self._tasks.start(self.copy(file, body), awaited=True)
        try:
            await asyncio.shield(copy)
        except multipart.NoPart:
            return error(500, "EOF")
        except CopyFailed as exc:
            return error(500, str(exc))
        except asyncio.CancelledError:
            if self.alive:
                raise
            raise PodGone from None
        self._tasks.start(self.finish(file))
        return empty()
