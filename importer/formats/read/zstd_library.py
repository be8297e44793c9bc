"""A zstd frame from the place on where only the library can read it, in steps of bounded size.

Raises CorruptImage.
"""

import sys

from importer.errors import CorruptImage
from importer.formats.read.zstd_header import MAGIC, WINDOW_LOG_MOST
from importer.units import KiB, MiB

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PIECE = 64 * KiB
"""Most bytes that the library is given at once: what follows a frame's end is copied."""

_STEP = MiB
"""Most bytes that the library makes at once."""


class Frame:
    """One frame, read by the library."""

    def __init__(self, begun: bytes, unwanted: int) -> None:
        self._begun = begun
        self._unwanted = unwanted  # bytes of its output that were known before
        self._decoder = zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MOST}
        )

    @property
    def has_more(self) -> bool:
        """There are bytes to come before the next of the file."""
        return bool(self._begun) or not (self._decoder.needs_input or self._decoder.eof)

    @property
    def eof(self) -> bool:
        """The frame has ended."""
        return self._decoder.eof

    def step(self, chunk: bytes, at: int) -> tuple[bytes, int]:
        """Return at most _STEP bytes of content, and how far *chunk* is read."""
        begun, self._begun = self._begun, b""
        piece = b"" if begun or self.has_more else chunk[at : at + _PIECE]
        try:
            made = self._decoder.decompress(begun or piece, _STEP)
        except (zstd.ZstdError, EOFError, ValueError) as exc:
            raise CorruptImage(f"zstd data is damaged: {exc}") from exc
        known = min(self._unwanted, len(made))
        self._unwanted -= known
        return made[known:], at + len(piece) - len(self._decoder.unused_data)


def stored(content: bytes) -> bytes:
    """Return the beginning of a frame that holds *content* in raw blocks, and may go on."""
    size = 128 * KiB
    parts = [MAGIC, b"\0", bytes([13 << 3])]  # no content size, no checksum; a window of 8 MiB
    for start in range(0, len(content), size):
        block = content[start : start + size]
        parts += (len(block) << 3).to_bytes(3, "little"), block
    return b"".join(parts)
