"""What a whole import costs, upload and URL into a directory, beside tools that do a part of it.

Ends: curl (or nginx's place taken by Python's own file server) on one side, a directory on the
other; each figure is the ratio of wall seconds, ours to the baseline's, taken in turns. Baselines:

* upload of dense data: ``curl -T`` into the simplest aiohttp sink that hashes and writes, without
  and with fsync (ours fsyncs)
* URL of dense data: ``curl -o``
* URL of an ``.xz``: ``curl | xz -d``
* upload of a compressed qcow2, stored as raw: ``qemu-img convert``

and the service's peak RSS after each.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from importer.units import MiB
from perf.report import figure, in_turns, ratios

Run = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Bench:
    """A service, a file server, and a folder."""

    folder: Path
    service: asyncio.subprocess.Process
    api: str
    token: str
    files: str

    def rss(self) -> float:
        """Return the service's peak RSS in MiB."""
        status = Path(f"/proc/{self.service.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def shell(command: str) -> float:
    """Run *command*; return its seconds."""
    start = time.perf_counter()
    process = await asyncio.create_subprocess_shell(command, stdout=subprocess.DEVNULL)
    if await process.wait():
        raise RuntimeError(command)
    return time.perf_counter() - start


def upload(bench: Bench, path: Path, query: str = "") -> Run:
    """Return a run that uploads *path* with curl until it is Ready, and deletes it again."""
    auth = f"-H 'Authorization: Bearer {bench.token}'"
    url = f"{bench.api}/v1/images/bench"

    async def run() -> float:
        seconds = await shell(f"curl -sSf {auth} -T {path} '{url}/content{query}'")
        await shell(f"curl -sSf {auth} -X DELETE {url}")
        return seconds

    return run


def fetch(bench: Bench, name: str) -> Run:
    """Return a run that imports a file from its URL until it is Ready, and deletes it again."""
    auth = f"-H 'Authorization: Bearer {bench.token}'"
    url = f"{bench.api}/v1/images"
    source = f'{{"type":"url","url":"{bench.files}/{name}"}}'
    body = f'{{"name":"bench","spec":{{"source":{source}}}}}'

    async def run() -> float:
        create = f"curl -sSf {auth} -d '{body}' {url}"
        follow = f"curl -sSfN {auth} {url}/bench/events | grep -q Ready"
        seconds = await shell(f"{create} && {follow}")
        await shell(f"curl -sSf {auth} -X DELETE {url}/bench")
        return seconds

    return run


def tool(command: str, made: Path) -> Run:
    """Return a run of *command*, which makes *made*."""

    async def run() -> float:
        seconds = await shell(command)
        made.unlink()
        return seconds

    return run


async def main(smoke: bool) -> list[dict[str, Any]]:
    """Measure each import beside its baselines."""
    size = (16 if smoke else 1024) * MiB
    runs = 1 if smoke else 5
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        dense, packed, qcow2 = await asyncio.to_thread(contents, Path(folder), size)
        async with started(Path(folder)) as bench, sink(Path(folder)) as plain_sink:
            made = Path(folder) / "made"
            out = f"-o {made}"
            pairs: list[tuple[str, Run, str, Run]] = [
                (
                    "upload dense",
                    upload(bench, dense),
                    "curl -T into a hashing sink",
                    tool(f"curl -sSf -T {dense} {plain_sink}/sunk", Path(folder) / "sunk"),
                ),
                (
                    "url dense",
                    fetch(bench, dense.name),
                    "curl -o",
                    tool(f"curl -sSf {out} {bench.files}/{dense.name}", made),
                ),
                (
                    "url xz",
                    fetch(bench, packed.name),
                    "curl | xz -d",
                    tool(f"curl -sSf {bench.files}/{packed.name} | xz -dc > {made}", made),
                ),
                (
                    "upload qcow2 to raw",
                    upload(bench, qcow2, "?format=raw"),
                    "qemu-img convert",
                    tool(f"qemu-img convert -f qcow2 -O raw {qcow2} {made}", made),
                ),
            ]
            for name, ours, baseline, theirs in pairs:
                mine, tools = await in_turns(runs, ours, theirs)
                lines.append(
                    figure("imports", "seconds", mine, what=name, size=size, rss_MiB=bench.rss())
                )
                lines.append(
                    figure("imports", "ratio", ratios(mine, tools), what=name, baseline=baseline)
                )
            async with sink(Path(folder), "--durable") as durable:
                curl = tool(f"curl -sSf -T {dense} {durable}/sunk", Path(folder) / "sunk")
                mine, tools = await in_turns(runs, upload(bench, dense), curl)
                baseline = "curl -T into a hashing sink with fsync"
                pair = ratios(mine, tools)
                lines.append(
                    figure("imports", "ratio", pair, what="upload dense", baseline=baseline)
                )
    return lines


def contents(folder: Path, size: int) -> tuple[Path, Path, Path]:
    """Make a dense raw file, the same half compressible as .xz, and as compressed qcow2."""
    dense, mixed = folder / "dense.raw", folder / "mixed.raw"
    with dense.open("wb") as file, mixed.open("wb") as other:
        for number in range(size // MiB):
            block = bytearray(os.urandom(MiB))
            if not number:
                block[510:512] = b"\x55\xaa"
            file.write(block)
            other.write(block[: MiB // 4] + bytes(range(256)) * (3 * MiB // 4 // 256))
    packed, qcow2 = folder / "mixed.raw.xz", folder / "mixed.qcow2"
    subprocess.run(f"xz -1 -c {mixed} > {packed}", shell=True, check=True)
    subprocess.run(
        ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", mixed, qcow2], check=True
    )
    mixed.unlink()
    return dense, packed, qcow2


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[Bench]:
    """Run the service as its users do, and a file server on *folder*."""
    data = folder / "data"
    environment = {
        **os.environ,
        "IMPORTER_URL_ALLOW_ADDRESSES": "127.0.0.0/8",
        "IMPORTER_LIMITS_FREE_SPACE": "0",
        "IMPORTER_UPLOAD_PATIENCE": "600",
        "IMPORTER_LOG_LEVEL": "error",
    }
    port, web = free_port(), free_port()
    serve = ("importer", "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}")
    files = ("http.server", "--bind", "127.0.0.1", "--directory", str(folder), str(web))
    async with process(*serve, env=environment) as service, process(*files) as _:
        for url in (f"http://127.0.0.1:{port}/readyz", f"http://127.0.0.1:{web}/dense.raw -r 0-1"):
            await shell(f"curl -sf --retry 50 --retry-connrefused --retry-delay 1 {url}")
        token = (data / "token").read_text().strip()
        yield Bench(folder, service, f"http://127.0.0.1:{port}", token, f"http://127.0.0.1:{web}")


@asynccontextmanager
async def process(*module: str, **more: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python module as a process until the block ends."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *module, stderr=subprocess.DEVNULL, **more
    )
    try:
        yield running
    finally:
        running.terminate()
        await running.wait()


@asynccontextmanager
async def sink(folder: Path, *options: str) -> AsyncIterator[str]:
    """Run the baseline's sink; yields its address."""
    module = ("perf.sink", str(folder / "sunk"), *options)
    async with process(*module, stdout=subprocess.PIPE) as running:
        assert running.stdout
        port = int(await running.stdout.readline())
        yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


if __name__ == "__main__":
    asyncio.run(main(smoke=False))
