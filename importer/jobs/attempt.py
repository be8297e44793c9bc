"""One try at making one image: the path from its source to its target, phase by phase.

A try that fails leaves the place to be aborted by whoever ran it; the next try is a new path.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import msgspec

from importer.errors import CorruptImage, SizeMismatch
from importer.jobs.arrival import Arrival
from importer.jobs.cargo import Cargo
from importer.metrics import ClassMetrics
from importer.model import Checksum, Image, ImageInfo, Phase, Rates, Step
from importer.plan import choose
from importer.sources import Declared, Opened, Source
from importer.stream.extent import Layout
from importer.stream.hashed import Digests
from importer.stream.meter import Meter
from importer.stream.pipe import Pipe
from importer.targets import Finished, Place, Written

Enter = Callable[..., Awaitable[None]]
"""``await enter(phase, **fields of the status)``: the image goes to its next phase."""


@dataclass(slots=True)
class Attempt:
    """One try. `done` of `total` bytes have passed."""

    image: Image
    source: Source
    place: Place
    arrival: Arrival
    enter: Enter
    metrics: ClassMetrics
    total: int | None = None
    """Bytes of the published file; of the disk, where a client sends that without its zeros."""

    cargo: Cargo | None = None
    """What came, once that is known."""

    written: Written | None = None
    """What arrived, once all of it has."""

    meter: Meter = field(init=False)
    """What comes from the source."""

    _sent: Meter = field(default_factory=Meter)
    """What comes from the service's own disk, once the file lies there."""

    _given: Meter = field(init=False)
    """What is handed to the place, in the form in which it travels."""

    _told: int | None = None

    def __post_init__(self) -> None:
        metrics = self.metrics
        self.meter = Meter(
            lambda size: metrics.passed("source", size),
            awaited=lambda seconds: metrics.stalled("source", seconds),
        )
        self._given = Meter(
            lambda size: metrics.passed("wire", size),
            held=lambda seconds: metrics.stalled("target", seconds),
        )

    @property
    def done(self) -> int:
        """Bytes of `total` so far."""
        if self._told is not None:
            return self._told
        return self._transferred.size

    @property
    def sent(self) -> int:
        """Bytes that went to the target, in the form in which they travel."""
        return self._given.size

    @property
    def waited(self) -> float:
        """Seconds of the transfer in which the target waited for bytes."""
        return self._transferred.upstream

    @property
    def _transferred(self) -> Meter:
        return self._sent if self.cargo and self.cargo.spooled else self.meter

    async def run(self) -> Finished:
        """Make the image and return what was made; the place is not settled yet."""
        await self.enter(Phase.INSPECTING)
        opened = await self.source.open()
        self.total = opened.size
        self.arrival.refuse_large(opened.size or 0)
        digests = Digests(_algorithms(self.image.spec.checksum))
        self.written = await self._transfer(opened, digests)
        size, checksums = self._verified(opened, digests)
        await self.enter(Phase.PROCESSING, size=size, checksums=checksums)
        finished = self._as_published(await self.place.finish(), opened.declared)
        self._refuse_other_size(finished.info)
        self._count(self.written, finished.info.virtual_size or 0)
        return finished

    def steps(self, rates: Rates, virtual_size: int | None) -> tuple[Step, ...]:
        """Return what this try, which is over, should have cost at *rates*, knowing all sizes."""
        cargo, written = self.cargo, self.written
        if cargo is None or written is None:
            return ()
        known = replace(cargo.subject, data=written.data, virtual_size=virtual_size)
        choice = choose(known, cargo.reach, self.arrival.accepts, rates)
        taken = (entry for entry in choice.candidates if entry.wire == cargo.plan.wire)
        return next(taken).steps

    async def _transfer(self, opened: Opened, digests: Digests) -> Written:
        async with Pipe(opened.chunks) as path:
            self.cargo = cargo = await self.arrival.cargo(path, opened, self.meter, digests)
            if cargo.spooled:
                self._verified(opened, digests)  # before anything is made of it
                self.total = cargo.size
                path.through(self._sent.metered)
            if cargo.layout is None:
                await self._make_room(opened, cargo)
                path.through(self._given.metered)
                return await self._taken(self.place.write(path.chunks))
            async with aclosing(cargo.layout) as layout:
                await self._make_room(opened, cargo)
                if opened.declared:
                    self.total, self._told = cargo.info.virtual_size, 0
                    layout = self._counted(layout)
                async with aclosing(self._given.laid(layout)) as given:
                    return await self._taken(self.place.fill(given))

    async def _taken(self, work: Awaitable[Written]) -> Written:
        """Return what the place took; what it does after the last byte is its time too."""
        try:
            return await work
        finally:
            self._given.left()

    async def _make_room(self, opened: Opened, cargo: Cargo) -> None:
        info, declared = cargo.info, opened.declared
        if cargo.compression is None:  # Else more frames may follow than the one that told it.
            self._refuse_other_size(info)
        await self.enter(
            Phase.PREPARING,
            format=declared.format if declared else info.format,
            compression=cargo.compression,
            size=declared.size if declared else opened.size,
            virtual_size=info.virtual_size,
            plan=cargo.plan,
        )
        await self.place.prepare(cargo.sent or info, cargo.wire, cargo.size)
        await self.enter(Phase.TRANSFERRING)

    async def _counted(self, layout: Layout) -> Layout:
        async with aclosing(layout):
            async for located in layout:
                yield located
                self._told = (self._told or 0) + located.extent.length

    def _verified(self, opened: Opened, digests: Digests) -> tuple[int, dict[str, str]]:
        """Return size and checksums of the published file, now that all of it has passed."""
        if opened.size is not None and self.meter.size != opened.size:
            raise SizeMismatch(opened.size, self.meter.size)
        checksum = self.image.spec.checksum
        if opened.declared is None:
            if checksum:
                digests.check(checksum)
            return digests.size, digests.hex()
        # Its client read the file, and has compared.
        algorithm, _, expected = (checksum or "").partition(":")
        return opened.declared.size, {algorithm: expected.lower()} if checksum else {}

    def _refuse_other_size(self, info: ImageInfo) -> None:
        wanted = self.image.spec.virtual_size
        if wanted and info.virtual_size and info.virtual_size != wanted:
            raise CorruptImage(
                f"virtual size is {info.virtual_size} bytes, spec.virtualSize says {wanted}"
            )

    def _as_published(self, finished: Finished, declared: Declared | None) -> Finished:
        """Return *finished* as being of the file that was named, whatever was sent."""
        published = declared or (self.cargo.info if self.cargo and self.cargo.sent else None)
        if published is None:
            return finished
        info = msgspec.structs.replace(finished.info, format=published.format, size=published.size)
        return Finished(info, finished.placed)

    def _count(self, written: Written, virtual_size: int) -> None:
        encoded = self.cargo is not None and self.cargo.wire in ("raw+zstd", "qcow2")
        whole = max(virtual_size, written.data) if encoded else written.size
        # What the place added on the way: padding, a form's frame.
        self.metrics.passed("wire", max(0, written.wire - self._given.size))
        self.metrics.passed("written", written.data)
        self.metrics.passed("skipped", whole - written.data)


def _algorithms(checksum: Checksum | None) -> set[str]:
    return {"sha256"} | ({checksum.partition(":")[0]} if checksum else set())
