"""Outer compression, told by its magic and never by its name.

Sources: RFC 1952 (gzip), the .xz file format 1.2, RFC 8878 (zstd; skippable frames 3.1.2), bzip2.
"""

from importer.model import Compression

_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")  # A block, and the end of an empty file.
_SKIPS = 16


def detect(head: bytes) -> Compression | None:
    """Return what *head*, the start of a file, is wrapped in."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head[:3] == b"BZh" and head[3:4] in b"123456789" and head[4:10] in _BZIP2_BLOCKS:
        return "bzip2"
    return "zstd" if zstd_frame(head) is not None else None


def zstd_frame(head: bytes) -> int | None:
    """Return where the first zstd frame begins in *head*, after skippable ones (pzstd)."""
    offset = 0
    for _ in range(_SKIPS):
        magic = head[offset : offset + 4]
        if magic == b"\x28\xb5\x2f\xfd":
            return offset
        if len(magic) < 4 or int.from_bytes(magic, "little") not in _SKIPPABLE:
            return None
        offset += 8 + int.from_bytes(head[offset + 4 : offset + 8], "little")
    return None


def content_size(head: bytes) -> int | None:
    """Return the bytes that the first zstd frame says it holds (RFC 8878 section 3.1.1.1).

    None where it does not say, or comes after a skippable frame: pzstd, which makes these, makes
    many frames, and then the file holds more than its first one says.
    """
    if zstd_frame(head) != 0 or len(head) < 18:
        return None
    flags = head[4]
    single = flags >> 5 & 1
    width = (1 if single else 0, 2, 4, 8)[flags >> 6]
    if width == 0:
        return None
    at = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    size = int.from_bytes(head[at : at + width], "little")
    return size + 256 if width == 2 else size
