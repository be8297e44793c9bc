"""What `importer upload` of a sparse file costs, beside a copy of it and beside sending all of it.

A raw disk of 8 GiB with 0.5 GiB of data in 64 places, from a file into a directory of the same
disk; seconds until it is Ready, and durable, on both sides. Baselines:

* ``cp --sparse=always`` and fsync
* ``curl -T`` of the whole file into the same service

The command's start-up (of Python, and looking at a file) is that of an upload of 1 MiB, and a
figure of its own; the ratios are without it, and again with it. Then the same disk as a qcow2 that
is to be stored raw, and a disk of 1 TiB; for all of them peak RSS of the command and the service.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from importer.units import GiB, MiB, TiB
from perf.bench_imports import Bench, Run, shell, started, tool, upload
from perf.report import figure, in_turns, ratios

PLACES = 64
"""Where the data is: as many runs, evenly spread."""


class Command:
    """Runs of ``importer upload`` of one file; `rss` is the largest peak RSS of them in MiB."""

    def __init__(self, bench: Bench, path: Path, *options: str) -> None:
        self._bench = bench
        self._words = ("upload", str(path), "--name", "bench", "--json", *options)
        self.rss = 0.0

    async def run(self) -> float:
        """Upload the file until it is Ready, delete it again, and return the upload's seconds."""
        start = time.perf_counter()
        await asyncio.to_thread(self._wait)
        seconds = time.perf_counter() - start
        auth = f"-H 'Authorization: Bearer {self._bench.token}'"
        await shell(f"curl -sSf {auth} -X DELETE {self._bench.api}/v1/images/bench")
        return seconds

    def _wait(self) -> None:
        where = ("--server", self._bench.api, "--data", str(self._bench.folder / "data"))
        process = subprocess.Popen(
            [sys.executable, "-m", "importer", *self._words, *where], stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"importer {self._words} ends with {process.returncode}")
        self.rss = max(self.rss, usage.ru_maxrss / 1024)


def sparse(path: Path, size: int, data: int) -> Path:
    """Make a raw disk of *size* bytes with *data* bytes of noise in PLACES places."""
    with path.open("wb") as file:
        file.truncate(size)
        for place in range(PLACES):
            file.seek(place * size // PLACES)
            for _ in range(data // PLACES // (MiB // 16)):
                file.write(os.urandom(MiB // 16))
        file.seek(510)
        file.write(b"\x55\xaa")
        file.flush()
        os.fsync(file.fileno())
    return path


async def main(smoke: bool) -> list[dict[str, Any]]:
    """Measure them in turns."""
    size = 64 * MiB if smoke else 8 * GiB
    runs = 1 if smoke else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        disk = sparse(folder / "disk.raw", size, size // 16)
        sparse(folder / "dense.raw", MiB, MiB)  # What `started` looks for.
        async with started(folder) as bench:
            return [
                *await _sparse(bench, disk, runs),
                *await _qcow2(bench, disk, runs),
                await _large(bench, GiB if smoke else TiB, runs),
            ]


async def _sparse(bench: Bench, disk: Path, runs: int) -> list[dict[str, Any]]:
    ours, small = Command(bench, disk), Command(bench, bench.folder / "dense.raw")
    taken = await in_turns(runs, ours.run, small.run, _copy(disk), upload(bench, disk))
    mine, starts, *others = taken
    size = disk.stat().st_size
    lines = [
        figure("uploads", "seconds", starts, what="start-up", rss_MiB=small.rss),
        figure("uploads", "seconds", mine, what="sparse raw", size=size, rss_MiB=ours.rss),
    ]
    net = [whole - start for whole, start in zip(mine, starts, strict=True)]
    for baseline, theirs in zip(("cp --sparse=always, fsync", "curl -T"), others, strict=True):
        what = {"what": "sparse raw", "baseline": baseline}
        lines += [
            figure("uploads", "seconds", theirs, what=baseline, size=size),
            figure("uploads", "ratio", ratios(net, theirs), **what),
            figure("uploads", "ratio", ratios(mine, theirs), **what, with_start=True),
        ]
    return lines


def _copy(disk: Path) -> Run:
    made = disk.with_name("copy.raw")
    return tool(f"cp --sparse=always {disk} {made} && sync {made}", made)


async def _qcow2(bench: Bench, disk: Path, runs: int) -> list[dict[str, Any]]:
    """Measure the qcow2 of *disk* that is to be stored raw."""
    qcow2, made = disk.with_suffix(".qcow2"), disk.with_name("made.raw")
    await shell(f"qemu-img convert -f raw -O qcow2 {disk} {qcow2}")
    ours = Command(bench, qcow2, "--format", "raw")
    convert = f"qemu-img convert -W -f qcow2 -O raw {qcow2} {made} && sync {made}"
    mine, theirs = await in_turns(runs, ours.run, tool(convert, made))
    what = {"what": "qcow2 to raw", "baseline": "qemu-img convert -W, fsync", "with_start": True}
    return [
        figure("uploads", "seconds", mine, what="qcow2 to raw", rss_MiB=ours.rss),
        figure("uploads", "ratio", ratios(mine, theirs), **what),
    ]


async def _large(bench: Bench, size: int, runs: int) -> dict[str, Any]:
    """Measure a disk of *size* bytes that is nearly all hole."""
    large = Command(bench, sparse(bench.folder / "large.raw", size, 4 * MiB))
    (mine,) = await in_turns(runs, large.run)
    return figure(
        "uploads",
        "seconds",
        mine,
        what="sparse raw",
        size=size,
        rss_MiB=large.rss,
        service_rss_MiB=bench.rss(),
    )


if __name__ == "__main__":
    asyncio.run(main(smoke=False))
