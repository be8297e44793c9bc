"""What people do with images: make, upload, look, cancel, retry, delete.

A request that fails leaves the store as it was before it, but for one thing: an image that existed
already says that it failed, and why.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, get_args

import msgspec

from importer.errors import CallerError, NameTaken, NotFound, WrongPhase
from importer.jobs.events import Event, Hub
from importer.jobs.into import Into
from importer.jobs.job import Job
from importer.jobs.runner import Runner
from importer.jobs.store import Record, Store
from importer.jobs.timeline import entered
from importer.model import (
    Format,
    Image,
    ImageRequest,
    Phase,
    Spec,
    Status,
    StorageClass,
    UploadSource,
    WantedFormat,
    Wire,
    now,
)
from importer.sources import Source
from importer.sources.sealed import public, seal_source
from importer.sources.secrets import Seal
from importer.targets import Accepts, Order
from importer.targets.classes import Classes

Settle = Callable[[Spec], Awaitable[Spec]]
"""Refuse a spec whose source can never be read; return it with the checksum that was looked up.

Raises CallerError, AddressRefused, SourceError.
"""


class Images:
    """All images of one service."""

    def __init__(
        self,
        store: Store,
        runner: Runner,
        classes: Classes,
        seal: Seal,
        hub: Hub,
        settle: Settle,
    ) -> None:
        self._store = store
        self._runner = runner
        self._classes = classes
        self._seal = seal
        self._hub = hub
        self._settle = settle

    async def classes(self) -> list[StorageClass]:
        """Return the storage classes, the default first."""
        return [
            msgspec.structs.replace(
                entry,
                rates=await self._runner.learning.rates_of(entry.name),
                **_accepted(self._classes.accepts(entry.name)),
            )
            for entry in await self._classes.renew()
        ]

    async def list(self, namespace: str | None = None) -> list[Image]:
        """Return the images of *namespace* (None: of all), oldest first."""
        return [
            self._runner.live(record.image)
            for record in await self._store.all()
            if not record.deleting and namespace in (None, record.image.namespace)
        ]

    async def get(self, namespace: str, name: str) -> Image:
        """Return one image. Raises NotFound."""
        return self._runner.live((await self._existing(namespace, name)).image)

    async def create(self, request: ImageRequest, into: Into | None = None) -> Image:
        """Remember a new image; one with a URL is imported when its turn comes.

        Raises NameTaken, UnknownStorageClass, CallerError, AddressRefused, SourceError.
        """
        self._runner.refuse_when_stopping()
        if fills(request.spec) and into is None:
            raise CallerError("spec.source.into is only for the service itself to say")
        record = await self._record(request, into)
        await self._store.add(record.image, record.secret)
        self._hub.publish(Event(record.image))
        if not isinstance(record.image.spec.source, UploadSource):
            self._runner.begin(record)
        return record.image

    async def upload(
        self, wanted: ImageRequest, body: Source, patience: float, into: Into | None = None
    ) -> Image:
        """Import the image that *wanted* names from *body*; it is made when it is new.

        *into*: an object that is there already and takes the bytes. Returns the image Ready, or as
        it is *patience* seconds after the last byte while the target still works. Raises what the
        import failed with.
        """
        image, is_new = await self._for_upload(wanted, into)
        try:
            job = self._runner.begin_upload(image, body, into=into)
            await job.received.wait()
            if not await _over_within(job, patience):
                return self._runner.live(job.image)
        except BaseException:
            await self._forget(image, is_new)
            raise
        if job.error:
            await self._forget(job.image, is_new and not job.left)
            raise job.error
        return job.image

    async def begin_upload(
        self, wanted: ImageRequest, body: Source, ready: Callable[[], Awaitable[None]]
    ) -> tuple[Job, bool]:
        """Begin to import the image that *wanted* names once *body* is *ready*.

        Returns the job, and whether the image was made for it. An import that fails keeps its
        record: its client need not be there to be told.
        """
        image, is_new = await self._for_upload(wanted)
        try:
            return self._runner.begin_upload(image, body, ready), is_new
        except BaseException:
            await self._forget(image, is_new)
            raise

    async def refuse_unchecked(self, wanted: ImageRequest) -> None:
        """Raise CallerError when the image asks for a checksum that its client did not compare.

        For a disk in another form than its file has: only who has the file can hash it.
        """
        if wanted.spec.checksum:
            return
        with suppress(NotFound):
            if checksum := (await self.get(wanted.namespace, wanted.name)).spec.checksum:
                raise CallerError(
                    f"image {wanted.name} has checksum {checksum}: compare it with your file and "
                    "name it as well, or send the file as it is"
                )

    async def cancel(self, namespace: str, name: str) -> Image:
        """Stop an import and leave nothing of it. Raises NotFound, WrongPhase."""
        return await self._runner.cancel((await self._existing(namespace, name)).image)

    async def retry(self, namespace: str, name: str) -> Image:
        """Queue a failed image again. Raises NotFound, WrongPhase."""
        self._runner.refuse_when_stopping()
        record = await self._existing(namespace, name)
        if record.image.phase is not Phase.FAILED:
            raise WrongPhase(f"image {name} is {record.image.phase}; only Failed is tried again")
        if into := fills(record.image.spec):
            raise WrongPhase(f"image {name} fills {into}: its client has to send it again")
        image = await self._again(record.image)
        if not isinstance(image.spec.source, UploadSource):
            self._runner.begin(Record(image, record.secret))
        return image

    async def delete(self, namespace: str, name: str) -> None:
        """Cancel if running, remove from the target, and forget. Raises NotFound."""
        await self._runner.delete(await self._existing(namespace, name))

    async def _existing(self, namespace: str, name: str) -> Record:
        record = await self._store.get(namespace, name)
        if record.deleting:
            raise NotFound(f"image {name} in namespace {namespace} is being deleted")
        return record

    async def _record(self, request: ImageRequest, into: Into | None) -> Record:
        """Return the record of a new image: everything checked, its source's secrets sealed."""
        storage_class = request.spec.storage_class or self._classes.default
        shelf = await self._classes.open_to(storage_class)
        backend = into.backend if into else self._classes.described(storage_class).backend
        if request.spec.backend not in (None, backend):
            raise CallerError(
                f"storage class {storage_class} has backend {backend}, "
                f"spec.backend says {request.spec.backend}"
            )
        spec = await self._settle(request.spec)
        secret = seal_source(spec.source, self._seal)
        spec = msgspec.structs.replace(
            spec, source=public(spec.source), storage_class=storage_class, backend=backend
        )
        created = now()
        image = Image(
            name=request.name,
            namespace=request.namespace,
            uid=str(uuid.uuid4()),
            created_at=created,
            spec=spec,
            status=entered(Status(), Phase.PENDING, created),
        )
        if into is None:
            shelf.check(Order(image.uid, image.namespace, image.name, spec.format, spec.target))
        return Record(image, secret)

    async def _for_upload(
        self, wanted: ImageRequest, into: Into | None = None
    ) -> tuple[Image, bool]:
        """Return the image that an upload goes to, and whether it was made for it."""
        try:
            record = await self._existing(wanted.namespace, wanted.name)
        except NotFound:
            return await self.create(wanted, into), True
        image = record.image
        same = fills(image.spec) == fills(wanted.spec)
        if into and same and image.phase in (Phase.READY, Phase.CANCELLED):
            await self._runner.delete(record)  # the object itself says whether it takes another
            return await self.create(wanted, into), True
        _refuse_upload(image, wanted.spec, self._runner.is_running(image))
        return (await self._again(image) if image.phase is Phase.FAILED else image), False

    async def _again(self, image: Image) -> Image:
        status = msgspec.structs.replace(
            entered(image.status, Phase.PENDING, now()), error=None, attempt=0
        )
        moved = await self._store.move(image, Phase.PENDING, status)
        self._hub.publish(Event(moved))
        return moved

    async def _forget(self, image: Image, is_new: bool) -> None:
        """Remove an image that was made for an upload which failed."""
        if is_new and not self._runner.is_running(image):
            await self._store.remove(image)
            self._hub.publish(Event(image, deleted=True))


def _accepted(accepts: Accepts) -> dict[str, Any]:
    """Return what *accepts* says, as fields of a StorageClass; sets in the order of their type."""
    return {
        "wires": tuple(wire for wire in get_args(Wire) if wire in accepts.wires),
        "formats": tuple(known for known in Format if known in accepts.formats),
        "stores": tuple(known for known in get_args(WantedFormat) if known in accepts.stores),
        "converts": accepts.converts,
        "hashes": accepts.hashes,
        "exact": accepts.exact,
        "libqcow": accepts.libqcow,
    }


def fills(spec: Spec) -> str | None:
    """Return the object of somebody else's that an image's bytes go into."""
    return spec.source.into if isinstance(spec.source, UploadSource) else None


async def _over_within(job: Job, patience: float) -> bool:
    try:
        async with asyncio.timeout(patience):
            await job.done.wait()
    except TimeoutError:
        return False
    return True


def _refuse_upload(image: Image, wanted: Spec, is_running: bool) -> None:
    """Raise unless *image* waits for an upload such as *wanted*."""
    if image.phase in (Phase.READY, Phase.CANCELLED):
        raise NameTaken(f"image {image.name} exists ({image.phase}); delete it or choose another")
    if not isinstance(image.spec.source, UploadSource):
        raise WrongPhase(f"image {image.name} is fetched by the service, not uploaded")
    if fills(image.spec) != fills(wanted):
        raise WrongPhase(f"image {image.name} fills {fills(image.spec)}: upload it there")
    if is_running or image.phase not in (Phase.PENDING, Phase.FAILED):
        raise NameTaken(f"image {image.name} is being uploaded already")
    for asked, has, field in (
        (wanted.storage_class, image.spec.storage_class, "storageClass"),
        (wanted.format, image.spec.format, "format"),
        (wanted.checksum, image.spec.checksum, "checksum"),
    ):
        if asked is not None and asked != has:
            raise CallerError(f"{field} is {asked} here, but image {image.name} has {has}")
    if wanted.target and wanted.target != image.spec.target:
        raise CallerError(
            f"target is {wanted.target} here, but image {image.name} has {image.spec.target}"
        )
