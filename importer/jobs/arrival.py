"""What arrives on one try: the file as it is, or the disk inside it as extents.

    source → rechunk → metered → limited → hashed → [expand] ─┬─▶ the file
                                                              └─▶ [qcow2, zstd frame] ─▶ the disk

The first bytes are looked at, the plan is made, and its road is taken. A road that turns out to
lead nowhere before anything was told (a qcow2 whose tables lie too far behind its data) is left for
the next best one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import msgspec

from importer.config import Limits
from importer.errors import CallerError, LimitExceeded, SizeMismatch
from importer.formats import compression, recognise
from importer.formats.inspect import expands_to
from importer.formats.read import zstd_frame
from importer.formats.read.passing import Held, begin
from importer.jobs.cargo import Cargo
from importer.jobs.outbound import Outbound
from importer.model import Compression, Format, ImageInfo, Plan, Rates, WantedFormat
from importer.plan import HERE, Reach, Subject, choose, stored_as
from importer.sources import Declared, Opened
from importer.stream.ahead import ahead
from importer.stream.expand import expand
from importer.stream.extent import located, peeked
from importer.stream.hashed import Digests
from importer.stream.meter import Meter, limited
from importer.stream.pipe import Pipe, Stage
from importer.stream.rechunk import rechunk
from importer.stream.unxz import Room, unxz
from importer.targets import Accepts
from importer.units import SECTOR, MiB, human, round_up

HEAD = MiB
"""Bytes from the start that are looked at before anything is made."""

Inspect = Callable[[bytes, int | None], Awaitable[ImageInfo]]
"""Tell what an image is from its first HEAD bytes and, if known, its size. Raises ImageError."""

_FRAMING = 64 * MiB
"""Bytes by which a frame may be larger than the disk in it: a header for each block."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """How the bytes of one try are taken in."""

    wanted: WantedFormat | None
    accepts: Accepts
    rates: Rates
    inspect: Inspect
    limits: Limits
    room: Room
    """What blocks of xz may take of the memory."""

    reach: Reach
    virtual_size: int | None = None
    """What the caller says that a disk has whose file does not tell."""

    outbound: Outbound | None = None
    """Where the place takes no extents, but a stream of bytes."""

    async def cargo(self, path: Pipe, opened: Opened, meter: Meter, digests: Digests) -> Cargo:
        """Return what comes on *path*, of which nothing has been read.

        Raises ImageError, LimitExceeded, CallerError, and what the source raises.
        """
        path.through(rechunk)
        path.through(meter.metered)
        if opened.declared is None:
            path.through(limited(self.limits.image_size, self._too_large))
            path.through(digests.hashed)
            return await self._of_file(path, opened)
        self.refuse_large(opened.declared.size)
        path.through(limited(self.limits.image_size + _FRAMING, self._too_large))
        return await self._as_declared(path, opened, opened.declared)

    def refuse_large(self, size: int) -> None:
        """Raise LimitExceeded for a file of more than the allowed size."""
        if size > self.limits.image_size:
            raise self._too_large(size)

    async def _of_file(self, path: Pipe, opened: Opened) -> Cargo:
        outer = await path.peek(HEAD)
        found, head = await self._unwrapped(path, outer, opened.encoded)
        size = opened.size
        if found:
            size = len(head) if len(head) < HEAD else None
        if found and size is None and not opened.encoded:
            file = opened.readable(outer) if opened.readable else None
            size = await expands_to(found, outer, head, file)
        info = await self.inspect(head, size)
        if info.virtual_size is None and info.format is Format.RAW:
            info = msgspec.structs.replace(info, virtual_size=self.virtual_size)
        subject = self._subject(info, found, opened.size)
        if self.outbound:
            return await self.outbound.of_file(path, info, found, subject, self.reach)
        plan = self._plan(subject, self.reach)
        path.through(ahead)
        if plan.wire != "raw" or info.format is not Format.QCOW2:
            return Cargo(info, found, plan, subject, self.reach, "as-is")
        passing = await begin(path.chunks)
        if not isinstance(passing, Held):
            path.closes(passing.rest)
            return Cargo(info, found, plan, subject, self.reach, "raw", passing.all())
        path.instead(passing.chunks)
        reach = replace(self.reach, shuffled=passing.why)
        return Cargo(info, found, self._plan(subject, reach), subject, reach, "as-is")

    def _subject(self, info: ImageInfo, found: Compression | None, size: int | None) -> Subject:
        return Subject(info.format, found, size, info.virtual_size, self.wanted)

    def _plan(self, subject: Subject, reach: Reach) -> Plan:
        return choose(subject, reach, self.accepts, self.rates).plan

    async def _unwrapped(
        self, path: Pipe, head: bytes, encoded: bool
    ) -> tuple[Compression | None, bytes]:
        """Undo the outer compression; return the last that was found, and the first bytes inside.

        *head*: the first bytes outside. *encoded*: the sender added a compression.
        """
        outer = None
        for _ in range(2 if encoded else 1):
            if (found := compression.detect(head)) is None:
                break
            outer = found
            path.through(ahead)
            path.through(unxz(self.room) if found == "xz" else expand(found))
            path.through(rechunk)
            path.through(self._expanding(found))
            head = await path.peek(HEAD)
        return outer, head

    async def _as_declared(self, path: Pipe, opened: Opened, declared: Declared) -> Cargo:
        stored = stored_as(declared.format, self.wanted, self.accepts)
        why = (
            f"the client left out the zeros of its {declared.format} file of {human(declared.size)}"
        )
        plan = Plan(wire=declared.wire, why=why, bytes=opened.size)
        if declared.wire == "raw+zstd":
            return await self._of_frame(path, declared, plan, stored)
        if stored != "qcow2" and not self.outbound:
            raise CallerError("wire=qcow2 makes a qcow2 of a raw file: say format=qcow2 as well")
        info = await self.inspect(await path.peek(HEAD), opened.size)
        subject = self._subject(info, None, opened.size)
        if self.outbound:
            return await self.outbound.of_file(path, info, None, subject, self.reach)
        path.through(ahead)
        return Cargo(info, None, plan, subject, HERE, "as-is")

    async def _of_frame(
        self, path: Pipe, declared: Declared, plan: Plan, stored: WantedFormat
    ) -> Cargo:
        if stored != "raw" and not self.outbound:
            raise CallerError("wire=raw+zstd makes a raw disk: say format=raw, or send it as it is")
        size = zstd_frame.content_size(await path.peek(64))
        path.through(ahead)
        extents = zstd_frame.extents(path.chunks, self.limits.virtual_size)
        path.closes(extents)
        head, extents = await peeked(extents, HEAD)
        recognise.refuse_nested(head)
        if declared.format.is_raw:
            await self.inspect(head, size)  # On the disk in a qcow2, a guest keeps what it likes.
        virtual_size = None if size is None else round_up(size, SECTOR)
        if declared.format.is_raw and virtual_size not in (None, round_up(declared.size, SECTOR)):
            raise SizeMismatch(declared.size, virtual_size or 0)
        info = ImageInfo(format=declared.format, virtual_size=virtual_size, size=declared.size)
        subject = self._subject(info, None, declared.size)
        if self.outbound:
            return await self.outbound.of_disk(path, extents, info, plan, subject)
        return Cargo(info, None, plan, subject, HERE, "raw", located(extents))

    def _too_large(self, size: int) -> LimitExceeded:
        return LimitExceeded(
            f"the file has {size} bytes or more, the limit is {human(self.limits.image_size)} "
            "([limits] image_size)"
        )

    def _expanding(self, found: Compression) -> Stage:
        most = self.limits.virtual_size

        def refusal(size: int) -> LimitExceeded:
            return LimitExceeded(
                f"the {found} file expands to {size} bytes or more, the limit is "
                f"{human(most)} ([limits] virtual_size)"
            )

        return limited(most, refusal)
