"""importer/formats/vhd.py."""

from pathlib import Path

import pytest

from importer.config import Limits
from importer.errors import CorruptImage
from importer.formats import vhd
from importer.formats.inspect import inspect_readable
from importer.formats.qemu_img import QemuImg
from importer.model import Format
from importer.stream.readable import FileReadable
from importer.units import GiB, MiB
from tests import images


class Counting(FileReadable):
    """A file that counts the bytes read of it."""

    read = 0

    async def read_at(self, offset: int, length: int) -> bytes:
        data = await super().read_at(offset, length)
        self.read += len(data)
        return data


@pytest.fixture
def fixed(tmp_path: Path) -> Path:
    """A fixed VHD of 8 MiB."""
    return images.make("vpc-fixed", tmp_path)


def test_a_footer_tells_its_disk(fixed: Path) -> None:
    """The size is the disk's, which is all but the footer."""
    size = fixed.stat().st_size
    found = vhd.fixed(fixed.read_bytes()[-vhd.SIZE :], size)
    assert found is not None
    assert found.virtual_size == 8 * MiB == size - vhd.SIZE


@pytest.mark.parametrize("offset", [0, 8, 48, 60, 66, 200, 511])
def test_a_footer_with_any_bit_wrong_is_none(offset: int, fixed: Path) -> None:
    """The checksum covers all of it: a raw disk does not become a VHD by a few letters."""
    footer = bytearray(fixed.read_bytes()[-vhd.SIZE :])
    footer[offset] ^= 1
    assert vhd.footer(bytes(footer)) is None


def test_a_fixed_disk_that_lost_its_middle_is_corrupt(fixed: Path) -> None:
    """The footer says how much comes before it."""
    data = fixed.read_bytes()
    with pytest.raises(CorruptImage, match=f"needs {len(data)} bytes, has {len(data) - 512}"):
        vhd.fixed(data[-vhd.SIZE :], len(data) - 512)


async def test_a_large_fixed_disk_is_known_by_its_last_sector(
    tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """A 100 GiB disk is a fixed VHD, not a raw one, and at most 2 MiB are read to know."""
    path = images.empty(
        tmp_path / "large.vhd", "vpc", 100 * GiB, "-o", "subformat=fixed,force_size=on"
    )
    file = Counting(path)
    info = await inspect_readable(file, qemu_img, limits)
    assert (info.format, info.virtual_size) == (Format.VPC, 100 * GiB)
    assert MiB < file.read <= 2 * MiB
    assert info.size == 100 * GiB + vhd.SIZE


async def test_a_raw_disk_with_a_broken_footer_stays_raw(
    fixed: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """What only resembles a footer is the disk's own content."""
    data = bytearray(fixed.read_bytes())
    data[-1] ^= 1
    fixed.write_bytes(data)
    info = await inspect_readable(FileReadable(fixed), qemu_img, limits)
    assert (info.format, info.virtual_size) == (Format.RAW, len(data))
