"""A local file that can be read anywhere."""

import os
from pathlib import Path

from importer.errors import SourceError
from importer.stream.pipe import Chunks
from importer.stream.threads import in_thread
from importer.units import CHUNK


class FileReadable:
    """A file by its path; each read opens it, so there is nothing to close.

    Raises SourceError when it cannot be read. Satisfies model.Readable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def size(self) -> int:
        """Bytes in the file; of a block device, its capacity."""
        try:
            with self._path.open("rb") as file:
                return file.seek(0, os.SEEK_END)
        except OSError as exc:
            raise SourceError(f"{self._path}: {exc.strerror}") from exc

    async def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes of ``[offset, offset + length)``, fewer only at the file's end."""
        return await in_thread(self._read, offset, length)

    async def chunks(self) -> Chunks:
        """Yield all of the file."""
        offset = 0
        while chunk := await self.read_at(offset, CHUNK):
            yield chunk
            offset += len(chunk)

    def _read(self, offset: int, length: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except OSError as exc:
            raise SourceError(f"{self._path}: {exc.strerror}") from exc
