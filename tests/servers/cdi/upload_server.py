"""CDI's upload server: one pod, one volume, one upload (facts, A3 and A7).

Every status and text is one that the real program showed (transcripts ``cdi-*``), but for those
marked "read": they stand in its source only.
"""

import asyncio
import json
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

from aiohttp import web

from tests.servers import multipart, qemu, sparse
from tests.servers.cdi import body
from tests.servers.listening import (
    Listening,
    application,
    empty,
    hang_up,
    no_continue,
    not_found,
    plain,
    wants_body,
)
from tests.servers.tasks import Tasks

MiB = 1 << 20
CLIENT = "uploadclient"
FORMATS = {"raw", "qcow2", "vmdk", "vdi", "vpc", "vhdx"}
"""What qemu-img may call an image (qemu.go:225-248)."""

PATHS = {
    f"/{version}/upload{form}{asynchronous}": (bool(form), bool(asynchronous))
    for version in ("v1beta1", "v1alpha1")
    for form in ("", "-form")
    for asynchronous in ("", "-async")
}
"""Path → whether it is a form, and whether it answers before the convert."""

KILLED = 137
"""What `exited` is told of a pod that was killed (128 + SIGKILL)."""

COMPLETE = {"preallocationApplied": False, "message": "Upload Complete"}


class TooLarge(Exception):
    """What CDI calls a ValidationSizeError, whatever the reason: answered with 400."""


class Failed(Exception):
    """Anything else: answered with 500."""


class Panicked(Exception):
    """The handler ended without an answer, and with the server still `uploading`."""


class PodGone(Exception):
    """The pod was killed while it worked."""


@dataclass
class UploadServer:
    """One upload server and its volume. Its faults are fields."""

    root: Path
    """Holds ``data/disk.img``, which is the volume, and ``scratch/tmpimage``."""

    size: int = 100 * MiB
    """UPLOAD_IMAGE_SIZE: bytes of the claim."""

    overhead: float = 0.055
    """Share of a file system that is its own; nothing of a block volume is."""

    block: bool = False
    """Whether the volume is a block device: nothing fits beyond its end, and old bytes stay."""

    preallocation: bool = False
    convert_error: str | None = None
    """What qemu-img says instead of converting."""

    convert_failures: int = 1 << 30
    """How many converts fail so; then they are real."""

    kill_after: int | None = None
    """Bytes after which the pod is killed, once."""

    no_space_after: int | None = None
    """Bytes after which the target's file system is full."""

    xz_error: str | None = None
    """What CDI's xz reader stumbles over; the real one refused the files of ``cdi-upload-sync``."""

    certificates: tuple[ssl.SSLContext, str] | None = None
    """With it, connections are TLS, and only a client of that name is served."""

    converting: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold the server before it converts."""

    exiting: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold the server between its last answer and its end."""

    received: int = 0
    """Bytes of bodies that came in, over all uploads."""

    uploads: int = 0
    restarts: int = 0
    alive: bool = True
    uploading: bool = False
    processing: bool = False
    done: bool = False
    termination: str = ""
    """What stands in ``/dev/termination-log``."""

    exited: Callable[[int], None] = lambda code: None
    """Called when the process ends: 0 means that the volume is complete."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when an upload's first bytes are there."""

    def __post_init__(self) -> None:
        self.converting.set()
        self.exiting.set()
        self._tasks = Tasks()
        self._listener: Listening | None = None
        for folder in ("data", "scratch"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        if self.block and not self.volume.exists():
            with self.volume.open("wb") as file:
                file.truncate(self.size)

    # --- its life

    async def __aenter__(self) -> Self:
        context = self.certificates[0] if self.certificates else None
        self._listener = await Listening(self.app(), tls=context).__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._listener
        return self._listener.url

    @property
    def volume(self) -> Path:
        """The file that the guest's disk is, or that stands for the device."""
        return self.root / "data" / "disk.img"

    @property
    def scratch(self) -> Path:
        """The file that an image to be converted is put into."""
        return self.root / "scratch" / "tmpimage"

    async def kill(self) -> None:
        """End as a killed pod does: connections break, nothing is answered any more."""
        was, self.alive = self.alive, False
        if self._listener:
            await self._listener.close()
        await self._tasks.cancel()
        if was:
            self.exited(KILLED)

    def restart(self) -> None:
        """Start the container again: what it held is forgotten, but for the volume."""
        self.restarts += 1
        self.alive = True
        self.uploading = self.processing = self.done = False

    async def _exit(self, code: int, told: str) -> None:
        await self.exiting.wait()
        self.alive = False
        self.termination = told
        if self._listener:
            await self._listener.close()
        self.exited(code)

    # --- its routes

    def app(self) -> web.Application:
        """Return it as an application."""
        app = application()
        app.router.add_get("/healthz", self._healthz)
        for path in PATHS:
            app.router.add_route("*", path, self._direct, expect_handler=no_continue)
        app.router.add_route("*", "/{rest:.*}", not_found, expect_handler=no_continue)
        return app

    async def _healthz(self, request: web.Request) -> web.Response:
        return plain(200, "OK")

    async def _direct(self, request: web.Request) -> web.Response:
        try:
            return await self.handle(request, self._trusted(request))
        except (PodGone, Panicked):
            return hang_up(request)

    def _trusted(self, request: web.Request) -> bool:
        shown = request.get_extra_info("peercert") or {}
        names = [value for part in shown.get("subject", ()) for _, value in part]
        return self.certificates is None or names == [self.certificates[1]]

    async def handle(self, request: web.Request, trusted: bool = True) -> web.Response:
        """Answer one request, as the proxy passes it on (uploadserver.go:296-438)."""
        form, asynchronous = PATHS[request.path]
        if request.method == "HEAD" and asynchronous:
            return empty()
        if request.method != "POST":
            return empty(404)
        if not trusted:
            return empty(401)
        if self.uploading or self.processing:
            return _refused(503)
        if self.done:
            return _refused(409)
        self.uploading = True
        self.uploads += 1
        return await self._upload(request, form, asynchronous)

    async def _upload(self, request: web.Request, form: bool, asynchronous: bool) -> web.Response:
        work = self._tasks.start(self._receive(request, form, asynchronous), awaited=True)
        try:
            convert = await asyncio.shield(work)
        except multipart.NoPart:
            raise Panicked from None  # transcript cdi-upload-form
        except (TooLarge, Failed) as exc:
            self.uploading = False
            return _failure(exc)
        except asyncio.CancelledError:
            if self.alive:
                raise
            raise PodGone from None
        self.uploading = False
        if asynchronous:
            self.processing = True
            self._tasks.start(self._process(convert))
        else:
            self._complete()
        return empty()

    # --- what it does with the bytes

    async def _receive(self, request: web.Request, form: bool, asynchronous: bool) -> bool:
        """Take the body, and finish it unless that may wait; return whether it was converted."""
        if form and multipart.boundary(request) is None:
            raise multipart.NoPart
        wants_body(request)
        try:
            convert = await self._save(self._counted(_content(request, form)))
        except multipart.UnexpectedEnd as exc:
            raise Failed("unexpected EOF") from exc
        if asynchronous:
            await self._validate(self.scratch if convert else self.volume, "")
        else:
            await self._finish(convert)
        return convert

    async def _counted(self, chunks: body.Chunks) -> body.Chunks:
        async for chunk in chunks:
            self.received += len(chunk)
            self.begun.set()
            if self.kill_after is not None and self.received >= self.kill_after:
                self.kill_after = None
                asyncio.get_running_loop().call_soon(lambda: self._tasks.start(self.kill()))
                await asyncio.Event().wait()
            yield chunk

    async def _save(self, chunks: body.Chunks) -> bool:
        """Write the body to scratch or to the volume; return whether it is to be converted."""
        head, chunks = await body.peek(chunks)
        if len(head) < body.HEADER:
            what = "unexpected EOF" if head else "EOF"
            why = f"could not process image header: {what}"
            raise Failed(f"Unable to obtain information about data source: {why}")
        packed = body.compression(head)
        if packed:
            plain = body.expand(chunks, packed)
            try:
                head, chunks = await body.peek(plain)
            except body.Unreadable as exc:
                raise Failed(f"Unable to obtain information about data source: {exc}") from exc
        convert = body.converted(head) is not None
        self.scratch.unlink(missing_ok=True)
        await self._write(self._broken_xz(chunks, packed), convert)
        return convert

    async def _broken_xz(self, chunks: body.Chunks, packed: str | None) -> body.Chunks:
        async for chunk in chunks:
            if packed == "xz" and self.xz_error:
                raise body.Unreadable(self.xz_error)
            yield chunk

    async def _write(self, chunks: body.Chunks, convert: bool) -> None:
        path, where = (self.scratch, "scratch space") if convert else (self.volume, "target file")
        device = self.block and not convert
        try:
            with path.open("r+b" if device else "wb") as file:
                length = await self._copy(file, chunks, self.size if device else None)
                if not device:
                    file.truncate(length)
        except (body.Unreadable, multipart.UnexpectedEnd, OSError) as exc:
            if not device:
                path.unlink()
            full = isinstance(exc, OSError)
            message = f"write {path.name}: no space left on device" if full else str(exc)
            kind = TooLarge if full else Failed
            said = f"Unable to transfer source data to {where}: failed to pull image: "
            raise kind(said + (message or "unexpected EOF")) from exc

    async def _copy(self, file: BinaryIO, chunks: body.Chunks, end: int | None) -> int:
        at = 0
        limits = [limit for limit in (end, self.no_space_after) if limit is not None]
        async for chunk in chunks:
            if limits and at + len(chunk) > min(limits):
                raise OSError("no space left on device")
            if end is None:
                sparse.write(file, at, chunk)
            else:
                _overwrite(file, at, chunk)
            at += len(chunk)
        return at

    async def _finish(self, convert: bool) -> None:
        """Make the volume of what was received."""
        if convert:
            await self.converting.wait()
            await self._convert()
        what = "Unable to resize disk image to requested size: "
        await self._validate(self.volume, what)
        if not self.block:
            usable = int((1 - self.overhead) * self.size) // MiB * MiB
            length = max(usable, self.volume.stat().st_size)
            os.truncate(self.volume, length)
            if self.preallocation:
                with self.volume.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, length)

    async def _convert(self) -> None:
        what = "Unable to convert source data to target format: "
        await self._validate(self.scratch, what)
        if self.convert_error and self.convert_failures > 0:
            self.convert_failures -= 1
            raise Failed(f"{what}could not convert image to raw: {self.convert_error}")
        words = ("convert", "-t", "writeback", "-p", "-O", "raw")
        try:
            await qemu.qemu_img(*words, str(self.scratch), str(self.volume))
        except qemu.QemuFailed as exc:
            raise Failed(f"{what}could not convert image to raw: {exc}") from exc
        if self.block:
            os.truncate(self.volume, self.size)

    async def _validate(self, path: Path, what: str) -> None:
        """Refuse by qemu-img's word; every reason is called one of size (A3)."""
        try:
            told = await qemu.info(path)
        except qemu.QemuFailed as exc:
            raise TooLarge(f"{what}{exc}") from exc
        backing = told.get("backing-filename")
        if told["format"] not in FORMATS:
            raise TooLarge(f"{what}Invalid format {told['format']} for image {path}")
        if backing and not Path(backing).exists():
            why = f"Image {path} is invalid because it has invalid backing file {backing}"
            raise TooLarge(what + why)
        if told["virtual-size"] > self.size:
            virtual = f"virtual image size {told['virtual-size']} is larger"
            there = f"than the reported available storage {self.size}"
            raise TooLarge(f"{what}{virtual} {there}. A larger PVC is required")

    async def _process(self, convert: bool) -> None:
        """Finish after the 200: an error ends the process, and nobody is told (A3)."""
        try:
            await self._finish(convert)
        except (TooLarge, Failed) as exc:
            await self._exit(1, f"Saving stream failed: {exc}")
        else:
            self.processing = False
            self._complete()

    def _complete(self) -> None:
        self.done = True
        told = {**COMPLETE, "preallocationApplied": self.preallocation}
        self._tasks.start(self._exit(0, json.dumps(told, separators=(",", ":"))))


def _content(request: web.Request, form: bool) -> body.Chunks:
    if not form:
        return multipart.chunks(request.content)
    return multipart.part(request.content, multipart.boundary(request) or b"", "file")


def _overwrite(file: BinaryIO, at: int, data: bytes) -> None:
    """Write to a device: zeros are punched where something is."""
    file.seek(at)
    if sparse.zeros(data) and sparse.zeros(file.read(len(data))):
        return
    file.seek(at)
    file.write(data)


def _refused(status: int) -> web.Response:
    response = empty(status)
    response.force_close()
    return response


def _failure(exc: Exception) -> web.Response:
    """Return the answer to a failed upload (uploadserver.go:576-589)."""
    larger = "effective image size is larger than the reported available storage: "
    if isinstance(exc, TooLarge):
        return plain(400, f"Saving stream failed: {larger}{exc}")
    return plain(500, f"Saving stream failed: {exc}")
