"""Uploads that go on after a lost connection: what is known of each between two requests.

In memory only: an upload lives as long as its import, and no import outlives the service. Nothing
is staged; the bytes pass into the import that runs. An upload that is over is remembered for as
long as a client may be away, so that one which missed the last answer can still ask.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from importer import config
from importer.errors import Conflict, NotFound, TooManyUploads, WrongPhase
from importer.jobs.images import Images
from importer.jobs.runner import Job
from importer.model import ImageRequest
from importer.sources import Declared
from importer.sources.resumable import Resumable

KEPT = 1000
"""Uploads that are over and remembered, at most."""


@dataclass(slots=True, eq=False)
class Upload:
    """One upload, and the import that takes its bytes."""

    job: Job
    source: Resumable
    is_new: bool
    """The image was made for this upload."""

    asks: tuple[ImageRequest, int | None, str]
    """What it was made for: the image, the bytes of the whole if told, ``Upload-Metadata``."""

    client: str
    """Address that made it."""

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    """128 random bits: nobody guesses it."""

    over_since: float | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _leash: asyncio.Timeout | None = None
    _newest: object = None

    @property
    def untouched(self) -> bool:
        """Say whether no byte of it has ever come."""
        return self.job.is_waiting_upload and not self.source.offset and self._newest is None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have the upload alone: whoever has it now is sent away, for its client is back.

        A lost connection can look alive for minutes; the newest request tells where the client
        is. Raises Conflict when a newer one comes.
        """
        self._newest = mine = object()
        self._send_away()
        async with self._lock:
            if self._newest is not mine:
                raise _superseded()
            try:
                async with asyncio.timeout(None) as leash:
                    self._leash = leash
                    yield
            except TimeoutError as exc:
                raise (_superseded() if leash.expired() else exc) from exc
            finally:
                self._leash = None

    async def give(self, data: bytes) -> None:
        """Hand *data* to the import. Raises what the import failed with, Conflict, SizeMismatch."""
        self.refuse_failed()
        try:
            await self.source.give(data)
        except Conflict:
            if self.job.cancelled:
                await self.job.done.wait()
            self.refuse_failed()
            raise

    def refuse_failed(self) -> None:
        """Raise what the import failed with, if it has."""
        if self.job.error:
            raise self.job.error

    def _send_away(self) -> None:
        if self._leash:
            self._leash.reschedule(asyncio.get_running_loop().time())
            self._leash = None


class Uploads:
    """All resumable uploads of one service."""

    def __init__(self, images: Images, settings: config.Upload) -> None:
        self._images = images
        self._settings = settings
        self._uploads: dict[str, Upload] = {}

    async def create(
        self,
        wanted: ImageRequest,
        size: int | None,
        metadata: str,
        client: str,
        declared: Declared | None = None,
    ) -> Upload:
        """Name an image, or take one that waits for its bytes, and begin its import.

        One that was asked for in the same words and has no byte yet is returned as it is: its
        client did not hear that it was made. Raises TooManyUploads, and what `Images.upload`
        refuses.
        """
        for upload in self._running():
            if upload.untouched and upload.asks == (wanted, size, metadata):
                return upload
        self._refuse_many(client)
        if declared:
            await self._images.refuse_unchecked(wanted)
        source = Resumable(size, self._settings.away, declared)
        job, is_new = await self._images.begin_upload(wanted, source, source.ready)
        upload = Upload(job, source, is_new, (wanted, size, metadata), client)
        self._uploads[upload.id] = upload
        return upload

    def find(self, id: str) -> Upload:
        """Return an upload. Raises NotFound."""
        self._forget_old()
        if id not in self._uploads:
            raise NotFound(
                "no such upload: it ended, its client stayed away too long, or the service was "
                "started again; begin a new one"
            )
        return self._uploads[id]

    async def end(self, upload: Upload) -> None:
        """Forget *upload*, and leave nothing of an image that is not whole yet."""
        self._uploads.pop(upload.id, None)
        if upload.job.done.is_set():
            return
        image = upload.job.image
        with suppress(WrongPhase, NotFound):  # it became whole, or somebody was faster
            await self._images.cancel(image.namespace, image.name)
            if upload.is_new:
                await self._images.delete(image.namespace, image.name)

    def _refuse_many(self, client: str) -> None:
        has = sum(upload.client == client for upload in self._running())
        most = self._settings.per_client
        if most and has >= most:
            raise TooManyUploads(
                f"{has} uploads from {client} are open, [upload] per_client allows {most}; "
                "finish some of them first"
            )

    def _running(self) -> Iterator[Upload]:
        self._forget_old()
        return (upload for upload in self._uploads.values() if not upload.job.done.is_set())

    def _forget_old(self) -> None:
        at = asyncio.get_running_loop().time()
        over = [upload for upload in self._uploads.values() if upload.job.done.is_set()]
        for upload in over:
            upload.over_since = upload.over_since or at
        for place, upload in enumerate(reversed(over)):
            if place >= KEPT or at - (upload.over_since or at) > self._settings.away:
                del self._uploads[upload.id]


def _superseded() -> Conflict:
    return Conflict("a newer request for this upload came; ask it for the offset with HEAD")
