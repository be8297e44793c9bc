"""The simplest aiohttp server that hashes an upload and writes it to a file: the baseline.

    python -m perf.sink FILE [--durable] [--bare]

prints its port. --durable: fsync before the answer, as the importer does. --bare: do nothing with
the bytes, neither hash nor write them.
"""

import asyncio
import hashlib
import os
import sys
from pathlib import Path

from aiohttp import web


async def main(path: Path, durable: bool, bare: bool) -> None:
    """Serve until killed."""

    async def take(request: web.Request) -> web.Response:
        digest = hashlib.sha256()
        with path.open("wb") as file:
            async for chunk in request.content.iter_any():
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        return web.Response(text=digest.hexdigest())

    async def drop(request: web.Request) -> web.Response:
        async for _ in request.content.iter_any():
            pass
        return web.Response()

    app = web.Application(client_max_size=1 << 50)
    app.router.add_put("/{name}", drop if bare else take)
    runner = web.AppRunner(app, read_bufsize=1 << 20) if bare else web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), "--durable" in sys.argv, "--bare" in sys.argv))
