"""Uploads that go on after a lost connection: what is known of each between two requests.

Nothing is staged: the bytes pass into the import that runs. What was asked for is kept in the
store, so that a client finds its upload again after a restart of the service, at 0. One that is
over is remembered for as long as a client may be away: one that missed the last answer can ask.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import msgspec
import structlog

from importer import config
from importer.errors import Conflict, ImporterError, NotFound, WrongPhase
from importer.jobs.allowance import Allowance, Share
from importer.jobs.images import Images
from importer.jobs.job import Job
from importer.jobs.store import Store
from importer.model import ImageRequest
from importer.sources import Declared
from importer.sources.resumable import Absence, Resumable

log = structlog.get_logger()

KEPT = 1000
"""Uploads that are over and remembered, at most."""


class Asked(msgspec.Struct, frozen=True):
    """What a client asked for when it began an upload."""

    wanted: ImageRequest
    size: int | None
    """Bytes of the whole, if told."""

    metadata: str
    """``Upload-Metadata`` in its own words."""

    declared: Declared | None = None


class _Kept(msgspec.Struct, frozen=True):
    """What the store has of an upload."""

    asked: Asked
    size: int | None
    client: str
    is_new: bool


@dataclass(slots=True, eq=False)
class Upload:
    """One upload, and the import that takes its bytes."""

    id: str
    job: Job
    source: Resumable
    asked: Asked
    is_new: bool
    """The image was made for this upload."""

    share: Share
    """What its client may have for it."""

    used: bool = False
    """Its client has asked for it, so it knows its id."""

    over_since: float | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _leash: asyncio.Timeout | None = None
    _newest: object = None

    def expires_in(self) -> float | None:
        """Return the seconds until it expires if no byte comes; None when it does not any more."""
        is_over = self.source.is_whole or self.job.done.is_set()
        return None if is_over else self.source.expires_in

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

    async def give(self, data: bytes, at: int) -> None:
        """Hand the import *data*, which is at *at*.

        Raises what the import failed with, Conflict, SizeMismatch.
        """
        self.refuse_failed()
        try:
            await self.source.give(data, at)
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

    def __init__(
        self, images: Images, store: Store, allowance: Allowance, settings: config.Upload
    ) -> None:
        self._images = images
        self._store = store
        self._allowance = allowance
        self._settings = settings
        self._uploads: dict[str, Upload] = {}

    async def start(self) -> None:
        """Take up the uploads that the last end of the service interrupted; each stands at 0."""
        for known, content in await self._store.uploads():
            kept = msgspec.json.decode(content, type=_Kept)
            try:
                share = self._allowance.enter(kept.client, kept.size)
                await self._begin(known, kept.asked, kept.size, share, kept.is_new)
            except ImporterError:
                log.exception("an upload cannot be taken up", image=kept.asked.wanted.name)

    async def create(self, asked: Asked, client: str) -> Upload:
        """Name an image, or take one that waits for its bytes, and begin its import.

        One that was asked for in the same words, and not for again since, is one whose client did
        not hear that it was made: without a byte yet it is returned as it is, with some it makes
        way. Raises TooManyUploads, and what `Images.upload` refuses.
        """
        for upload in self.open():
            if upload.asked == asked and not upload.used:
                if upload.untouched:
                    return upload
                if upload.share.client == client:
                    await self.end(upload)
                    break
        share = self._allowance.enter(client, asked.size)
        try:
            if asked.declared:
                await self._images.refuse_unchecked(asked.wanted)
            # 128 random bits: nobody guesses it.
            upload = await self._begin(secrets.token_hex(16), asked, asked.size, share)
        except BaseException:
            share.leave()
            raise
        await self._keep(upload)
        return upload

    async def tell_size(self, upload: Upload, size: int) -> None:
        """Say how many bytes *upload* has in all. Raises Conflict, TooManyUploads."""
        is_news = upload.source.size is None
        upload.source.refuse_end(size)
        upload.share.grow(size)
        if is_news:
            await self._keep(upload, size)
        upload.source.end_at(size)

    def find(self, id: str) -> Upload:
        """Return an upload. Raises NotFound."""
        self._forget_old()
        if id not in self._uploads:
            raise NotFound(
                "no such upload: it ended, or its client stayed away too long; begin a new one"
            )
        self._uploads[id].used = True
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

    async def _begin(
        self, id: str, asked: Asked, size: int | None, share: Share, was_new: bool = False
    ) -> Upload:
        absence = Absence(self._settings.away, self._settings.expires)
        source = Resumable(size, absence, asked.declared)
        job, is_new = await self._images.begin_upload(asked.wanted, source, source.ready)
        upload = self._uploads[id] = Upload(id, job, source, asked, is_new or was_new, share)
        if job.task:
            job.task.add_done_callback(lambda _: share.leave())
        return upload

    async def _keep(self, upload: Upload, size: int | None = None) -> None:
        kept = _Kept(upload.asked, size or upload.source.size, upload.share.client, upload.is_new)
        await self._store.keep_upload(upload.job.image, upload.id, msgspec.json.encode(kept))

    def open(self) -> list[Upload]:
        """Return the uploads that are not over."""
        self._forget_old()
        return [upload for upload in self._uploads.values() if not upload.job.done.is_set()]

    def _forget_old(self) -> None:
        at = asyncio.get_running_loop().time()
        over = [upload for upload in self._uploads.values() if upload.job.done.is_set()]
        for upload in over:
            upload.over_since = upload.over_since or at
        for place, upload in enumerate(reversed(over)):
            if place >= KEPT or at - (upload.over_since or at) > self._settings.expires:
                del self._uploads[upload.id]


def _superseded() -> Conflict:
    return Conflict("a newer request for this upload came; ask it for the offset with HEAD")
