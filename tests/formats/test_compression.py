"""importer/formats/compression.py."""

import subprocess
from pathlib import Path
from typing import get_args

import pytest

from importer.formats.compression import content_size, detect
from importer.model import Compression
from importer.units import MiB
from tests import images

ZSTD = b"\x28\xb5\x2f\xfd"


@pytest.mark.parametrize("compression", get_args(Compression))
@pytest.mark.parametrize("content", [b"", b"numbered"])
def test_every_compressor_is_known_by_its_magic(
    compression: Compression, content: bytes, tmp_path: Path
) -> None:
    """What the real tools write is told by its first bytes, also when it holds nothing."""
    plain = tmp_path / "disk"
    plain.write_bytes(content)
    assert detect(images.compressed(plain, compression).read_bytes()) == compression


@pytest.mark.parametrize(
    ("head", "found"),
    [
        pytest.param(b"", None, id="empty"),
        pytest.param(b"\x1f\x8b", None, id="too short for gzip"),
        pytest.param(b"\x1f\x8b\x07", None, id="gzip with an unknown method"),
        pytest.param(b"BZh9", None, id="text that begins like bzip2"),
        pytest.param(b"BZh0" + b"1AY&SY", None, id="bzip2 has no level 0"),
        pytest.param(b"\x50\x2a\x4d\x18\x02\0\0\0ab" + ZSTD, "zstd", id="skippable frame first"),
        pytest.param(b"\x5f\x2a\x4d\x18\0\0\0\0" * 3 + ZSTD, "zstd", id="three of them"),
        pytest.param(b"\x60\x2a\x4d\x18\0\0\0\0" + ZSTD, None, id="one past skippable"),
        pytest.param(b"\x50\x2a\x4d\x18\xff\xff\xff\xff", None, id="skips beyond the head"),
        pytest.param(b"\x50\x2a\x4d\x18\0\0\0\0" * 1000, None, id="nothing but skips"),
        pytest.param(bytes(512), None, id="zeros"),
    ],
)
def test_detect(head: bytes, found: Compression | None) -> None:
    """Only a whole magic counts."""
    assert detect(head) == found


@pytest.mark.parametrize("size", [0, 1, 255, 256, 300, 65791, 65792, MiB])
def test_content_size_is_what_zstd_wrote(size: int, tmp_path: Path) -> None:
    """Every width of the field that the real tool uses is read."""
    plain = tmp_path / "disk"
    plain.write_bytes(images.numbers(0, size))
    head = images.compressed(plain, "zstd").read_bytes().ljust(18, b"\0")
    assert content_size(head) == size


def test_content_size_is_none_when_zstd_read_a_pipe() -> None:
    """A compressor that did not know the size wrote none, and none is made up."""
    done = subprocess.run(["zstd", "-q", "-c"], input=bytes(MiB), capture_output=True, check=True)
    assert detect(done.stdout) == "zstd"
    assert content_size(done.stdout) is None


def test_content_size_is_none_after_a_skippable_frame(tmp_path: Path) -> None:
    """pzstd makes many frames behind skippable ones: the first one's size is not the file's."""
    plain = tmp_path / "disk"
    plain.write_bytes(images.numbers(0, MiB))
    frame = images.compressed(plain, "zstd").read_bytes()
    assert content_size(frame) == MiB
    assert content_size(b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + frame) is None
