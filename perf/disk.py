"""One pass over a disk image in a process of its own, so that its memory is its own too.

    python -m perf.disk WHAT FILE [TO]

WHAT: ``raw`` writes a qcow2's guest data to TO, sparse and durable, in one pass as an import does,
``raw-by-map`` cluster by cluster; ``qcow2`` and ``zstd`` encode a
raw file into nothing, or to TO; ``unzstd`` reads a frame's extents and ``read`` a file in pieces of
1 MiB, into nothing. Prints a JSON line: seconds and CPU seconds without the interpreter's start,
and peak RSS in MiB.
"""

import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path

import uvloop

from importer.formats.encode.qcow2 import qcow2
from importer.formats.encode.zstd_frame import zstd_frame
from importer.formats.read import qcow2 as qcow2_file
from importer.formats.read import raw
from importer.formats.read import zstd_frame as frames
from importer.formats.read.passing import Held, begin
from importer.stream.extent import located
from importer.stream.memory import keep_chunks
from importer.stream.pipe import Chunks
from importer.stream.readable import FileReadable
from importer.targets.sparse import SparseWriter
from importer.units import CHUNK, TiB


async def to_raw(path: Path, to: Path) -> None:
    """Write the guest data of the qcow2 at *path* to *to*."""
    passing = await begin(pieces(path))
    if isinstance(passing, Held):
        raise SystemExit(passing.why)
    async with SparseWriter(to) as writer:
        await writer.fill(passing.all())


async def to_raw_by_map(path: Path, to: Path) -> None:
    """The same, reading it cluster by cluster."""
    async with SparseWriter(to) as writer:
        await writer.fill(located(qcow2_file.extents(FileReadable(path))))


async def to_qcow2(path: Path, to: Path) -> None:
    """Encode the raw file at *path* as a qcow2."""
    runs = await raw.runs(path)
    await keep(qcow2(runs, raw.extents(path), runs[-1].end), to)


async def to_zstd(path: Path, to: Path) -> None:
    """Encode the raw file at *path* as a zstd frame."""
    runs = await raw.runs(path)
    await keep(zstd_frame(raw.extents(path), runs[-1].end), to)


async def from_zstd(path: Path, to: Path) -> None:
    """Read the extents of the zstd frame at *path*."""
    async for _ in frames.extents(pieces(path), 16 * TiB):
        pass


async def read(path: Path, to: Path) -> None:
    """Read the file at *path*, as simply as can be."""
    with path.open("rb", buffering=0) as file:
        while file.read(CHUNK):
            pass


async def pieces(path: Path) -> Chunks:
    """Yield the file at *path*."""
    with path.open("rb", buffering=0) as file:
        while piece := file.read(CHUNK):
            yield piece


async def keep(chunks: Chunks, to: Path) -> None:
    """Write *chunks* to *to*, or drop them when that has no name."""
    with to.open("wb") if to.name else nullcontext() as file:
        async for chunk in chunks:
            if file:
                file.write(chunk)


WHAT: dict[str, Callable[[Path, Path], Awaitable[None]]] = {
    "raw": to_raw,
    "raw-by-map": to_raw_by_map,
    "qcow2": to_qcow2,
    "zstd": to_zstd,
    "unzstd": from_zstd,
    "read": read,
}


def main(what: str, path: str, to: str = "") -> None:
    """Do it, and print what it took."""
    keep_chunks()
    start, worked = time.perf_counter(), time.process_time()
    uvloop.run(WHAT[what](Path(path), Path(to)))
    seconds, cpu = time.perf_counter() - start, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "rss_MiB": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
