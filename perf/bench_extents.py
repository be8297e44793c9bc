"""What it costs to read and write a disk as extents, beside qemu-img, nbdcopy and a plain read.

Files on one side, files or nothing on the other; everything of ours in a process of its own, whose
start is not counted, and durable where it is written. Figures are ratios of wall seconds, ours to
the baseline's, taken in turns:

* compressed qcow2 to raw: ``qemu-img convert``
* plain qcow2 to raw: ``qemu-img convert -W``, and ``nbdcopy``
  (the tools with ``sync FILE`` behind them, as ours has made it durable when it ends)
* raw to qcow2 and to a zstd frame, and back from the frame: reading the file in pieces of 1 MiB;
  here the ratio is that of the rates, so that more is better

and peak RSS, for those and for disks of 1 GiB and 1 TiB with the same few data in them. CPU seconds
are given where the baseline is a tool: on a busy machine they are steadier than the clock.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from importer.units import GiB, MiB, TiB
from perf.report import figure, in_turns, ratios

Run = Callable[[], Awaitable[float]]
Figures = list[dict[str, Any]]


@dataclass
class Side:
    """One way to do it, and what its runs took; the first of them warms up."""

    run: Callable[["Side"], Awaitable[float]]
    cpu: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)

    async def __call__(self) -> float:
        """Do it once; return its seconds."""
        return await self.run(self)


def ours(what: str, path: Path, to: Path | None = None, *, keep: bool = False) -> Side:
    """Return our way: a run of `perf.disk`."""
    command = [sys.executable, "-m", "perf.disk", what, str(path), *([str(to)] if to else [])]

    async def run(side: Side) -> float:
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        out, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(command)
        told = json.loads(out)
        side.cpu.append(told["cpu"])
        side.rss.append(told["rss_MiB"])
        if to and not keep:
            to.unlink()
        return float(told["seconds"])

    return Side(run)


def tool(command: str, to: Path) -> Side:
    """Return a tool's way: *command*, which makes *to*."""

    async def run(side: Side) -> float:
        before, start = _children(), time.perf_counter()
        process = await asyncio.create_subprocess_shell(command)
        if await process.wait():
            raise RuntimeError(command)
        seconds = time.perf_counter() - start
        side.cpu.append(_children() - before)
        to.unlink()
        return seconds

    return Side(run)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def main(smoke: bool) -> Figures:
    """Measure reading, writing and memory."""
    size, runs = (8 * MiB, 1) if smoke else (2 * GiB, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = await asyncio.to_thread(content, folder / "disk.raw", size)
        return [
            *await readers(raw, runs),
            *await encoders(raw, runs),
            *await memory(folder, smoke=smoke),
        ]


async def readers(raw: Path, runs: int) -> Figures:
    """Measure qcow2 to raw beside the tools that do the same."""
    packed, plain, made = (raw.with_name(name) for name in ("packed", "plain", "made"))
    convert = "qemu-img convert -f qcow2 -O raw"
    await asyncio.to_thread(_convert, "-c", raw, packed)
    await asyncio.to_thread(_convert, "-q", raw, plain)
    nbdcopy = f"truncate -s {raw.stat().st_size} {made} && nbdcopy -- [ qemu-nbd -r -f qcow2"
    pairs = [
        ("compressed qcow2 to raw", packed, "qemu-img convert", f"{convert} {packed} {made}"),
        ("plain qcow2 to raw", plain, "qemu-img convert -W", f"{convert} -W {plain} {made}"),
        ("plain qcow2 to raw", plain, "nbdcopy", f"{nbdcopy} {plain} ] {made}"),
    ]
    lines = []
    for what, path, baseline, command in pairs:
        mine, theirs = ours("raw", path, made), tool(f"{command} && sync {made}", made)
        seconds, tools = await in_turns(runs, mine, theirs)
        more = {"what": what, "baseline": baseline, "cpu": _median(ratios(mine.cpu, theirs.cpu))}
        lines.append(figure("extents", "ratio", ratios(seconds, tools), **more))
        lines.append(figure("extents", "rss_MiB", mine.rss, what=what))
    packed.unlink()
    plain.unlink()
    return lines


async def encoders(raw: Path, runs: int) -> Figures:
    """Measure the encoders, and the frame's reader, beside reading their file."""
    frame = raw.with_name("frame")
    await ours("zstd", raw, frame, keep=True)()
    lines = []
    for what, path in (("qcow2", raw), ("zstd", raw), ("unzstd", frame)):
        mine, plain = ours(what, path), ours("read", path)
        seconds, reading = await in_turns(runs, mine, plain)
        name = {"qcow2": "raw to qcow2", "zstd": "raw to zstd frame"}.get(what, "zstd frame read")
        more = {"what": name, "baseline": "read 1 MiB", "cpu": _median(ratios(plain.cpu, mine.cpu))}
        lines.append(figure("extents", "ratio_of_rates", ratios(reading, seconds), **more))
        lines.append(figure("extents", "rss_MiB", mine.rss, what=name))
    frame.unlink()
    return lines


async def memory(folder: Path, *, smoke: bool) -> Figures:
    """Measure what is held for a small disk, and for a large one with the same data."""
    lines = []
    for size in (GiB, TiB):
        raw, image, frame, made = (folder / name for name in ("few", "image", "frame", "made"))
        await asyncio.to_thread(few, raw, size, 4 if smoke else 64)
        await asyncio.to_thread(_convert, "-q", raw, image)
        sides = {
            "qcow2 to raw": ours("raw", image, made),
            "raw to qcow2": ours("qcow2", raw),
            "raw to zstd frame": ours("zstd", raw, frame, keep=True),
            "zstd frame read": ours("unzstd", frame),
        }
        for what, side in sides.items():
            seconds = await side()
            lines.append(
                figure("extents", "rss_MiB", side.rss, what=what, size=size, seconds=seconds)
            )
    return lines


def content(path: Path, size: int) -> Path:
    """Make a dense raw file, a quarter random and the rest compressible, no two MiB alike."""
    with path.open("wb") as file:
        for _ in range(size // MiB):
            file.write(os.urandom(MiB // 4) + bytes(range(256)) * (3 * MiB // 4 // 256))
    return path


def few(path: Path, size: int, count: int) -> None:
    """Make a raw file of *size* bytes with *count* MiB of data spread over it."""
    with path.open("wb") as file:
        file.truncate(size)
        for at in range(0, size, size // count):
            file.seek(at)
            file.write(os.urandom(MiB))


def _convert(option: str, raw: Path, to: Path) -> None:
    command = ["qemu-img", "convert", option, "-f", "raw", "-O", "qcow2", raw, to]
    subprocess.run(command, check=True)


def _median(values: list[float]) -> float:
    return round(sorted(values)[len(values) // 2], 4)


if __name__ == "__main__":
    asyncio.run(main(smoke=False))
