"""What several threads are worth for an .xz: a whole URL import, beside ``curl | xz -d``.

Source: perf/files.py on loopback. Target: a directory, with the file's sha256. Content: words of a
vocabulary of random ones, which compress to about two fifths, as a system's disk does.

* of many blocks, as ``xz -T`` makes them: this is where threads help
* of one block, as ``xz`` before 5.6 makes them: here they cannot
"""

import asyncio
import random
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from importer.units import MiB
from perf.bench_imports import Bench, fetch, started, tool
from perf.bench_urls import files
from perf.report import figure, in_turns, ratios

SHAPES = {"many blocks": "-T2", "one block": "-T1"}


def disk(size: int) -> bytes:
    """Return *size* bytes of a raw disk."""
    some = random.Random(1)
    words = [some.randbytes(some.randint(3, 40)) for _ in range(60_000)]
    out = bytearray()
    while len(out) < size:
        out += b"".join(some.choices(words, k=20_000))
    out[510:512] = b"\x55\xaa"
    out[446:510] = bytes(64)
    return bytes(out[:size])


async def main(smoke: bool) -> list[dict[str, Any]]:
    """Measure both shapes."""
    size = (8 if smoke else 256) * MiB
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await asyncio.to_thread(contents, folder, size)
        async with started(folder) as bench, files(folder) as base:
            near = Bench(bench.folder, bench.service, bench.api, bench.token, base)
            for shape, options in SHAPES.items():
                packed, made = f"disk{options}.raw.xz", folder / "made"
                curl = tool(f"curl -sSf {base}/{packed} | xz -dc > {made}", made)
                mine, tools = await in_turns(1 if smoke else 5, fetch(near, packed), curl)
                what = f"url xz of {shape}"
                lines.append(figure("xz", "seconds", mine, what=what, size=size))
                pair = ratios(mine, tools)
                lines.append(figure("xz", "ratio", pair, what=what, baseline="curl | xz -d"))
            lines.append(figure("xz", "MiB", [bench.rss()], what="peak RSS", size=size))
    return lines


def contents(folder: Path, size: int) -> None:
    """Make the files, and the one by which a server is seen to answer."""
    (folder / "dense.raw").write_bytes(bytes(512))
    plain = disk(size)
    for options in SHAPES.values():
        packed = subprocess.run(
            ["xz", "-c", "-1", options], input=plain, capture_output=True, check=True
        ).stdout
        (folder / f"disk{options}.raw.xz").write_bytes(packed)


if __name__ == "__main__":
    asyncio.run(main(smoke=False))
