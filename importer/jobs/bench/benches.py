"""The bench of a service: one at a time, for as long as somebody asks how it goes.

Asking is the lease: a client that is killed asks no more, and `LEASE` seconds later the bench ends
and is cleaned up. Whatever ends it, what it made goes: at once, or (the service was killed, the
cluster does not answer) at the service's next start and before the next bench.
"""

import asyncio
import secrets

import msgspec
import structlog

from importer.config import Limits
from importer.errors import (
    BenchBusy,
    CallerError,
    Cancelled,
    ImporterError,
    LimitExceeded,
    NoSpace,
    NotFound,
    ShuttingDown,
)
from importer.jobs.bench.course import Course
from importer.jobs.bench.generated import Pattern
from importer.jobs.bench.ledger import Thing
from importer.jobs.bench.result import Bench, BenchRequest, BenchState, Run
from importer.jobs.timeline import problem_of
from importer.model import Progress, StorageClass, now
from importer.targets import Order, Shelf
from importer.targets.cloning import Clones
from importer.units import MiB, human, round_up

log = structlog.get_logger()

LEASE = 60.0
"""Seconds that a client may be silent."""

GRACE = 10.0
"""Seconds that a service which is told to stop cleans up; its next start does the rest."""

_ACTIVE = (BenchState.RUNNING, BenchState.CLEANING)


class Benches:
    """The bench that runs, or the last one."""

    def __init__(self, course: Course, limits: Limits, lease: float = LEASE) -> None:
        self._course = course
        self._limits = limits
        self._lease = lease
        self._leash: asyncio.Timeout | None = None
        self._bench: Bench | None = None
        self._task: asyncio.Task[None] | None = None
        self._beginning = asyncio.Lock()
        self._stopping = False
        self._left = ""
        """Why something of a bench could not be taken away the last time."""

    async def start(self) -> None:
        """Clean up after a bench that left something; nobody waits for it."""
        if await self.things():
            log.info("cleaning up after a bench")
            self._task = asyncio.create_task(self._recover(), name="bench: cleaning up")

    async def stop(self) -> None:
        """End the bench, and wait a while for its clean-up."""
        self._stopping = True
        self._cancel()
        if self._task:
            _, late = await asyncio.wait([self._task], timeout=GRACE)
            for task in late:
                task.cancel()

    async def begin(self, request: BenchRequest) -> Bench:
        """Begin a bench, once it is sure that it can be run.

        Raises BenchBusy, UnknownStorageClass, CallerError, LimitExceeded, NoSpace, TargetError.
        """
        async with self._beginning:
            await self._refuse_busy()
            size = round_up(request.size, MiB)
            request = msgspec.structs.replace(request, size=size)
            data = Pattern(size, request.data_share).data
            turns = await self._checked(request, data)
            if self._stopping:
                raise ShuttingDown("the service is stopping; try again when it is back")
            self._bench = Bench(
                id=secrets.token_hex(4),
                state=BenchState.RUNNING,
                request=request,
                data=data,
                started_at=now(),
            )
            self._leash = None
            self._task = asyncio.create_task(self._run(turns), name="bench")
            return self._bench

    async def look(self, id: str) -> Bench:
        """Return the bench as it is now; that keeps it going. Raises NotFound."""
        bench = self._known(id)
        if bench.state is BenchState.RUNNING and self._leash and not self._leash.expired():
            self._leash.reschedule(asyncio.get_running_loop().time() + self._lease)
        return await self._live(bench)

    async def end(self, id: str) -> Bench:
        """End the bench, and return it as it is then: it takes a while to clean up.

        Raises NotFound.
        """
        self._known(id)
        self._cancel()
        return self._known(id)

    async def things(self) -> list[Thing]:
        """Return what there may be of a bench, also of an earlier service's."""
        return await self._course.ledger.things()

    def _known(self, id: str) -> Bench:
        if self._bench is None or self._bench.id != id:
            raise NotFound(
                f"no bench {id[:40]}: only the last one is known, until the service stops"
            )
        return self._bench

    def _cancel(self) -> None:
        if self._task and self._bench and self._bench.state is BenchState.RUNNING:
            self._now(state=BenchState.CLEANING, doing="it is ended")
            self._task.cancel()

    # --- before

    async def _refuse_busy(self) -> None:
        if self._bench and self._bench.state in _ACTIVE:
            raise BenchBusy(
                f"bench {self._bench.id} is {self._bench.state}; one at a time can be measured"
            )
        if self._task is None or self._task.done():
            await self.start()
        if self._task is None or self._task.done():
            return
        raise BenchBusy(
            "what an earlier bench has left is being taken away; try again in a while"
            + (f". The last time that failed: {self._left}" if self._left else "")
        )

    async def _checked(self, request: BenchRequest, data: int) -> list[Run]:
        """Return the turns: every class its first, then every class its second."""
        if len(set(request.storage_classes)) < len(request.storage_classes):
            raise CallerError("a storage class is named twice; --runs repeats all of them")
        if request.size > min(self._limits.image_size, self._limits.virtual_size):
            raise LimitExceeded(
                f"a disk of {human(request.size)} is larger than [limits] image_size or "
                "virtual_size allows"
            )
        found = {name: await self._class(name, request, data) for name in request.storage_classes}
        return [
            Run(storage_class=name, backend=of.backend, engine=of.engine, run=number)
            for number in range(1, request.runs + 1)
            for name, of in found.items()
        ]

    async def _class(self, name: str, request: BenchRequest, data: int) -> StorageClass:
        shelf = await self._course.classes.open_to(name)
        shelf.check(Order("", request.namespace, "bench", None, {}))
        found = await shelf.describe()
        needed = _needed(shelf, request.size, data)
        if found.available is not None and found.available < needed:
            raise NoSpace(
                f"storage class {name} has {human(found.available)} free, the disk and its copy "
                f"need {human(needed)}: give a smaller --size or --data-share"
            )
        return found

    # --- while it runs

    async def _run(self, turns: list[Run]) -> None:
        error = await self._broken(turns)
        self._now(state=BenchState.CLEANING, doing="what was made is taken away", progress=None)
        left = await self._clear()
        state = BenchState.ENDED if error else BenchState.DONE
        if left:
            state, error = BenchState.FAILED, left
        self._now(state=state, doing="", error=problem_of(error) if error else None)

    async def _broken(self, turns: list[Run]) -> ImporterError | None:
        """Let every class have its turns; return why that came to no end."""
        try:
            async with asyncio.timeout(self._lease) as self._leash:
                await self._all(turns)
        except TimeoutError:
            return Cancelled(f"nobody asked for {self._lease:g} s how the bench goes")
        except asyncio.CancelledError:
            return Cancelled("the bench was ended before its time")
        except Exception as exc:
            log.exception("a bench broke")
            return exc if isinstance(exc, ImporterError) else ImporterError(f"{exc!r}")
        return None

    async def _all(self, turns: list[Run]) -> None:
        bench = self._known(self._bench.id if self._bench else "")
        request = bench.request
        for number, turn in enumerate(turns, 1):
            shown = f"{turn.storage_class}, run {turn.run} of {request.runs}"
            self._now(doing=shown)

            def tell(doing: str, done: int | None = None, total: int | None = None) -> None:
                progress = None if done is None else Progress(done=done, total=total)
                self._now(doing=f"{shown}: {doing}", progress=progress)  # noqa: B023

            disk = Pattern(request.size, request.data_share, turn.run)
            name = f"bench-{bench.id}-{number}"
            done = await self._course.turn(turn, name, request.namespace, disk, tell)
            self._now(runs=(*self._known(bench.id).runs, done), doing="", progress=None)

    def _now(self, **fields: object) -> None:
        if self._bench:
            self._bench = msgspec.structs.replace(self._bench, **fields)

    async def _live(self, bench: Bench) -> Bench:
        """Return *bench* with how far the import or the copy is that runs now."""
        if bench.state is not BenchState.RUNNING or not (now := await self._course.now()):
            return bench
        words, progress = now
        doing = f"{bench.doing}: {words}" if words else bench.doing
        return msgspec.structs.replace(bench, doing=doing, progress=progress)

    # --- after

    async def _recover(self) -> None:
        await self._clear()

    async def _clear(self) -> ImporterError | None:
        """Take away what was made; return what is in the way."""
        self._left = ""
        try:
            await self._course.clear()
        except (ImporterError, OSError) as exc:
            log.exception("a bench cannot be cleaned up")
            self._left = str(exc)
            return exc if isinstance(exc, ImporterError) else ImporterError(str(exc))
        return None


def _needed(shelf: Shelf, size: int, data: int) -> int:
    """Return the bytes that an image and its copy take at least: zeros may take none."""
    return max(size, 2 * data) if isinstance(shelf, Clones) else size
