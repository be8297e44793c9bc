"""What many connections are worth, what latency costs, and URL imports beside ``curl -o``.

Source: perf/files.py on loopback, as slow as each question needs. Target: nothing, or a directory.

* a server that gives each connection 40 MB/s: seconds over one connection to seconds over four
* a server that takes 100 ms for each request, to the same without: rates, nothing at the end. Of
  4 GiB: before the bytes flow two answers are waited for, 0.2 s whatever the size
* a whole import into a directory with its sha256, to ``curl -o`` of the same file: seconds
* four such imports at once: the service's peak RSS
"""

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from importer.config import Url
from importer.sources.http import Web
from importer.stream.pipe import Pipe
from importer.stream.rechunk import rechunk
from importer.units import MiB
from perf.bench_imports import Bench, Run, contents, fetch, process, shell, started, tool
from perf.report import figure, in_turns, ratios

RATE = 40e6
LATENCY = 0.1


def drained(url: str, size: int, connections: int) -> Run:
    """Return a run that reads *url* into nothing, in a thread with the service's kind of loop."""

    async def reading() -> None:
        web = Web(Url(allow_addresses=("127.0.0.0/8",), connections=connections))
        source, got = web.source(url), 0
        opened = await source.open()
        async with Pipe(opened.chunks) as pipe:
            pipe.through(rechunk)
            async for chunk in pipe.chunks:
                got += len(chunk)
        await source.close()
        await web.close()
        if got != size:
            raise RuntimeError(f"{got} of {size} bytes came")

    async def run() -> float:
        start = time.perf_counter()
        await asyncio.to_thread(uvloop.run, reading())
        return time.perf_counter() - start

    return run


@asynccontextmanager
async def files(folder: Path, *options: str) -> AsyncIterator[str]:
    """Run the file server; yields its address."""
    module = ("perf.files", str(folder), *options)
    async with process(*module, stdout=subprocess.PIPE) as running:
        assert running.stdout
        yield f"http://127.0.0.1:{int(await running.stdout.readline())}"


async def connections(folder: Path, size: int, runs: int) -> dict[str, Any]:
    """Measure four connections beside one where each has its own limit."""
    with (folder / "part").open("wb") as file:
        file.truncate(size)
    async with files(folder, "--rate", str(RATE)) as base:
        one, four = (drained(f"{base}/part", size, number) for number in (1, 4))
        taken = await in_turns(runs, one, four)
    what = "one connection to four, 40 MB/s each"
    return figure("urls", "ratio", ratios(*taken), what=what, size=size)


def holes(path: Path, size: int) -> Path:
    """Make a file of *size* zeros that takes no room."""
    path.touch()
    os.truncate(path, size)
    return path


async def latency(folder: Path, name: str, runs: int) -> dict[str, Any]:
    """Measure what 100 ms a request cost."""
    size = (folder / name).stat().st_size
    async with files(folder) as base, files(folder, "--latency", str(LATENCY)) as far:
        near, late = (drained(f"{at}/{name}", size, 4) for at in (base, far))
        taken = await in_turns(runs, near, late)
    what = "rate with 100 ms a request to the rate without"
    return figure("urls", "ratio", ratios(*taken), what=what, size=size)


async def whole(bench: Bench, base: str, name: str, runs: int) -> list[dict[str, Any]]:
    """Measure an import beside curl, and the memory of four at once."""
    near = Bench(bench.folder, bench.service, bench.api, bench.token, base)
    made = bench.folder / "made"
    curl = tool(f"curl -sSf -o {made} {base}/{name}", made)
    mine, tools = await in_turns(runs, fetch(near, name), curl)
    size = (bench.folder / name).stat().st_size
    await four_at_once(near, name)
    return [
        figure("urls", "seconds", mine, what="url to directory", size=size),
        figure("urls", "ratio", ratios(mine, tools), what="url to directory", baseline="curl -o"),
        figure("urls", "MiB", [bench.rss()], what="peak RSS after four at once", size=size),
    ]


async def four_at_once(bench: Bench, name: str) -> None:
    """Import the file four times at the same time."""
    auth = f"-H 'Authorization: Bearer {bench.token}'"
    images = f"{bench.api}/v1/images"
    spec = f'{{"source":{{"type":"url","url":"{bench.files}/{name}"}}}}'
    for number in range(4):
        await shell(f"""curl -sSf {auth} -d '{{"name":"n{number}","spec":{spec}}}' {images}""")
    for number in range(4):
        await shell(f"curl -sSfN {auth} {images}/n{number}/events | grep -q Ready")
        await shell(f"curl -sSf {auth} -X DELETE {images}/n{number}")


async def main(smoke: bool) -> list[dict[str, Any]]:
    """Measure all of it."""
    runs = 1 if smoke else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dense, *_ = await asyncio.to_thread(contents, folder, (16 if smoke else 1024) * MiB)
        lines = [
            await connections(folder, (8 if smoke else 160) * MiB, runs),
            await latency(folder, holes(folder / "holes", 4 * dense.stat().st_size).name, runs),
        ]
        async with started(folder) as bench, files(folder) as base:
            lines += await whole(bench, base, dense.name, runs)
    return lines


if __name__ == "__main__":
    asyncio.run(main(smoke=False))
