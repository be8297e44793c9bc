"""Runs imports: a bounded number at a time, again after what may pass, never after what will not.

Every image that is not over has one task here, or waits for its upload. A try that fails is
aborted on the target before anybody hears of it. Cancelling works in every phase, up to the moment
in which the target has the whole image: from there on it becomes Ready. After a crash, what was
running is aborted and queued again, and deletes that were begun are finished.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

from importer.config import Config
from importer.errors import (
    Cancelled,
    ClientAway,
    ImageNotInOrder,
    ImporterError,
    ShuttingDown,
    TooManyUploads,
    WrongPhase,
)
from importer.jobs.arrival import Arrival, Inspect
from importer.jobs.attempt import Attempt
from importer.jobs.events import Event, Hub
from importer.jobs.into import Into
from importer.jobs.job import Job
from importer.jobs.learning import Learning
from importer.jobs.lending import Lending
from importer.jobs.outbound import Outbound
from importer.jobs.queue import FairQueue, Turn
from importer.jobs.spool import Spool
from importer.jobs.store import Record, Store
from importer.jobs.timeline import Speed, entered, failed, lasted, seconds_in
from importer.metrics import ClassMetrics
from importer.model import OVER, RUNNING, Image, Phase, Status, UploadSource, now
from importer.plan import Reach
from importer.sources import Source
from importer.stream.unxz import Room
from importer.targets import Finished, Order, Place, Shelf, Tell, untold
from importer.targets.classes import Classes

log = structlog.get_logger()

TICK = 0.25
"""Seconds between two looks at how far running imports are."""

GUESTS = 32
"""Uploads into objects of somebody else's that run at the same time: these wait for their bytes
already, Longhorn's for 60 seconds, so they are not kept behind imports of hours."""

OpenUrl = Callable[[Record], Source]
"""Return the source of a record whose image is fetched from a URL."""

MetricsOf = Callable[[Image], ClassMetrics]


class Runner:
    """The imports of one service."""

    def __init__(
        self,
        config: Config,
        store: Store,
        classes: Classes,
        spool: Spool,
        inspect: Inspect,
        open_url: OpenUrl,
        metrics_of: MetricsOf,
        hub: Hub,
    ) -> None:
        self._config = config
        self._store = store
        self._classes = classes
        self._spool = spool
        self._inspect = inspect
        self._open_url = open_url
        self._metrics_of = metrics_of
        self._hub = hub
        self._queue = FairQueue(config.jobs.workers)
        self._guests = FairQueue(GUESTS)
        self._room = Room()
        self._jobs: dict[str, Job] = {}
        self.learning = Learning(store, classes)
        """What the classes do in a second, from the imports that have succeeded."""

        self._ticker: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Clean up after a crash, queue again what was running, and go on."""
        for record in await self._store.all():
            try:
                await self._recover(record)
            except (ImporterError, OSError):  # of one image, as its class being configured no more
                log.exception("an image cannot be taken up", image=record.image.name)
        self._ticker = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Stop every import where it stands; the next start takes them up again."""
        self._stopping = True
        for job in self._jobs.values():
            if job.task and not job.whole:
                job.task.cancel()
        tasks = [job.task for job in self._jobs.values() if job.task]
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._ticker:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)

    def refuse_when_stopping(self) -> None:
        """Raise ShuttingDown once the service is told to stop."""
        if self._stopping:
            raise ShuttingDown("the service is stopping; try again when it is back")

    def begin(self, record: Record) -> Job:
        """Import *record*'s image from its URL, when its turn comes."""
        return self._begin(record.image, lambda: self._open_url(record))

    def begin_upload(
        self,
        image: Image,
        body: Source,
        ready: Callable[[], Awaitable[None]] | None = None,
        into: Into | None = None,
    ) -> Job:
        """Import *image* from *body*, once it is *ready*. Raises TooManyUploads, WrongPhase."""
        waiting = sum(job.is_waiting_upload and not job.ready for job in self._jobs.values())
        if not ready and waiting >= self._config.jobs.waiting_uploads:
            raise TooManyUploads(f"{waiting} uploads wait already; try again in a while")
        return self._begin(image, lambda: body, ready, into)

    @property
    def waiting(self) -> int:
        """How many imports wait for a worker."""
        return self._queue.waiting

    def is_running(self, image: Image) -> bool:
        """Say whether somebody works on *image*."""
        return image.uid in self._jobs

    async def cancel(self, image: Image) -> Image:
        """Stop the import of *image* and leave nothing of it. Raises WrongPhase."""
        job = self._jobs.get(image.uid)
        if job is None:
            return await self._cancel_idle(image)
        if job.whole or job.task is None:
            raise WrongPhase(f"image {image.name} is whole already; delete it instead")
        job.cancelled = True
        job.task.cancel()
        await job.done.wait()
        if job.image.phase is not Phase.CANCELLED:
            raise WrongPhase(f"image {image.name} became {job.image.phase} in the same moment")
        return job.image

    async def delete(self, record: Record) -> None:
        """Stop, remove from the target, and forget.

        Raises NotFound when its class is gone, TargetError when the target does not let go of it:
        then the image stays.
        """
        image = record.image
        self.shelf_of(image)
        await self._store.doom(image)
        job = self._jobs.get(image.uid)
        if job and job.task and not job.whole:
            job.cancelled = True
            job.task.cancel()
        if job:
            await job.done.wait()
        try:
            await self._remove(job.image if job else image)
        except (ImporterError, OSError):
            await self._store.spare(image)
            raise

    def live(self, image: Image) -> Image:
        """Return *image* with the progress of this moment."""
        job = self._jobs.get(image.uid)
        return image if job is None else job.live(image)

    def shelf_of(self, image: Image) -> Shelf:
        """Return the shelf that *image* is on or goes to. Raises NotFound."""
        return self._classes.shelf(self._class_of(image))

    def _class_of(self, image: Image) -> str:
        return image.spec.storage_class or self._classes.default

    def _begin(
        self,
        image: Image,
        source: Callable[[], Source],
        ready: Callable[[], Awaitable[None]] | None = None,
        into: Into | None = None,
    ) -> Job:
        if image.uid in self._jobs:
            raise WrongPhase(f"image {image.name} is being imported already")
        self.refuse_when_stopping()
        job = self._jobs[image.uid] = Job(image, ready=ready, into=into)
        self._metrics_of(image).entered(image.phase)
        self._publish(image)
        job.task = asyncio.create_task(self._run(job, source), name=f"import {image.name}")
        return job

    async def _run(self, job: Job, source: Callable[[], Source]) -> None:
        try:
            await self._until_over(job, source)
        except asyncio.CancelledError:
            if job.cancelled:
                await _through(self._give_up(job, None))
            else:
                job.error = ShuttingDown("the service is stopping; send again when it is back")
        except Exception as exc:
            log.exception("an import's record cannot be kept", image=job.image.name)
            job.error = ImporterError(f"{type(exc).__name__}: {exc}")
        finally:
            del self._jobs[job.image.uid]
            self._metrics_of(job.image).left(job.image.phase)
            job.received.set()
            job.done.set()

    async def _until_over(self, job: Job, source: Callable[[], Source]) -> None:
        while True:
            if await self._try(job, source()):
                return
            await asyncio.sleep(self._backoff(job.tries))

    async def _try(self, job: Job, source: Source) -> bool:
        """Make one try when its turn comes; say whether the image is over."""
        lane = (job.image.namespace, type(job.image.spec.source))
        try:
            if job.ready:
                await job.ready()
            async with (self._guests if job.into else self._queue).turn(lane) as turn:
                await self._import(job, self._lending(job, source, turn))
        except ImporterError as exc:
            return await self._failed(job, exc, source)
        except Exception as exc:
            log.exception("import broke", image=job.image.name)
            error = ImporterError(f"{type(exc).__name__}: {exc}")
            return await self._failed(job, error, source)
        else:
            return True
        finally:
            await source.close()

    def _lending(self, job: Job, source: Source, turn: Turn) -> Source:
        if not job.ready:
            return source
        return Lending(source, turn, self._config.upload.rest, job.tell_away)

    async def _import(self, job: Job, source: Source) -> None:
        place = job.into.place(job.tell) if job.into else self._place(job.image, job.tell)
        job.attempt = Attempt(
            job.image,
            source,
            place,
            await self._arrival(job),
            lambda phase, **fields: self._enter(job, phase, fields),
            self._metrics_of(job.image),
        )
        job.speed = Speed()
        try:
            finished = await job.attempt.run()
            job.whole = True
        except BaseException:
            job.left = not await _through(self._abort(job.image, place))
            raise
        finally:
            await _through(self._spool.clear(job.image.uid))
        await _through(self._succeed(job, finished, place))

    async def _arrival(self, job: Job) -> Arrival:
        once = isinstance(job.image.spec.source, UploadSource)  # asked twice only if need be
        accepts = job.into.accepts if job.into else self.shelf_of(job.image).accepts
        rates = await self.learning.rates_for(job)
        is_here = "raw" in accepts.wires
        return Arrival(
            job.image.spec.format,
            accepts,
            rates,
            self._inspect,
            self._config.limits,
            self._room,
            Reach(shuffled=job.shuffled),
            job.image.spec.virtual_size,
            None if is_here else Outbound(job.image.uid, accepts, rates, self._spool, once),
        )

    async def _succeed(self, job: Job, finished: Finished, place: Place) -> None:
        status = msgspec.structs.replace(
            job.image.status,
            format=finished.info.format,
            virtual_size=finished.info.virtual_size,
            target=finished.placed,
        )
        await self._move(job, Phase.READY, entered(status, Phase.READY, now()))
        await place.settle()
        await self.learning.learn(job)
        metrics = self._metrics_of(job.image)
        seconds = seconds_in(job.image.status, Phase.TRANSFERRING) or 0.0
        metrics.transferred(finished.info.virtual_size or 0, seconds)
        metrics.ended("ready")
        log.info(
            "image is ready",
            image=job.image.name,
            format=finished.info.format,
            size=job.image.status.size,
            virtual_size=finished.info.virtual_size,
        )

    async def _failed(self, job: Job, error: ImporterError, source: Source) -> bool:
        """Decide what becomes of *job* after a try that failed; say whether it is over."""
        if isinstance(error, ImageNotInOrder) and not job.shuffled:
            job.shuffled = str(error)
            passes = source.rereadable
        else:
            passes = error.retryable and source.rereadable and self._may_retry(job, error)
        job.away = False
        if passes:
            self._metrics_of(job.image).retried(error.slug)
            log.warning("trying again", image=job.image.name, error=str(error))
            status = failed(job.image.status, Phase.PENDING, error, now())
            await self._move(job, Phase.PENDING, status, outcome="retried")
            return False
        await self._give_up(job, error)
        return True

    def _may_retry(self, job: Job, error: ImporterError) -> bool:
        if job.away or isinstance(error, ClientAway):
            job.absences += 1  # the next try begins when its client is back, and not before
            return True
        return job.tries <= job.image.spec.retries

    async def _give_up(self, job: Job, error: ImporterError | None) -> None:
        """End *job* as failed, or as cancelled when there is no error."""
        phase = Phase.FAILED if error else Phase.CANCELLED
        job.error = error or Cancelled(f"the import of {job.image.name} was cancelled")
        outcome = phase.value.lower()
        job.image = (await self._record(job.image)).image
        status = failed(job.image.status, phase, error, now())
        await self._move(job, phase, status, outcome=outcome)
        self._metrics_of(job.image).ended(outcome, error.slug if error else "")
        log.warning(f"image is {outcome}", image=job.image.name, error=str(job.error))

    async def _enter(self, job: Job, phase: Phase, fields: dict[str, Any]) -> None:
        if phase is Phase.INSPECTING:
            fields["attempt"] = job.image.status.attempt + 1
        if phase is Phase.PROCESSING:
            job.received.set()
        if phase is Phase.TRANSFERRING:
            job.speed = Speed()
        job.doing = None
        status = msgspec.structs.replace(job.image.status, **fields)
        await self._move(job, phase, entered(status, phase, now()))

    async def _move(self, job: Job, phase: Phase, status: Status, outcome: str = "done") -> None:
        before = job.image.status
        metrics = self._metrics_of(job.image)
        job.image = await self._store.move(job.image, phase, status)
        metrics.left(before.phase)
        metrics.entered(phase)
        # Of the status before: one that goes back to Pending has a new list.
        seconds = lasted(before, now())
        if seconds is not None:
            metrics.phase(before.phase, outcome, seconds)
        self._publish(job.image)

    async def _cancel_idle(self, image: Image) -> Image:
        if image.phase is not Phase.PENDING:
            raise WrongPhase(f"image {image.name} is {image.phase}; nothing runs")
        status = failed(image.status, Phase.CANCELLED, None, now())
        cancelled = await self._store.move(image, Phase.CANCELLED, status)
        self._publish(cancelled)
        return cancelled

    async def _recover(self, record: Record) -> None:
        image = record.image
        if image.phase not in OVER and _is_guest(image):
            await self._spool.clear(image.uid)
            await self._store.remove(image)  # its client sends it again, or never comes back
            return
        if record.deleting:
            await self._delete_again(image)
            return
        self.shelf_of(image)
        if image.phase is Phase.READY:
            await self._place(image).settle()
        elif image.phase in RUNNING:
            await self._abort(image, self._place(image))
            status = entered(image.status, Phase.PENDING, now())
            record = Record(await self._store.move(image, Phase.PENDING, status), record.secret)
        waits = record.image.phase is Phase.PENDING
        if waits and not isinstance(image.spec.source, UploadSource):
            self.begin(record)

    async def _delete_again(self, image: Image) -> None:
        """Finish a delete that was cut off; what is not let go of now is shown, to be asked again.

        One that was being made has nobody who makes it: it is Cancelled.
        """
        try:
            self.shelf_of(image)
            await self._remove(image)
        except (ImporterError, OSError):
            await self._store.spare(image)
            if image.phase not in OVER:
                status = failed(image.status, Phase.CANCELLED, None, now())
                await self._store.move(image, Phase.CANCELLED, status)
            raise

    async def _remove(self, image: Image) -> None:
        place = self._place(image)
        await self._clear(image, place) if image.phase is not Phase.READY else await place.settle()
        if image.status.target and image.phase is Phase.READY:
            await self.shelf_of(image).remove(_order(image), image.status.target)
        await self._store.remove(image)
        self._hub.publish(Event(image, deleted=True))

    async def _clear(self, image: Image, place: Place) -> None:
        await self._spool.clear(image.uid)
        await place.abort()

    async def _abort(self, image: Image, place: Place) -> bool:
        """Leave nothing of a try; say whether that worked. What stays goes with the record."""
        try:
            await self._clear(image, place)
        except (ImporterError, OSError):
            log.exception("cleaning up failed", image=image.name)
            return False
        return True

    async def _record(self, image: Image) -> Record:
        """Read *image* again: a move may have been written while its caller was cancelled."""
        return await self._store.get(image.namespace, image.name)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for job in self._jobs.values():
                if job.attempt and (job.doing or job.attempt.done):
                    self._publish(job.image)

    def _place(self, image: Image, tell: Tell = untold) -> Place:
        return self.shelf_of(image).place(_order(image), tell)

    def _publish(self, image: Image) -> None:
        job = self._jobs.get(image.uid)
        sent = job.attempt.sent if job and job.attempt else 0
        self._hub.publish(Event(self.live(image), sent=sent))

    def _backoff(self, attempt: int) -> float:
        jobs = self._config.jobs
        longest = min(jobs.backoff * 2 ** max(0, attempt - 1), jobs.backoff_most)
        return random.uniform(longest / 2, longest)  # noqa: S311  # jitter, no secret


async def _through(work: Any) -> Any:
    """Await *work* to its end even when the caller is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
    return task.result()


def _is_guest(image: Image) -> bool:
    """Say whether its bytes go into an object of somebody else's."""
    return isinstance(image.spec.source, UploadSource) and image.spec.source.into is not None


def _order(image: Image) -> Order:
    return Order(image.uid, image.namespace, image.name, image.spec.format, image.spec.target)
