"""importer/formats/vmdk.py."""

import struct
from pathlib import Path

import pytest

from importer.config import Limits
from importer.errors import CorruptImage, ImageError, UnsafeImage, UnsupportedImage
from importer.formats import vmdk
from importer.formats.disks import Disks
from importer.formats.inspect import HEAD, inspect_head, inspect_readable
from importer.formats.qemu_img import QemuImg
from importer.model import Format
from importer.stream.readable import FileReadable
from importer.units import KiB, MiB
from tests import images


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The start of a VMDK of 64 MiB."""
    path = images.empty(tmp_path_factory.mktemp("vmdk") / "disk.vmdk", "vmdk", 64 * MiB)
    return path.read_bytes()[:HEAD]


def test_a_sound_header_tells_its_disk(head: bytes) -> None:
    """Sectors become bytes."""
    header = vmdk.parse(head)
    assert (header.virtual_size, header.grain, header.per_table) == (64 * MiB, 64 * KiB, 512)
    assert (header.footer, header.compressed) == (False, False)


@pytest.mark.parametrize(
    ("offset", "data", "error", "said"),
    [
        (0, b"KDMW", CorruptImage, "no header"),
        (4, b"\4", UnsupportedImage, "version is 4"),
        (12, bytes(8), UnsafeImage, "other files"),
        (20, bytes(8), CorruptImage, "grains of 0"),
        (20, b"\xff" * 8, CorruptImage, "grains of"),
        (44, bytes(4), CorruptImage, "0 a table"),
        (44, b"\xff" * 4, CorruptImage, "4294967295 a table"),
    ],
)
def test_a_bad_header_is_refused_by_name(
    offset: int, data: bytes, error: type[ImageError], said: str, head: bytes
) -> None:
    """Each number that cannot be, or that leads outside, has its own refusal."""
    with pytest.raises(error, match=said):
        vmdk.parse(head[:offset] + data + head[offset + len(data) :])


def with_footer(path: Path) -> Path:
    """Make *path*, a streamOptimized file, name its grain directory in a footer, as VMware does."""
    data = bytearray(path.read_bytes())
    footer = bytes(data[:512])
    data[56:64] = b"\xff" * 8
    end = struct.pack("<QII496x", 0, 0, 0)
    while data.endswith(end):
        del data[-512:]
    path.write_bytes(data + struct.pack("<QII496x", 1, 0, 3) + footer + end)
    return path


async def test_a_grain_directory_at_the_end_is_found(
    tmp_path: Path, qemu_img: QemuImg, limits: Limits, disks: Disks
) -> None:
    """The header says the size, the footer where the rest is; the disk equals its source."""
    path = with_footer(images.make("vmdk-stream", tmp_path, 64 * MiB))
    assert path.read_bytes()[56:64] == b"\xff" * 8

    by_head = await inspect_head(path.read_bytes()[:HEAD], None, qemu_img, limits)
    by_ranges = await inspect_readable(FileReadable(path), qemu_img, limits)

    assert (by_head.format, by_head.virtual_size) == (Format.VMDK, 64 * MiB)
    assert (by_ranges.format, by_ranges.virtual_size) == (Format.VMDK, 64 * MiB)
    assert images.virtual_size(path, "vmdk") == 64 * MiB
    await disks.verify(path, Format.VMDK)
    await disks.convert(path, Format.VMDK, tmp_path / "made", "raw")
    assert images.same(tmp_path / "disk.raw", "raw", tmp_path / "made", "raw")


async def test_a_footer_that_is_cut_off_is_refused(
    tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """Without its footer nobody finds anything in such a file."""
    path = with_footer(images.make("vmdk-stream", tmp_path))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 512)
    with pytest.raises(UnsafeImage, match="not safe"):
        await inspect_readable(FileReadable(path), qemu_img, limits)
