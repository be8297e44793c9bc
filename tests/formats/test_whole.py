"""importer/formats/whole.py."""

import subprocess
from pathlib import Path

import pytest

from importer.errors import CorruptImage
from importer.formats import whole
from importer.model import Format
from importer.units import SECTOR, KiB, MiB
from tests import images

SIZE = 8 * MiB


def labelled(path: Path, label: str) -> bytes:
    """Return the head of a disk of SIZE bytes that sfdisk partitioned."""
    images.raw(path, SIZE, data=0)
    subprocess.run(["sfdisk", "-q", path], input=label, text=True, check=True)
    return path.read_bytes()[:MiB]


@pytest.mark.parametrize(
    ("label", "needed"),
    [
        ("label: gpt\nstart=2048, size=4096\n", SIZE),
        ("label: dos\nstart=2048, size=4096\nstart=6144, size=2048\n", 8192 * SECTOR),
        ("label: dos\nstart=2048, size=4096\nstart=6144, type=5\nstart=8192\n", SIZE),
    ],
)
def test_a_disk_reaches_to_the_end_of_its_partition_table(
    label: str, needed: int, tmp_path: Path
) -> None:
    """One byte less than the table tells of is too little; both lengths are told."""
    head = labelled(tmp_path / "disk.raw", label)
    whole.check(head, needed, Format.RAW)
    with pytest.raises(CorruptImage, match=f"needs {needed} bytes, has {needed - 1}"):
        whole.check(head, needed - 1, Format.RAW)


@pytest.mark.parametrize("maker", ["mkfs.vfat -F 16", "mkfs.vfat -F 32"])
def test_a_file_system_has_no_partition_table(maker: str, tmp_path: Path) -> None:
    """A boot sector's program where a table would be says nothing of the disk's length."""
    path = tmp_path / "fat.raw"
    with path.open("wb") as file:
        file.truncate(64 * MiB)
    images.run(*maker.split(), str(path))
    head = bytearray(path.read_bytes()[:MiB])
    head[446:510] = b"\x80" + b"\xff" * 15 + bytes(48)
    whole.check(bytes(head), MiB, Format.RAW)


def test_a_boot_record_without_partitions_is_fine(tmp_path: Path) -> None:
    """A signature alone promises nothing, nor do entries that cannot be."""
    head = bytearray(images.raw(tmp_path / "disk.raw", SIZE, data=0).read_bytes())
    whole.check(bytes(head), SECTOR, Format.RAW)
    head[446:462] = b"\x12" * 16
    whole.check(bytes(head), SECTOR, Format.RAW)


def test_an_iso_reaches_to_the_end_of_its_volume(tmp_path: Path) -> None:
    """One byte less than the volume descriptor tells of is too little."""
    path = images.iso(tmp_path / "a.iso")
    head, size = path.read_bytes()[: 64 * KiB], path.stat().st_size
    whole.check(head, size, Format.ISO)
    with pytest.raises(CorruptImage, match=f"needs {size} bytes, has {size - 1}"):
        whole.check(head, size - 1, Format.ISO)
