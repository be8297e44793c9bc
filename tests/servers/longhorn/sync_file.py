"""What Longhorn's data source does with its file (facts, E3; BIM: pkg/sync/sync_file.go)."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from tests.servers import multipart, qemu, sparse
from tests.servers.clock import Clock


class CopyFailed(Exception):
    """The bytes did not all come; the message is what the state shows."""


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
class SyncServer:
    """Takes one file, by an upload or a download. Its faults are fields."""

    root: Path
    """Directory that stands for the disk's ``/data``."""

    name: str
    uuid: str = "uuid"
    checksum: str = ""
    """The SHA-512 that is expected."""

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

    received: int = 0
    """Bytes of images that came in, over all uploads."""

    log: list[str] = field(default_factory=list)
    changed: Callable[[], None] = lambda: None
    """Called whenever what `info` says may have changed."""

    def __post_init__(self) -> None:
        self.hashing.set()
        self.fetching.set()
        self.file: SyncFile | None = None
        self._shown: SyncFile | None = None

    @property
    def path(self) -> Path:
        """The file itself."""
        return self.root / "tmp" / f"{self.name}-{self.uuid}"

    @property
    def shown_path(self) -> str:
        """The file's name as the server words it."""
        return f"/data/tmp/{self.path.name}"

    async def copy(self, file: SyncFile, body: AsyncIterator[bytes]) -> None:
        """Take the bytes; raise CopyFailed, with the file's state saying why."""
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

    @property
    def config(self) -> Path:
        """The file beside it, which says what it is."""
        return self.path.with_name(self.path.name + ".cfg")

    async def finish(self, file: SyncFile) -> None:
        """Do what follows the bytes: checksum, sizes, and the last state."""
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
        self.config.write_text(str(asdict(file)))
        file.state = "ready-for-transfer"

    async def _download(self, url: str) -> None:
        self.file = self._shown = file = SyncFile()
        await self.fetching.wait()
        try:
            async with aiohttp.ClientSession() as http:
                file.size = await _head(http, url)
                async with http.get(url) as response:
                    await self.copy(file, multipart.chunks(response.content))
        except (CopyFailed, aiohttp.ClientError, ValueError) as exc:
            file.size = 0
            self._failed(file, _go_client_error(url, exc))
            self.changed()
        else:
            await self.finish(file)


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
