"""The service as its users run it: a process, started by its command."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

SETTINGS = {
    "IMPORTER_URL_ALLOW_ADDRESSES": "127.0.0.0/8",
    "IMPORTER_LIMITS_FREE_SPACE": "0",
    "IMPORTER_LOG_LEVEL": "error",
}


@dataclass
class Process:
    """A service that runs."""

    process: asyncio.subprocess.Process
    base: str
    http: aiohttp.ClientSession

    @property
    def peak_rss(self) -> int:
        """Most bytes that the process ever had in memory (VmHWM, proc(5))."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@asynccontextmanager
async def serving(data: Path, settings: Mapping[str, str] = SETTINGS) -> AsyncIterator[Process]:
    """Run ``importer serve`` on *data* until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "importer", "serve", "--data", str(data), "--listen", address),
        env={**os.environ, **SETTINGS, **settings},
    )
    try:
        await _listens(address)
        token = (data / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
            yield Process(process, f"http://{address}", http)
    finally:
        process.terminate()
        assert await process.wait() == 0


async def _listens(address: str) -> None:
    """Wait until somebody answers there; the test's timeout bounds it."""
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"http://{address}/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)
