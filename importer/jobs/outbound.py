"""What is sent to a place that takes a stream of bytes: the file as it is, or its disk in another
form, made on the way or, where its map must be known first, from the service's own disk.
"""

from dataclasses import dataclass, replace

import msgspec

from importer.errors import ImageNotInOrder, SizeMismatch
from importer.formats import vhd
from importer.formats.encode.qcow2 import qcow2
from importer.formats.encode.zstd_frame import zstd_frame
from importer.formats.read import raw
from importer.formats.read.passing import Held, begin_in_order
from importer.jobs.cargo import Cargo
from importer.jobs.spool import Spool, Spooled
from importer.model import Compression, Format, ImageInfo, Plan, Rates
from importer.plan import HERE, SPOOLED, Reach, Subject, from_disk, road
from importer.stream.ahead import ahead
from importer.stream.extent import Extents, located
from importer.stream.pipe import Chunks, Pipe, Stage
from importer.targets import Accepts
from importer.units import SECTOR, round_up


@dataclass(frozen=True, slots=True)
class Outbound:
    """How one image is sent."""

    uid: str
    accepts: Accepts
    rates: Rates
    spool: Spool
    once: bool = False
    """The source cannot be read again: no road is taken that may turn out to lead nowhere."""

    async def of_file(
        self, path: Pipe, info: ImageInfo, found: Compression | None, subject: Subject, reach: Reach
    ) -> Cargo:
        """Return what is sent for the file that comes on *path*, its compression *found* undone."""
        begun = road(subject, reach, self.accepts, self.rates, once=self.once)
        subject, reach, plan = begun.subject, begun.reach, begun.choice.plan
        cargo = Cargo(info, found, plan, subject, reach, plan.wire)
        path.through(ahead)
        if begun.spools:
            spooled = await self.spool.put(self.uid, path.chunks, info.format)
            told = msgspec.structs.replace(
                info, format=spooled.came, virtual_size=spooled.info.virtual_size
            )
            return self._from_disk(path, replace(cargo, info=told), spooled)
        if info.format is Format.RAW:
            path.through(_raw_to_its_end(info.virtual_size))
        if cargo.wire == "as-is":
            return replace(cargo, size=_file_size(subject))
        if info.format.is_raw:
            return self._framed(path, cargo, raw.stream(path.chunks))
        passing = await begin_in_order(path.chunks)
        if isinstance(passing, Held):
            path.instead(passing.chunks)
            shuffled = replace(reach, shuffled=passing.why)
            return await self.of_file(path, info, found, subject, shuffled)
        path.closes(passing.rest)
        return self._framed(path, cargo, passing.all())

    async def of_disk(
        self, path: Pipe, extents: Extents, info: ImageInfo, plan: Plan, subject: Subject
    ) -> Cargo:
        """Return what is sent for a disk that comes as *extents*."""
        cargo = Cargo(info, None, plan, subject, HERE, "raw+zstd")
        if "raw+zstd" in self.accepts.wires and info.virtual_size is not None:
            return self._framed(path, cargo, extents)
        return self._from_disk(path, cargo, await self.spool.lay(self.uid, located(extents)))

    def _framed(self, path: Pipe, cargo: Cargo, extents: Extents) -> Cargo:
        path.closes(extents)
        return _instead(path, zstd_frame(extents, cargo.info.virtual_size or 0), cargo)

    def _from_disk(self, path: Pipe, cargo: Cargo, spooled: Spooled) -> Cargo:
        """Choose anew, now that everything is known of it."""
        info = spooled.info
        subject = Subject(
            info.format,
            None,
            info.size,
            info.virtual_size,
            cargo.subject.wanted,
            spooled.survey.data,
            spooled.survey.sizes,
            spooled.unfit if self.accepts.libqcow else "",
        )
        plan = from_disk(subject, self.accepts, self.rates).plan
        cargo = replace(
            cargo,
            plan=plan,
            subject=subject,
            reach=SPOOLED,
            wire=plan.wire,
            sent=info,
            spooled=True,
        )
        return self._encoded(path, cargo, spooled)

    def _encoded(self, path: Pipe, cargo: Cargo, spooled: Spooled) -> Cargo:
        size = spooled.info.virtual_size or 0
        if cargo.wire == "as-is":
            return _instead(path, spooled.chunks(), replace(cargo, size=spooled.info.size))
        extents = spooled.extents()
        path.closes(extents)
        if cargo.wire == "raw+zstd":
            return _instead(path, zstd_frame(extents, size), cargo)
        exact = replace(cargo, size=spooled.survey.sizes["qcow2"])
        return _instead(path, qcow2(spooled.runs, extents, size), exact)


def _instead(path: Pipe, chunks: Chunks, cargo: Cargo) -> Cargo:
    path.instead(chunks)
    path.through(ahead)
    return cargo


def _raw_to_its_end(virtual_size: int | None) -> Stage:
    """Let a raw disk pass; its last chunk only when all of it is what it was taken for.

    A fixed VHD looks raw until its footer, the last 512 bytes; and how many bytes come out of a
    compression, somebody may only have said. Raises ImageNotInOrder, SizeMismatch.
    """

    async def passed(chunks: Chunks) -> Chunks:
        size, tail, last = 0, b"", b""
        async for chunk in chunks:
            if last:
                yield last
            size += len(chunk)
            tail, last = (tail + chunk[-SECTOR:])[-SECTOR:], chunk
        if vhd.fixed(tail, size):
            raise ImageNotInOrder(
                "the last bytes of what looked like a raw disk say that it is a fixed VHD; convert "
                "it with 'qemu-img convert -f vpc -O raw IN OUT', or import it by URL"
            )
        if virtual_size not in (None, round_up(size, SECTOR)):
            raise SizeMismatch(virtual_size or 0, size)
        if last:
            yield last

    return passed


def _file_size(subject: Subject) -> int | None:
    if subject.compression is None:
        return subject.size
    return subject.virtual_size if subject.format.is_raw else None
