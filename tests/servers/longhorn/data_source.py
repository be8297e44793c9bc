"""Longhorn's data-source server: takes one file, once (facts, E3).

Ports 8000 (`/v1/file`) and 8001 (`/v1/files`) of a data source's pod. Every text and state is
one that the real program showed: transcripts ``longhorn-*``.
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from tests.servers import multipart, qemu, sparse
from tests.servers.clock import Clock
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
from tests.servers.tasks import Tasks

DISK = "11111111-2222-3333-4444-555555555555"
"""Identity of the disk, as its ``longhorn-disk.cfg`` says."""

MiB = 1 << 20


class CopyFailed(Exception):
    """The bytes did not all come; the message is what the state shows."""


class PodGone(Exception):
    """The pod was killed while it worked."""


@dataclass
class SyncFile:
    """What the server says of its file."""

    size: int = 0
    virtual_size: int = 0
    real_size: int = 0
    state: str = "starting"
    progress: int = 0
    processed: int = 0
    modified: str = ""
    checksum: str = ""
    message: str = ""


@dataclass
class DataSource:
    """One data-source server. Its faults are fields."""

    root: Path
    """Directory that stands for the disk's ``/data``."""

    name: str
    uuid: str = "uuid"
    source_type: str = "upload"
    parameters: dict[str, str] = field(default_factory=dict)
    checksum: str = ""
    """The SHA-512 that is expected."""

    start_limit: float = 60.0
    """Seconds within which an upload must begin (``longhorn-idle``: about 61)."""

    idle_limit: float = 30.0
    """Seconds without a byte after which the copy is given up, silently (``longhorn-idle``)."""

    fail_after: int | None = None
    """Bytes after which the copy fails with `fail_with`."""

    fail_with: str = "write /data/tmp/file: input/output error"

    clock: Clock = field(default_factory=Clock)
    hashing: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold the server where the upload was answered and the checksum is not known."""

    fetching: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold a download before its first request."""

    host: str = "127.0.0.1"
    port: int = 0
    sync_port: int = 0

    file: SyncFile | None = None
    received: int = 0
    """Bytes of images that came in, over all uploads."""

    log: list[str] = field(default_factory=list)
    changed: Callable[[], None] = lambda: None
    """Called whenever what `info` says may have changed."""

    def __post_init__(self) -> None:
        self.hashing.set()
        self.fetching.set()
        self.own_state = "pending" if self.source_type == "upload" else "starting"
        self.own_message = ""
        self.transferred = False
        self.alive = True
        self._shown: SyncFile | None = None
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
            self._tasks.start(self._download())
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

    @property
    def path(self) -> Path:
        """The file itself."""
        return self.root / "tmp" / f"{self.name}-{self.uuid}"

    @property
    def shown_path(self) -> str:
        """The file's name as the server words it."""
        return f"/data/tmp/{self.path.name}"

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
            self._config.unlink(missing_ok=True)
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
        copy = self._tasks.start(self._copy(file, body), awaited=True)
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
        self._tasks.start(self._finish(file))
        return empty()

    async def _copy(self, file: SyncFile, body: AsyncIterator[bytes]) -> None:
        begun = self.clock.now()
        unfinished = self.path.with_name(self.path.name + ".tmp")
        try:
            with unfinished.open("wb") as out:
                out.truncate(file.size)
                async for chunk in body:
                    self._in_time(begun)
                    sparse.write(out, file.processed, chunk)
                    self._count(file, len(chunk))
                    begun = self.clock.now()
                out.truncate(file.processed)
            self._all_there(file)
        except multipart.UnexpectedEnd:
            self._give_up(file, unfinished, "failed to copy the data with timeout: unexpected EOF")
        except CopyFailed as exc:
            self._give_up(file, unfinished, str(exc))
        unfinished.rename(self.path)
        file.modified = _go_time()
        self.changed()

    def _count(self, file: SyncFile, length: int) -> None:
        file.state = "in-progress"
        file.processed += length
        self.received += length
        before = file.progress
        if file.size:
            file.progress = min(100, 100 * file.processed // file.size)
        if self.fail_after is not None and file.processed >= self.fail_after:
            raise CopyFailed(self.fail_with)
        if file.progress != before:
            self.changed()

    def _in_time(self, since: float) -> None:
        # The real server notices at 30 s, and tells nobody until the connection moves again.
        if self.clock.now() - since > self.idle_limit:
            self.log.append("IO timeout exceeded, cancel the copy")
            raise CopyFailed("failed to copy the data with timeout: context canceled")

    def _all_there(self, file: SyncFile) -> None:
        if file.size and file.processed != file.size:
            seen = f"processed data size {file.processed}"
            raise CopyFailed(f"{seen} does not match the expected file size {file.size}")

    def _give_up(self, file: SyncFile, unfinished: Path, why: str) -> None:
        unfinished.unlink(missing_ok=True)
        self._failed(file, why)
        self.changed()
        raise CopyFailed(why)

    def _failed(self, file: SyncFile, why: str) -> None:
        file.state, file.message = "failed", f"failed to process sync file: {why}"

    # --- what follows the 200

    @property
    def _config(self) -> Path:
        return self.path.with_name(self.path.name + ".cfg")

    async def _finish(self, file: SyncFile) -> None:
        await self.hashing.wait()
        file.checksum = await asyncio.to_thread(_sha512, self.path)
        if self.checksum and self.checksum != file.checksum:
            self.path.unlink()
            why = f"the expected checksum {self.checksum} doesn't match"
            self._failed(file, f"{why} the file actual checksum {file.checksum}")
        elif file.state != "failed":
            await self._look(file)
        self.changed()

    async def _look(self, file: SyncFile) -> None:
        with contextlib.suppress(qemu.QemuFailed):  # sync_file.go:1041: an error means 0
            file.virtual_size = int((await qemu.info(self.path))["virtual-size"])
        file.real_size = self.path.stat().st_blocks * 512
        file.size, file.progress = file.processed, 100
        self._config.write_text(str(asdict(file)))
        file.state = "ready-for-transfer"

    # --- downloads

    async def _download(self) -> None:
        self.file = self._shown = file = SyncFile()
        url = self.parameters["url"]
        await self.fetching.wait()
        try:
            async with aiohttp.ClientSession() as http:
                file.size = await _head(http, url)
                async with http.get(url) as response:
                    await self._copy(file, multipart.chunks(response.content))
        except (CopyFailed, aiohttp.ClientError, ValueError) as exc:
            file.size = 0
            self._failed(file, _go_client_error(url, exc))
            self.changed()
        else:
            await self._finish(file)


async def _head(http: aiohttp.ClientSession, url: str) -> int:
    async with http.head(url) as response:
        if response.status != 200:
            got = f"{response.status} {response.reason}"
            raise CopyFailed(f"expected status code 200 from {url}, got {got}")
        return int(response.headers.get("Content-Length", 0))


def _go_client_error(url: str, exc: Exception) -> str:
    """Return Go's words for why a request failed (transcript ``longhorn-download``)."""
    parts = urlsplit(url)
    if isinstance(exc, aiohttp.NonHttpUrlClientError):
        return f'Head "{url}": unsupported protocol scheme "{parts.scheme}"'
    if isinstance(exc, aiohttp.ClientConnectorError):
        return f'Head "{url}": dial tcp {parts.netloc}: connect: connection refused'
    return str(exc)


def _go_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f000 +0000 UTC")


def _sha512(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()
