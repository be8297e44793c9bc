"""One turn of one class: import the disk, copy the image, take both away."""

import asyncio
import uuid
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from importer.copies import Copies
from importer.errors import ImporterError, NotFound
from importer.jobs.bench.generated import Generated, Pattern
from importer.jobs.bench.ledger import Ledger, Thing
from importer.jobs.bench.result import Copied, Imported, Run
from importer.jobs.images import Images
from importer.jobs.timeline import problem_of
from importer.model import (
    OVER,
    Copy,
    Image,
    ImageRequest,
    Phase,
    Placed,
    Progress,
    Spec,
    UploadSource,
)
from importer.stream.unbroken import unbroken
from importer.targets import Order, Tell
from importer.targets.classes import Classes
from importer.targets.cloning import WHY_NOT, Clones

COUNTED = 15.0
"""Seconds for the watcher of the cluster to count a copy: one whose volume is gone before counts as
deleted."""


@dataclass(frozen=True, slots=True)
class Course:
    """What every turn needs."""

    images: Images
    classes: Classes
    ledger: Ledger
    copies: Copies

    async def turn(self, run: Run, name: str, namespace: str, disk: Pattern, tell: Tell) -> Run:
        """Return *run* with what was found, an error too; what was made is taken away."""
        try:
            image = await self._imported(run.storage_class, namespace, name, disk)
            run = msgspec.structs.replace(run, imported=_told(image, disk.size))
            run = await self._copied(run, image, disk.size, tell)
        except ImporterError as exc:
            run = msgspec.structs.replace(run, error=problem_of(exc))
        tell("what was made is taken away")
        await self.clear()
        return run

    async def now(self) -> tuple[str, Progress | None] | None:
        """Return in words, and in bytes where they are known, how far the import or copy is."""
        things = await self.ledger.things()
        if not things:
            return None
        if things[-1].kind == "copy":
            return self._copying(things[-1])
        try:
            image = await self.images.get(things[-1].namespace, things[-1].name)
        except NotFound:
            return None
        if image.phase in OVER:
            return None
        words = f"{image.phase}: {image.status.doing}" if image.status.doing else f"{image.phase}"
        return words, image.status.progress

    def _copying(self, thing: Thing) -> tuple[str, Progress | None] | None:
        """Return what the watcher knows of a copy that runs; what it does is told already."""
        for copy in self.copies.running():
            if _is(copy, thing) and copy.done:
                return "", Progress(done=copy.done, total=copy.total)
        return None

    async def clear(self) -> None:
        """Take away all that is written down, the last first.

        What one thing raises (ImporterError, OSError) is raised once all have been tried.
        """
        failed: list[ImporterError | OSError] = []
        for thing in reversed(await self.ledger.things()):
            try:
                await (self._remove(thing) if thing.kind == "image" else self._uncopy(thing))
                await self.ledger.cross_off(thing)
            except (ImporterError, OSError) as exc:
                failed.append(exc)
        if failed:
            raise failed[0]

    async def _imported(self, of: str, namespace: str, name: str, disk: Pattern) -> Image:
        """Import *disk* as everybody's images are imported."""
        spec = Spec(source=UploadSource(), storage_class=of, retries=0)
        wanted = ImageRequest(name=name, namespace=namespace, spec=spec)
        await self.ledger.add(Thing("image", of, namespace, name))
        job, _ = await self.images.begin_upload(wanted, Generated(disk), _at_once)
        await job.done.wait()
        if job.error:
            raise job.error
        return job.image

    async def _copied(self, run: Run, image: Image, size: int, tell: Tell) -> Run:
        shelf = self.classes.shelf(run.storage_class)
        if not isinstance(shelf, Clones):
            return msgspec.structs.replace(run, note=WHY_NOT.get(run.backend))
        order = Order(str(uuid.uuid4()), image.namespace, f"{image.name}-copy", None, {})
        thing = Thing("copy", run.storage_class, order.namespace, order.name, order.uid)
        await self.ledger.add(thing)
        loop = asyncio.get_running_loop()
        began = loop.time()
        cloned = await shelf.clone(_placed(image), order, size, tell)
        seconds = loop.time() - began
        if run.backend == "cdi":
            tell("the copy is counted")
            await self._counted(order)
        copied = Copied(
            strategy=cloned.strategy,
            seconds=round(seconds, 3),
            bytes_per_second=round(size / max(seconds, 1e-3), 1),
            bytes=cloned.bytes,
            basis=cloned.basis,
        )
        return msgspec.structs.replace(run, copied=copied, note=cloned.why or None)

    async def _counted(self, order: Order) -> None:
        """Wait until the watcher has seen the end of the copy, if it sees anything."""
        watching = self.copies.watching()
        if not watching or not all(watching.values()):
            return
        with suppress(TimeoutError), self.copies.listener() as news:
            async with asyncio.timeout(COUNTED):
                while not any(_is(copy, order) for copy in self.copies.recent()):
                    await news.batch()

    async def _remove(self, thing: Thing) -> None:
        try:
            await self.images.get(thing.namespace, thing.name)
        except NotFound:
            return
        # One that is being deleted is nobody's to delete again: given up half-way, it would stay.
        await unbroken(self.images.delete(thing.namespace, thing.name))

    async def _uncopy(self, thing: Thing) -> None:
        shelf = self.classes.shelf(thing.storage_class)
        if isinstance(shelf, Clones):
            await shelf.unclone(Order(thing.uid, thing.namespace, thing.name, None, {}))


async def _at_once() -> None:
    """Wait for nothing: the first byte is there."""


def _is(copy: Copy, one: Thing | Order) -> bool:
    return (copy.namespace, copy.name) == (one.namespace, one.name)


def _placed(image: Image) -> Placed:
    if image.status.target is None:
        raise ImporterError(f"image {image.name} is Ready and nowhere")
    return image.status.target


def _told(image: Image, size: int) -> Imported:
    phases = tuple(one for one in image.status.phases if one.name is not Phase.PENDING)
    seconds = sum(one.seconds or 0.0 for one in phases)
    return Imported(
        seconds=round(seconds, 3),
        bytes_per_second=round(size / max(seconds, 1e-3), 1),
        phases=phases,
        wire=image.status.plan.wire if image.status.plan else None,
    )
