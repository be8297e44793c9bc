"""Digests of the file as published, taken while it passes."""

import asyncio
import hashlib
from collections.abc import Iterable

from importer.errors import ChecksumMismatch
from importer.stream.pipe import Chunks


class Digests:
    """Running digests over everything that passed."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        # usedforsecurity=False: md5 and sha1 are here because publishers still print them.
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
        self.size = 0

    def update(self, chunk: bytes) -> None:
        """Take *chunk* in. hashlib lets other threads run meanwhile."""
        for digest in self._hashes.values():
            digest.update(chunk)
        self.size += len(chunk)

    def hex(self) -> dict[str, str]:
        """Return the digests so far, by algorithm."""
        return {name: digest.hexdigest() for name, digest in self._hashes.items()}

    def check(self, checksum: str) -> None:
        """Raise ChecksumMismatch unless *checksum*, as ``ALG:HEX``, is what passed."""
        algorithm, _, expected = checksum.partition(":")
        actual = self._hashes[algorithm].hexdigest()
        if actual != expected.lower():
            raise ChecksumMismatch(algorithm, expected.lower(), actual)

    async def hashed(self, chunks: Chunks) -> Chunks:
        """Let *chunks* pass; each is hashed in a thread while the next stage already has it."""
        loop = asyncio.get_running_loop()
        async for chunk in chunks:
            work = loop.run_in_executor(None, self.update, chunk)
            try:
                yield chunk
            finally:
                await work
