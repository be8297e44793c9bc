"""CDI's upload server: one pod, one volume, one upload (facts, A3; transcripts ``cdi-*``)."""

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from tests.servers import multipart
from tests.servers.cdi import body
from tests.servers.cdi.processor import Failed, Processor, TooLarge
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


class Panicked(Exception):
    """The handler ended without an answer, and with the server still `uploading`."""


class PodGone(Exception):
    """The pod was killed while it worked."""


@dataclass
class UploadServer(Processor):
    """One upload server and its volume. Its faults are fields."""

    kill_after: int | None = None
    """Bytes after which the pod is killed, once."""

    certificates: tuple[ssl.SSLContext, str] | None = None
    """With it, connections are TLS, and only a client of that name is served."""

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
        super().__post_init__()
        self.exiting.set()
        self._tasks = Tasks()
        self._listener: Listening | None = None

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
            convert = await self.save(self._counted(_content(request, form)))
        except multipart.UnexpectedEnd as exc:
            raise Failed("unexpected EOF") from exc
        if asynchronous:
            await self.validate(self.scratch if convert else self.volume, "")
        else:
            await self.finish(convert)
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

    async def _process(self, convert: bool) -> None:
        """Finish after the 200: an error ends the process, and nobody is told (A3)."""
        try:
            await self.finish(convert)
        except (TooLarge, Failed) as exc:
            # TerminationMessageFallbackToLogsOnError: the last words of its log (A5).
            await self._exit(
                1, f"Error during resumed processing: {exc}\nUploadServer failed: {exc}"
            )
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
