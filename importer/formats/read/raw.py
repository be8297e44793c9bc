"""The guest data of a raw disk: a local file by its holes, a stream by its zeros.

A file system tells which parts of a file it keeps (lseek(2), SEEK_DATA and SEEK_HOLE); what it does
not tell, and what a stream cannot, is seen by looking: blocks of zeros are left out too.
A size that is not a multiple of 512 is filled up with zeros, as qemu does.
Raises SourceError when the file cannot be read, or is cut while it is read.
"""

import errno
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from pathlib import Path

from importer.errors import SourceError
from importer.stream.extent import Extent, Extents, Zero, after
from importer.stream.lookahead import in_order
from importer.stream.pipe import Chunks
from importer.stream.runs import Map, Run, Runs
from importer.stream.threads import in_thread
from importer.stream.zeros import sifted
from importer.units import CHUNK, SECTOR, KiB, round_up

AHEAD = 4
"""Chunks that are read at once."""

SHORT = 64 * KiB
"""Holes below this are read with the data around them, and then left out as zeros are: a hop to a
thread costs more than they do. Data and holes of 4 KiB in turns: 3.6 s for 128 MiB without."""


async def extents(path: Path, start: int = 0) -> Extents:
    """Yield the guest data of the raw file or block device at *path*, from *start* on.

    What stands before is not read, but for what shares a piece with it: zeros are found, and told
    apart from data, as they are from the first byte on.
    """
    with _opened(path) as file:
        found = _coarse(await in_thread(_runs, file, path))
        begin = _piece_at(found, start)

        async def read(run: Run) -> list[Extent]:
            return [Zero(run.length)] if run.is_zero else await in_thread(_read, file, run, path)

        async with (
            aclosing(_pieces(found, begin)) as pieces,
            aclosing(in_order(pieces, read, AHEAD)) as groups,
            aclosing(whole(groups, begin)) as filled,
            aclosing(after(filled, start - begin)) as wanted,
        ):
            async for extent in wanted:
                yield extent


async def runs(path: Path) -> Runs:
    """Return where the raw file at *path* has data and where holes; no data is read."""
    with _opened(path) as file:
        return await in_thread(_runs, file, path)


async def stream(chunks: Chunks) -> Extents:
    """Yield the guest data of a raw disk whose bytes come as *chunks*."""
    async with aclosing(whole(_sifted(chunks))) as found:
        async for extent in found:
            yield extent


async def _sifted(chunks: Chunks) -> AsyncGenerator[list[Extent], None]:
    async for chunk in chunks:
        yield await in_thread(sifted, chunk)


async def whole(groups: AsyncGenerator[list[Extent], None], start: int = 0) -> Extents:
    """Yield the extents of *groups*, zeros joined across them, to the end of the last sector.

    *start*: where the first of them begins.
    """
    zeros, size = 0, start
    async for group in groups:
        for extent in group:
            size += extent.length
            if isinstance(extent, Zero):
                zeros += extent.length
                continue
            if zeros:
                yield Zero(zeros)
                zeros = 0
            yield extent
    if zeros := zeros + round_up(size, SECTOR) - size:
        yield Zero(zeros)


def _coarse(found: Runs) -> Runs:
    """Return *found* as it is to be read: without short holes, but for what fills the sector."""
    size = found[-1].end if found else 0
    return Map(
        Run(run.offset, run.length, run.is_zero and (run.length >= SHORT or run.end == size))
        for run in found
    )


def _piece_at(found: Runs, offset: int) -> int:
    """Return where the piece begins that *offset* lies in."""
    run = next((run for run in found if run.end > offset), None)
    if run is None:
        return offset
    return offset - (offset - run.offset) % _step(run)


def _step(run: Run) -> int:
    return run.length if run.is_zero else CHUNK


async def _pieces(found: Runs, begin: int) -> AsyncGenerator[Run, None]:
    for run in found:
        step = _step(run)
        for start in range(max(run.offset, begin), run.end, step):
            yield Run(start, min(step, run.end - start), run.is_zero)


@contextmanager
def _opened(path: Path) -> Generator[int]:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise SourceError(f"{path}: {exc.strerror}") from exc
    try:
        yield file
    finally:
        os.close(file)


def _runs(file: int, path: Path) -> Runs:
    try:
        size = os.lseek(file, 0, os.SEEK_END)
        return Map(_map(file, size))
    except OSError as exc:
        raise SourceError(f"{path}: {exc.strerror}") from exc


def _map(file: int, size: int) -> Generator[Run]:
    at = 0
    while at < size:
        start = min(_next_data(file, at, size), size)
        yield Run(at, start - at, True)
        if start == size:
            break
        at = _next_hole(file, start, size)
        yield Run(start, at - start, False)
    yield Run(size, round_up(size, SECTOR) - size, True)


def _next_data(file: int, offset: int, size: int) -> int:
    try:
        return os.lseek(file, offset, os.SEEK_DATA)
    except OSError as exc:
        if exc.errno == errno.ENXIO:  # lseek(2): a hole up to the end
            return size
        if exc.errno == errno.EINVAL:  # Block devices do not tell: all of it may be data.
            return offset
        raise


def _next_hole(file: int, offset: int, size: int) -> int:
    try:
        return min(os.lseek(file, offset, os.SEEK_HOLE), size)
    except OSError as exc:
        if exc.errno == errno.EINVAL:
            return size
        raise


def _read(file: int, run: Run, path: Path) -> list[Extent]:
    try:
        data = os.pread(file, run.length, run.offset)
    except OSError as exc:
        raise SourceError(f"{path}: {exc.strerror}") from exc
    if len(data) != run.length:
        raise SourceError(
            f"{path} was cut while it was read: {run.length} bytes at {run.offset} were expected, "
            f"{len(data)} are there"
        )
    return sifted(data)
