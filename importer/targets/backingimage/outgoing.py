"""The bytes on their way out: exactly as many as announced, whole sectors, counted and hashed."""

from collections.abc import Callable
from dataclasses import dataclass, field

from importer.errors import SizeMismatch
from importer.model import ImageInfo, Wire
from importer.stream.hashed import Digests
from importer.stream.pipe import Chunks, Pipe
from importer.stream.threads import in_thread
from importer.stream.trickle import Silence, trickled
from importer.stream.zeros import runs
from importer.units import SECTOR, round_up


@dataclass(slots=True)
class Outgoing:
    """What is sent of one image."""

    info: ImageInfo
    wire: Wire
    size: int
    """Bytes that come, exactly."""

    refuse_nested: Callable[[bytes], None]
    data: int = 0
    """Bytes so far that are no zeros, in blocks of 4 KiB: Longhorn leaves these out."""

    _digest: Digests = field(default_factory=lambda: Digests(["sha512"]))

    @property
    def padded(self) -> int:
        """Bytes that go out: Longhorn writes whole sectors only (O_DIRECT)."""
        return round_up(self.size, SECTOR)

    @property
    def sha512(self) -> str:
        """Of what went out so far, in hex."""
        return self._digest.hex()["sha512"]

    def along(self, path: Pipe, allowed: Silence) -> Chunks:
        """Let what comes on *path* go this way."""
        path.through(self._exactly)
        path.through(trickled(allowed))
        path.through(self._digest.hashed)
        return path.chunks

    async def _exactly(self, chunks: Chunks) -> Chunks:
        size = 0
        async for chunk in chunks:
            if not size and self.wire == "raw":
                self.refuse_nested(chunk[:SECTOR])
            size += len(chunk)
            if size > self.size:
                raise SizeMismatch(self.size, size)
            self.data += await self._data_in(chunk)
            yield chunk
        if size != self.size:
            raise SizeMismatch(self.size, size)
        if size < self.padded:
            yield bytes(self.padded - size)

    async def _data_in(self, chunk: bytes) -> int:
        is_disk = self.wire == "raw" or (self.wire == "as-is" and self.info.format.is_raw)
        return await in_thread(_count, chunk) if is_disk else len(chunk)


def _count(chunk: bytes) -> int:
    return sum(end - start for is_data, start, end in runs(chunk) if is_data)
