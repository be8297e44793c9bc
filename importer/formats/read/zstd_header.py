"""The header of a zstd frame, which says how long its content is before any of it is there.

Format: RFC 8878 section 3.1.1.1. Numbers are little-endian, sizes bytes.
Raises CorruptImage and UnsupportedImage.
"""

from __future__ import annotations

from dataclasses import dataclass

from importer.errors import CorruptImage, UnsupportedImage
from importer.units import KiB, MiB, human

MAGIC = 0xFD2FB528.to_bytes(4, "little")

WINDOW_LOG_MOST = 27
"""Binary logarithm of the largest window that is read, 128 MiB: zstd's own bound, too."""

_BLOCK_MOST = 128 * KiB  # section 3.1.1.2.4
_SKIPPABLE = 0x184D2A50  # section 3.1.2: and the fifteen numbers behind it
_RESERVED, _CHECKSUM = 1 << 3, 1 << 2


@dataclass(frozen=True, slots=True)
class Header:
    """What a frame says of itself."""

    content_size: int | None
    """Bytes that it stands for, where it tells."""

    window: int
    """Bytes of earlier content that its compressed blocks may point back to."""

    has_checksum: bool

    @property
    def block_most(self) -> int:
        """Most bytes in a block, and most that it stands for."""
        return min(self.window, _BLOCK_MOST)


def content_size(head: bytes) -> int | None:
    """Return what the first frame of a file with this *head* stands for; None: it does not tell.

    More frames may follow, so this is what was promised; only its end tells what a file holds.
    """
    at = 0
    while is_skippable(head[at : at + 4]):
        at += 8 + int.from_bytes(head[at + 4 : at + 8], "little")
    if len(head) < at + 5:
        return None
    if head[at : at + 4] != MAGIC:
        raise CorruptImage(
            f"a zstd frame begins with {MAGIC!r}, this one with {head[at : at + 4]!r}"
        )
    end = at + 5 + fields_size(head[at + 4])
    return parse(head[at + 4], head[at + 5 : end]).content_size if len(head) >= end else None


def is_skippable(magic: bytes) -> bool:
    """Return True when a frame that begins so holds nothing for a decoder."""
    return len(magic) == 4 and int.from_bytes(magic, "little") & ~15 == _SKIPPABLE


def fields_size(descriptor: int) -> int:
    """Return the bytes of header that follow its *descriptor*; at least one."""
    return sum(_sizes(descriptor))


def parse(descriptor: int, fields: bytes) -> Header:
    """Return the header that *descriptor* and the *fields* behind it make, or refuse it."""
    if descriptor & _RESERVED:
        raise CorruptImage(f"a zstd frame sets a reserved bit: descriptor {descriptor:#04x}")
    window_size, dictionary_size, size_size = _sizes(descriptor)
    dictionary = int.from_bytes(fields[window_size : window_size + dictionary_size], "little")
    if dictionary:
        raise UnsupportedImage(
            f"the zstd data needs the dictionary {dictionary}, which is not in it; "
            "compress it again without one"
        )
    size = int.from_bytes(fields[len(fields) - size_size :], "little") if size_size else None
    if size is not None and size_size == 2:
        size += 256
    window = _window(fields[0]) if window_size else size or 0
    if window > 1 << WINDOW_LOG_MOST:
        raise UnsupportedImage(
            f"the zstd data needs a window of {human(window)}, at most "
            f"{(1 << WINDOW_LOG_MOST) // MiB} MiB are read; compress it again without --long"
        )
    return Header(size, window, bool(descriptor & _CHECKSUM))


def _sizes(descriptor: int) -> tuple[int, int, int]:
    """Return the bytes of window descriptor, dictionary id and content size."""
    is_single = descriptor >> 5 & 1
    size = (is_single, 2, 4, 8)[descriptor >> 6]
    return 1 - is_single, (0, 1, 2, 4)[descriptor & 3], size


def _window(descriptor: int) -> int:
    """Return the bytes of section 3.1.1.1.2: an exponent, and eighths of it on top."""
    base = 1 << (10 + (descriptor >> 3))
    return base + base // 8 * (descriptor & 7)
