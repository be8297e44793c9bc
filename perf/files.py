"""A file server for benchmarks: ranges, sendfile, and as slow as asked for.

    python -m perf.files FOLDER [--rate BYTES_PER_SECOND] [--latency SECONDS]

The rate is that of each connection, the latency that of each request. Prints its port.
"""

import argparse
import asyncio
import re
from pathlib import Path

_STEP = 128 * 1024


class Files:
    """One folder, served."""

    def __init__(self, folder: Path, rate: float, latency: float) -> None:
        self._folder = folder
        self._rate = rate
        self._latency = latency

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        try:
            while True:
                await self._answer(await reader.readuntil(b"\r\n\r\n"), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self._latency)
        path = self._folder / head.split(b" ")[1].decode().lstrip("/")
        size = path.stat().st_size
        found = re.search(rb"\r\nrange: bytes=(\d+)-(\d*)", head, re.IGNORECASE)
        start = int(found[1]) if found else 0
        end = min(size, int(found[2]) + 1) if found and found[2] else size
        said = f"206 Part\r\nContent-Range: bytes {start}-{end - 1}/{size}" if found else "200 OK"
        writer.write(
            f'HTTP/1.1 {said}\r\nETag: "one"\r\nContent-Length: {end - start}\r\n\r\n'.encode()
        )
        await self._send(writer, path, start, end)

    async def _send(self, writer: asyncio.StreamWriter, path: Path, start: int, end: int) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with path.open("rb") as file:
            if not self._rate:
                await loop.sendfile(writer.transport, file, start, end - start)
                return
            for at in range(start, end, _STEP):
                await loop.sendfile(writer.transport, file, at, min(_STEP, end - at))
                due = began + (min(at + _STEP, end) - start) / self._rate
                await asyncio.sleep(max(0.0, due - loop.time()))


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--latency", type=float, default=0)
    asked = parser.parse_args()
    files = Files(asked.folder, asked.rate, asked.latency)
    server = await asyncio.start_server(files.connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
