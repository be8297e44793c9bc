"""importer/formats/compression.py."""

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

from importer.formats.compression import content_size, detect
from tests import images


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (gzip.compress(b"x", mtime=0), "gzip"),
        (lzma.compress(b"x"), "xz"),
        (bz2.compress(b"x"), "bzip2"),
        (bz2.compress(b""), "bzip2"),
        (b"BZh9 is how this text begins", None),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x50\x2a\x4d\x18\x04\0\0\0abcd\x28\xb5\x2f\xfd", "zstd"),
        (b"\x50\x2a\x4d\x18\x04\0\0\0abcd", None),
        (b"", None),
        (b"QFI\xfb", None),
    ],
)
def test_compression_is_told_by_magic(head: bytes, expected: str | None) -> None:
    """Nothing but the first bytes decides."""
    assert detect(head) == expected


@pytest.mark.parametrize("size", [512, 40_000, 100_000, 5_000_000])
def test_a_zstd_frame_tells_its_content_size(size: int, tmp_path: Path) -> None:
    """Every width of the field is read; a frame made from a pipe has none."""
    disk = images.raw(tmp_path / "disk.raw", size, size)
    assert content_size(images.compressed(disk, "zstd").read_bytes()) == size
