"""One try at making one image: the path from its source to its target, phase by phase.

    source → metered → limited → hashed → [expand] → target

A try that fails leaves the place to be aborted by whoever ran it; the next try is a new path.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from importer.config import Limits
from importer.errors import CorruptImage, LimitExceeded, SizeMismatch
from importer.formats import compression
from importer.metrics import ClassMetrics
from importer.model import Checksum, Compression, Image, ImageInfo, Phase
from importer.sources import Opened, Source
from importer.stream.ahead import ahead
from importer.stream.expand import expand
from importer.stream.hashed import Digests
from importer.stream.meter import Meter, limited
from importer.stream.pipe import Pipe
from importer.stream.rechunk import rechunk
from importer.stream.unxz import Room, unxz
from importer.targets import Finished, Place, Written
from importer.units import MiB, human

HEAD = MiB
"""Bytes from the start that are looked at before anything is made."""

Inspect = Callable[[bytes, int | None], Awaitable[ImageInfo]]
"""Tell what an image is from its first HEAD bytes and, if known, its size. Raises ImageError."""

Enter = Callable[..., Awaitable[None]]
"""``await enter(phase, **fields of the status)``: the image goes to its next phase."""


@dataclass(slots=True)
class Attempt:
    """One try. `meter.size` of `total` bytes of the published file have passed."""

    image: Image
    source: Source
    place: Place
    inspect: Inspect
    enter: Enter
    metrics: ClassMetrics
    limits: Limits
    room: Room
    total: int | None = None
    meter: Meter = field(init=False)
    _compression: Compression | None = None

    def __post_init__(self) -> None:
        self.meter = Meter(lambda size: self.metrics.passed("source", size))

    async def run(self) -> Finished:
        """Make the image and return what was made; the place is not settled yet."""
        await self.enter(Phase.INSPECTING)
        opened = await self.source.open()
        self.total = opened.size
        self._refuse_large(opened.size or 0)
        digests = Digests(_algorithms(self.image.spec.checksum))
        written = await self._transfer(opened, digests)
        self._verify(opened, digests)
        await self.enter(Phase.PROCESSING, size=digests.size, checksums=digests.hex())
        finished = await self.place.finish()
        self._refuse_other_size(finished.info)
        self._count(written)
        return finished

    async def _transfer(self, opened: Opened, digests: Digests) -> Written:
        async with Pipe(opened.chunks) as path:
            path.through(rechunk)
            path.through(self.meter.metered)
            path.through(limited(self.limits.image_size, self._too_large))
            path.through(digests.hashed)
            info = await self._look(path, opened)
            await self.enter(
                Phase.PREPARING,
                format=info.format,
                compression=self._compression,
                size=opened.size,
                virtual_size=info.virtual_size,
            )
            await self.place.prepare(info)
            await self.enter(Phase.TRANSFERRING)
            path.through(ahead)
            return await self.place.write(path.chunks)

    async def _look(self, path: Pipe, opened: Opened) -> ImageInfo:
        """Undo the outer compression and tell what is inside."""
        head = await path.peek(HEAD)
        for _ in range(2 if opened.encoded else 1):
            if (found := compression.detect(head)) is None:
                break
            self._compression = found
            path.through(ahead)
            path.through(unxz(self.room) if found == "xz" else expand(found))
            path.through(rechunk)
            path.through(limited(self.limits.virtual_size, self._expands_too_far))
            head = await path.peek(HEAD)
        size = opened.size
        if self._compression:
            size = len(head) if len(head) < HEAD else None
        info = await self.inspect(head, size)
        self._refuse_other_size(info)
        return info

    def _verify(self, opened: Opened, digests: Digests) -> None:
        if opened.size is not None and digests.size != opened.size:
            raise SizeMismatch(opened.size, digests.size)
        if self.image.spec.checksum:
            digests.check(self.image.spec.checksum)

    def _refuse_other_size(self, info: ImageInfo) -> None:
        wanted = self.image.spec.virtual_size
        if wanted and info.virtual_size and info.virtual_size != wanted:
            raise CorruptImage(
                f"virtual size is {info.virtual_size} bytes, spec.virtualSize says {wanted}"
            )

    def _refuse_large(self, size: int) -> None:
        if size > self.limits.image_size:
            raise self._too_large(size)

    def _too_large(self, size: int) -> LimitExceeded:
        return LimitExceeded(
            f"the file has {size} bytes or more, the limit is {human(self.limits.image_size)} "
            "([limits] image_size)"
        )

    def _expands_too_far(self, size: int) -> LimitExceeded:
        return LimitExceeded(
            f"the {self._compression} file expands to {size} bytes or more, the limit is "
            f"{human(self.limits.virtual_size)} ([limits] virtual_size)"
        )

    def _count(self, written: Written) -> None:
        self.metrics.passed("wire", written.size)
        self.metrics.passed("written", written.data)
        self.metrics.passed("skipped", written.size - written.data)
        self.metrics.stalled(self.meter.upstream, self.meter.downstream)


def _algorithms(checksum: Checksum | None) -> set[str]:
    return {"sha256"} | ({checksum.partition(":")[0]} if checksum else set())
