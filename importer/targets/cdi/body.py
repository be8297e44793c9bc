"""The bytes of a request, checked and counted: CDI compares with nothing.

A raw disk that ends early would be a whole one to it.
"""

from importer.errors import SizeMismatch, UnsupportedImage
from importer.model import ImageInfo, Wire
from importer.stream.pipe import Chunks, Pipe
from importer.stream.threads import in_thread
from importer.stream.zeros import runs
from importer.targets.cdi import sniff
from importer.units import SECTOR, round_up


class Body:
    """What is sent of one image."""

    def __init__(self, info: ImageInfo, wire: Wire, announced: int | None) -> None:
        """*announced*: bytes that will come, where that is known."""
        self._wire = wire
        self._is_disk = wire == "as-is" and info.format.is_raw
        if announced is None and self._is_disk:
            announced = info.virtual_size
        self._due = announced
        self.size = 0
        """Bytes that came."""

        self.data = 0
        """Of these, those that are no zeros, in blocks of 4 KiB: CDI leaves the others out."""

    @property
    def is_file(self) -> bool:
        """Whether it is a file of a format that CDI converts, not the disk itself."""
        return self._wire == "qcow2" or (self._wire == "as-is" and not self._is_disk)

    @property
    def length(self) -> int | None:
        """Bytes of the request, where that is known."""
        return None if self._due is None else self._padded(self._due)

    async def through(self, path: Pipe) -> None:
        """Let *path* be checked, counted and padded. Raises UnsafeImage."""
        path.through(self._exactly)
        if not self.is_file:
            head = await path.peek(4 * sniff.HEAD)
            sniff.refuse_nested(head, framed=self._wire == "raw+zstd")

    async def _exactly(self, chunks: Chunks) -> Chunks:
        """Let exactly as many bytes pass as were announced, and pad a disk to whole sectors."""
        tail = b""
        async for chunk in chunks:
            self.size += len(chunk)
            tail = (tail + chunk[-SECTOR:])[-SECTOR:]
            if self._due is not None and self.size > self._padded(self._due):
                raise SizeMismatch(self._due, self.size)
            self.data += await in_thread(_count, chunk) if self._is_disk else len(chunk)
            yield chunk
        if self._due is not None and self._padded(self.size) != self._padded(self._due):
            raise SizeMismatch(self._due, self.size)
        if self._is_disk and tail.startswith(b"conectix"):
            raise UnsupportedImage(
                "the file is a fixed VHD, which shows only at its end: convert it to raw or qcow2"
            )
        if padding := self._padded(self.size) - self.size:
            yield bytes(padding)

    def _padded(self, size: int) -> int:
        return round_up(size, SECTOR) if self._is_disk else size


def _count(chunk: bytes) -> int:
    return sum(end - start for is_data, start, end in runs(chunk) if is_data)
