"""importer/formats/vhdx.py."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.config import Limits
from importer.errors import CorruptImage, ImageError, UnsafeImage
from importer.formats import vhdx
from importer.formats.inspect import inspect_readable
from importer.formats.qemu_img import QemuImg
from importer.stream.readable import FileReadable
from importer.units import GiB, KiB, MiB
from tests import images

METADATA_GUID = vhdx._METADATA


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A VHDX of 3 GiB, which holds nothing."""
    path = images.empty(tmp_path_factory.mktemp("vhdx") / "disk.vhdx", "vhdx", 3 * GiB)
    return path.read_bytes()


def region_of(disk: bytes) -> bytes:
    at = vhdx.regions(disk).metadata
    return disk[at : at + vhdx.METADATA_READ]


def test_a_sound_file_tells_its_disk(disk: bytes) -> None:
    """Sizes are found by way of both tables."""
    found = vhdx.metadata(region_of(disk))
    assert (found.virtual_size, found.sector) == (3 * GiB, 512)
    assert found.block in (8 * MiB, 16 * MiB, 32 * MiB)


def test_a_differencing_disk_is_unsafe(disk: bytes) -> None:
    """A VHDX may be only what differs from another file."""
    region = bytearray(region_of(disk))
    (at,) = struct.unpack_from("<I", region, region.index(vhdx._PARAMETERS) + 16)
    region[at + 4] |= 2
    with pytest.raises(UnsafeImage, match="parent"):
        vhdx.metadata(bytes(region))


@pytest.mark.parametrize("length", [0, 8, 11, 12, 31, 32, 100])
def test_tables_that_are_cut_off_are_corrupt(disk: bytes, length: int) -> None:
    """Nothing is read beyond the bytes that are there."""
    with pytest.raises(CorruptImage):
        vhdx.metadata(region_of(disk)[:length])
    with pytest.raises(CorruptImage):
        vhdx.regions(disk[: 192 * KiB + min(length, 40)])


@pytest.mark.parametrize("at", [64 * MiB, 1 << 62, 0xFFFFFFFFFFF00000])
async def test_metadata_beyond_the_file_is_corrupt(
    at: int, disk: bytes, tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """The table may point anywhere; nobody follows it out of the file."""
    path = tmp_path / "disk.vhdx"
    changed = bytearray(disk)
    struct.pack_into("<Q", changed, disk.index(METADATA_GUID, 192 * KiB) + 16, at)
    path.write_bytes(changed)
    with pytest.raises(CorruptImage, match=f"metadata is at {at}"):
        await inspect_readable(FileReadable(path), qemu_img, limits)


EDITS = st.lists(
    st.tuples(
        st.integers(0, 300) | st.integers(64 * KiB, 64 * KiB + 64),
        st.binary(min_size=1, max_size=8),
    ),
    max_size=6,
)


@given(edits=EDITS, cut=st.integers(0, vhdx.METADATA_READ))
def test_damage_to_metadata_is_a_refusal_or_a_size(
    disk: bytes, edits: list[tuple[int, bytes]], cut: int
) -> None:
    """Whatever the region holds, the answer is numbers or an error with a name."""
    region = bytearray(region_of(disk))
    for at, data in edits:
        region[at : at + len(data)] = data
    try:
        found = vhdx.metadata(bytes(region[:cut]))
    except ImageError:
        return
    assert found.block >= MiB
    assert found.chunk_ratio > 0
