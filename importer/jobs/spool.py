"""The service's own disk, where a file is put down when its map must be known before it is sent.

While an import runs there are ``.<uid>.spool`` (the file as it came, without its outer compression)
and ``.<uid>.laid`` (its disk as raw, where only qemu reads the format); `clear` removes both, also
in another process after a crash. Raises NoSpace, TargetError, ImageError.
"""

from dataclasses import dataclass
from pathlib import Path

from importer.config import Limits
from importer.formats import fit
from importer.formats.read import qcow2, raw
from importer.formats.survey import Survey, survey
from importer.model import Format, ImageInfo
from importer.stream.extent import Extents, Layout
from importer.stream.pipe import Chunks
from importer.stream.readable import FileReadable
from importer.stream.runs import Runs
from importer.stream.threads import in_thread
from importer.targets import Disks, Written
from importer.targets.sparse import SparseWriter, make_directory


@dataclass(frozen=True, slots=True)
class Spooled:
    """A file that lies there: raw, ISO or qcow2."""

    path: Path
    info: ImageInfo
    """Of this file, not of what was published."""

    came: Format
    """Format of the file as it came, now that its end has been seen."""

    runs: Runs
    survey: Survey
    unfit: str
    """Why libqcow would not read it right; empty: it would."""

    def extents(self) -> Extents:
        """Return its guest data."""
        if self.info.format.is_raw:
            return raw.extents(self.path)
        return qcow2.extents(FileReadable(self.path))

    def chunks(self) -> Chunks:
        """Return the file's own bytes."""
        return FileReadable(self.path).chunks()


class Spool:
    """A directory for such files."""

    def __init__(self, folder: Path, disks: Disks, limits: Limits) -> None:
        self._folder = folder
        self._disks = disks
        self._limits = limits

    async def put(self, uid: str, chunks: Chunks, claimed: Format) -> Spooled:
        """Put down *chunks* to their end: a file whose head looked like *claimed*."""
        path = self._path(uid, "spool")
        await self._written(path, chunks=chunks)
        info = await self._disks.measure(path, claimed)
        await self._disks.verify(path, info.format)
        if info.format.is_raw or info.format is Format.QCOW2:
            return await _spooled(path, info, info.format)
        laid = self._path(uid, "laid")
        await self._disks.convert(path, info.format, laid, "raw")
        await in_thread(path.unlink)
        return await _spooled(laid, _raw(info.virtual_size or 0), info.format)

    async def lay(self, uid: str, layout: Layout) -> Spooled:
        """Put down the disk that *layout* tells, as raw."""
        path = self._path(uid, "spool")
        size = (await self._written(path, layout=layout)).size
        return await _spooled(path, _raw(size), Format.RAW)

    async def clear(self, uid: str) -> None:
        """Remove what lies there of an import; nothing is fine too."""
        for kind in ("spool", "laid"):
            await in_thread(self._path(uid, kind).unlink, missing_ok=True)

    async def _written(
        self, path: Path, *, chunks: Chunks | None = None, layout: Layout | None = None
    ) -> Written:
        await in_thread(make_directory, self._folder)
        async with SparseWriter(path, self._limits.free_space) as writer:
            if layout is not None:
                return await writer.fill(layout)
            assert chunks is not None  # noqa: S101 - one of them is given
            return await writer.write(chunks)

    def _path(self, uid: str, kind: str) -> Path:
        return self._folder / f".{uid}.{kind}"


def _raw(size: int) -> ImageInfo:
    return ImageInfo(format=Format.RAW, virtual_size=size, size=size)


async def _spooled(path: Path, info: ImageInfo, came: Format) -> Spooled:
    if info.format.is_raw:
        runs, unfit = await raw.runs(path), ""
    else:
        file = FileReadable(path)
        runs, unfit = await qcow2.runs(file), await fit.longhorn(file) or ""
    return Spooled(path, info, came, runs, await in_thread(survey, runs), unfit)
