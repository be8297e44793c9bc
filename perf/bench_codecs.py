"""How fast the path hashes and inflates, beside the usual command line tools on the same bytes.

Null source (a file in memory, cut in chunks), null target. Content: half numbers that compress a
little, half random. The tools read from a pipe and write to /dev/null.
"""

import asyncio
import bz2
import gzip
import lzma
import os
import time
from typing import Any

from backports import zstd

from importer.stream.expand import expand
from importer.stream.hashed import Digests
from importer.stream.pipe import Chunks, Pipe, Stage
from importer.units import CHUNK, MiB
from perf.report import figure, in_turns, ratios

PACK = {
    "gzip": (gzip.compress, ["gzip", "-dc"]),
    "xz": (lambda data: lzma.compress(data, preset=1), ["xz", "-dc"]),
    "zstd": (zstd.compress, ["zstd", "-dc"]),
    "bzip2": (lambda data: bz2.compress(data, 1), ["bzip2", "-dc"]),
}


def content(size: int) -> bytes:
    """Return *size* bytes, no two MiB alike: a repeated one would cost a decompressor nothing."""
    numbers = bytes(range(256)) * (CHUNK // 512)
    return b"".join(os.urandom(CHUNK // 2) + numbers for _ in range(size // CHUNK))


async def chunks(data: bytes) -> Chunks:
    """Give *data* in chunks."""
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]


def ours(data: bytes, stage: Stage) -> Any:
    """Return a run of *data* through *stage* into nothing."""

    async def run() -> float:
        start = time.perf_counter()
        async with Pipe(chunks(data)) as pipe:
            pipe.through(stage)
            async for _ in pipe.chunks:
                pass
        return time.perf_counter() - start

    return run


def theirs(data: bytes, command: list[str]) -> Any:
    """Return a run of *data* through a tool into nothing."""

    async def run() -> float:
        start = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
        )
        await process.communicate(data)
        return time.perf_counter() - start

    return run


async def main(smoke: bool) -> list[dict[str, Any]]:
    """Measure hashes, then every compression."""
    plain = content(16 * MiB if smoke else 256 * MiB)
    jobs: dict[str, tuple[Any, Any]] = {
        name: (ours(plain, Digests({name}).hashed), theirs(plain, [f"{name}sum"]))
        for name in ("sha256", "sha512", "md5")
    }
    for name, (pack, command) in PACK.items():
        packed = pack(plain)
        jobs[name] = (ours(packed, expand(name)), theirs(packed, command))  # type: ignore[arg-type]
    lines = []
    for name, sides in jobs.items():
        mine, tool = await in_turns(1 if smoke else 5, *sides)
        rates = [len(plain) / MiB / seconds for seconds in mine]
        lines.append(figure("codecs", "MiB_per_s", rates, codec=name))
        lines.append(figure("codecs", "seconds_to_tool", ratios(mine, tool), codec=name))
    return lines


if __name__ == "__main__":
    asyncio.run(main(smoke=False))
