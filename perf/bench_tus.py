"""What a file costs that comes in many requests, beside the same file in one.

Into the service with a target that drops everything (it hashes, as for every target), from one
client that sends from the page cache (sendfile), so that only the server's side differs:

* tus, a PATCH for each 8 MiB, to PUT in one request: seconds; at least 0.8 of the rate is wanted
* the same in requests of 1 MiB and 64 MiB, and µs that a request costs beside its bytes
* tus at 8 MiB, to ``curl -T`` into a server that drops everything and hashes nothing
* tus at 8 MiB, to PUT: the service's processor time, which a busy machine does not change
"""

import asyncio
import base64
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from importer.units import MiB
from perf.bench_imports import Run, process, sink
from perf.report import figure, in_turns, ratios

PARTS = (1, 8, 64)
"""MiB of one request."""


class Sender:
    """One connection to the service, and a file."""

    def __init__(self, port: int, token: str, path: Path) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        # As every HTTP client: a body's last bytes must not wait for an answer to its headers.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")
        self._token = token
        self._file = path.open("rb")
        self.size = path.stat().st_size

    def ask(
        self, method: str, path: str, at: int = 0, length: int = 0, **headers: str
    ) -> tuple[int, dict[str, str]]:
        """Send a request with *length* bytes of the file from *at* on; return the answer."""
        lines = {
            "Host": "127.0.0.1",
            "Authorization": f"Bearer {self._token}",
            "Content-Length": str(length),
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        head = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())
        end = at + length
        while at < end:
            at += os.sendfile(self._socket.fileno(), self._file.fileno(), at, end - at)
        return self._answer()

    def _answer(self) -> tuple[int, dict[str, str]]:
        status = int(self._answers.readline().split()[1])
        told = {}
        while line := self._answers.readline().strip():
            name, _, text = line.decode().partition(":")
            told[name.lower()] = text.strip()
        self._answers.read(int(told.get("content-length", 0)))
        return status, told


def put(sender: Sender) -> None:
    """Send the file in one request."""
    status, _ = sender.ask("PUT", "/v1/images/bench/content", 0, sender.size)
    _expect(status, 200)


def tus(sender: Sender, part: int) -> None:
    """Send it in requests of *part* bytes."""
    spoken = {"Tus_Resumable": "1.0.0"}
    name = base64.b64encode(b"bench").decode()
    says = {"Upload_Length": str(sender.size), "Upload_Metadata": f"name {name}"}
    status, told = sender.ask("POST", "/v1/uploads", **says, **spoken)
    _expect(status, 201)
    path, kind = "/v1/" + told["location"], "application/offset+octet-stream"
    for at in range(0, sender.size, part):
        length = min(part, sender.size - at)
        says = {"Upload_Offset": str(at), "Content_Type": kind}
        status, _ = sender.ask("PATCH", path, at, length, **says, **spoken)
        _expect(status, 204)


def _expect(status: int, wanted: int) -> None:
    if status != wanted:
        raise RuntimeError(f"the service answers {status}")


def run_of(sender: Sender, send: Callable[[Sender], None]) -> Run:
    """Return a run of *send*; the image is deleted again, which does not count."""

    async def run() -> float:
        start = time.perf_counter()
        await asyncio.to_thread(send, sender)
        seconds = time.perf_counter() - start
        while sender.ask("DELETE", "/v1/images/bench")[0] != 204:
            await asyncio.sleep(0.01)
        return seconds

    return run


def curl(path: Path, bare: str) -> Run:
    """Return a run of ``curl -T`` of *path*."""

    async def run() -> float:
        start = time.perf_counter()
        command = ("curl", "-sSf", "-T", str(path), f"{bare}/sunk")
        done = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
        _expect(await done.wait(), 0)
        return time.perf_counter() - start

    return run


def processor(pid: int) -> float:
    """Return the seconds of processor time that a process has had (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def counted(pid: int, run: Run) -> Run:
    """Return *run* as one that returns the processor time that process *pid* had for it."""

    async def counting() -> float:
        before = processor(pid)
        await run()
        return processor(pid) - before

    return counting


@asynccontextmanager
async def null(folder: Path) -> AsyncIterator[tuple[int, int, str]]:
    """Run the service with the null target; yields its process, port and token."""
    data = folder / "data"
    async with process("perf.null", str(data), stdout=subprocess.PIPE) as running:
        assert running.stdout
        port = int(await running.stdout.readline())
        yield running.pid, port, (data / "token").read_text().strip()


async def main(smoke: bool) -> list[dict[str, Any]]:
    """Measure them in turns."""
    size, runs = (32 if smoke else 1024) * MiB, 1 if smoke else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = dense(folder / "dense.raw", size)
        async with null(folder) as (pid, port, token), sink(folder, "--bare") as bare:
            sender = Sender(port, token, path)
            sides = [lambda of, part=part: tus(of, part * MiB) for part in PARTS]
            one, *many, sunk = await in_turns(
                runs,
                run_of(sender, put),
                *(run_of(sender, side) for side in sides),
                curl(path, bare),
            )
            busy = [counted(pid, run_of(sender, side)) for side in (put, sides[PARTS.index(8)])]
            found = lines(size, one, dict(zip(PARTS, many, strict=True)), sunk)
            return [*found, cost(await in_turns(runs, *busy), size)]


def lines(
    size: int, one: list[float], many: dict[int, list[float]], sunk: list[float]
) -> list[dict[str, Any]]:
    """Return the figures; a ratio is one of rates: more is better."""
    found = [figure("tus", "seconds", one, what="PUT", size=size)]
    for part, taken in many.items():
        what = f"tus, {part} MiB a request"
        requests = -(-size // (part * MiB))
        beside = [(mine - theirs) / requests * 1e6 for mine, theirs in zip(taken, one, strict=True)]
        found += [
            figure("tus", "seconds", taken, what=what, size=size),
            figure("tus", "ratio", ratios(one, taken), what=what, baseline="PUT"),
            figure("tus", "us_per_request", beside, what=what, baseline="PUT"),
        ]
    baseline = "curl -T into a bare sink"
    what = "tus, 8 MiB a request"
    found.append(figure("tus", "ratio", ratios(sunk, many[8]), what=what, baseline=baseline))
    return found


def cost(taken: list[list[float]], size: int) -> dict[str, Any]:
    """Return what tus costs the service, to what PUT does: less is better."""
    one, many = taken
    pairs = ratios(*([max(used, 0.01) for used in side] for side in (many, one)))
    what = "tus, 8 MiB a request"
    return figure("tus", "processor_ratio", pairs, what=what, baseline="PUT", size=size)


def dense(path: Path, size: int) -> Path:
    """Make a raw disk of *size* bytes without a zero block; it stays in the page cache."""
    with path.open("wb") as file:
        for number in range(size // MiB):
            block = bytearray(os.urandom(MiB))
            if not number:
                block[510:512] = b"\x55\xaa"
            file.write(block)
    return path


if __name__ == "__main__":
    asyncio.run(main(smoke=False))
