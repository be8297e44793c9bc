"""A raw disk that nobody has to send: random data for a share of it, zeros for the rest.

The same number gives the same bytes (AES in counter mode over zeros, NIST SP 800-38A section 6.5),
so every storage class is given the same disk; another number gives other bytes, so that nothing on
the way has seen them before. They can be neither compressed nor found twice. One core makes 7 GiB
of them a second, so it is never the source that is measured.
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from importer.sources import Opened
from importer.stream.pipe import Chunks
from importer.stream.threads import in_thread
from importer.units import CHUNK, SECTOR, MiB

BLOCK = 4 * MiB
"""Bytes that are data or zeros together: whole clusters of every engine (Longhorn v2: 1 MiB)."""

_ZEROS = bytes(CHUNK)
_PARTS = 1_000_000
_AES_BLOCK = 16


@dataclass(frozen=True, slots=True)
class Pattern:
    """What the disk holds."""

    size: int
    """Bytes of the disk, whole MiB."""

    share: float
    """Of its blocks that are data: 0 to 1."""

    number: int = 1
    """Tells disks with other bytes apart."""

    @property
    def data(self) -> int:
        """Bytes of its blocks that are data."""
        whole, rest = divmod(self.size, BLOCK)
        return self._before(whole) * BLOCK + (rest if self._is_data(whole) else 0)

    def piece(self, offset: int, length: int) -> bytes:
        """Return the bytes of a chunk or a part of one: ``[offset, offset + length)``."""
        if not self._is_data(offset // BLOCK):
            data = _ZEROS[:length]
        else:
            counter = (offset // _AES_BLOCK).to_bytes(_AES_BLOCK, "big")
            key = self.number.to_bytes(_AES_BLOCK, "big")
            cipher = Cipher(algorithms.AES(key), modes.CTR(counter))
            data = cipher.encryptor().update(_ZEROS[:length])
        # Bytes by chance could begin as some format does: these never do.
        return _label(self.number) + data[SECTOR:] if offset == 0 else data

    def _before(self, block: int) -> int:
        """Return how many blocks before this one are data: spread evenly."""
        return -(-block * round(self.share * _PARTS) // _PARTS)

    def _is_data(self, block: int) -> bool:
        return self._before(block + 1) > self._before(block)


def _label(number: int) -> bytes:
    return f"image-importer bench, disk {number}\n".encode().ljust(SECTOR, b"\0")


class Generated:
    """That disk as a source, which can be read again."""

    rereadable = True

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern

    async def open(self) -> Opened:
        """Return the disk from its first byte on."""
        return Opened(self._chunks(), self._pattern.size)

    async def close(self) -> None:
        """Nothing is held."""

    async def _chunks(self) -> Chunks:
        for offset in range(0, self._pattern.size, CHUNK):
            yield await in_thread(self._pattern.piece, offset, CHUNK)
