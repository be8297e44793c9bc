"""The checksum of a file on this machine, computed while its disk is sent in another form.

What is sent keeps pace with it: were the last bytes to wait for the hash alone, the service would
take the silence for a client that is gone. Raises ChecksumMismatch, and what reading the file does.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from importer.cli.body import LocalFile
from importer.stream.ahead import ahead
from importer.stream.hashed import Digests
from importer.stream.pipe import Pipe


class Checking:
    """The hash of one file, on its way; without a checksum there is nothing to wait for."""

    def __init__(self, path: Path, checksum: str | None) -> None:
        self._checksum = checksum
        self._digests = Digests([checksum.partition(":")[0]] if checksum else [])
        self._news = asyncio.Event()
        self._file = LocalFile(path, lambda _: self._news.set())
        self._task = asyncio.ensure_future(self._run())
        self._task.add_done_callback(lambda _: self._news.set())

    @property
    def done(self) -> int:
        """Bytes of the file that were hashed so far."""
        return self._file.done

    async def reach(self, share: float) -> None:
        """Wait until that *share* of the file is hashed."""
        while self.done < share * self._file.size and not self._task.done():
            self._news.clear()
            await self._news.wait()
        if self._task.done():
            self._task.result()

    async def passed(self) -> None:
        """Wait for the end. Raises ChecksumMismatch."""
        await self._task

    async def stop(self) -> None:
        """Let go of the file."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        if not self._checksum:
            return
        async with Pipe(self._file.chunks()) as path:
            path.through(ahead)
            path.through(self._digests.hashed)
            async for _ in path.chunks:
                pass
        self._digests.check(self._checksum)


async def checksum_of(path: Path, algorithm: str, told: Callable[[int], None]) -> str:
    """Return ``ALG:HEX`` of the file at *path*, telling *told* how many bytes were read so far."""
    digests = Digests([algorithm])
    async with Pipe(LocalFile(path, told).chunks()) as read:
        read.through(ahead)
        read.through(digests.hashed)
        async for _ in read.chunks:
            pass
    return f"{algorithm}:{digests.hex()[algorithm]}"
