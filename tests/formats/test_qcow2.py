"""importer/formats/qcow2.py."""

import struct
from pathlib import Path

import pytest

from importer.errors import CorruptImage, ImageError, UnsafeImage, UnsupportedImage
from importer.formats import qcow2
from importer.units import GiB, KiB, MiB, TiB
from tests import images

Edit = tuple[int, str, int]
"""Offset in the header, struct type, value."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The first 64 KiB of a qcow2 of 1 GiB that qemu-img made."""
    path = images.empty(tmp_path_factory.mktemp("qcow2") / "disk.qcow2", "qcow2", GiB)
    return path.read_bytes()[: 64 * KiB]


def edited(head: bytes, *edits: Edit) -> bytes:
    copy = bytearray(head)
    for offset, kind, value in edits:
        struct.pack_into(kind, copy, offset, value)
    return bytes(copy)


def test_a_sound_header_tells_what_qemu_img_made(sound: bytes) -> None:
    """Version, cluster size, virtual size and L1 table are read."""
    header = qcow2.parse(sound)
    assert (header.version, header.cluster, header.virtual_size) == (3, 64 * KiB, GiB)
    assert (header.l1_size, header.l1_offset, header.l2_entry) == (2, 3 * 64 * KiB, 8)


@pytest.mark.parametrize(
    ("options", "version", "cluster", "entry"),
    [
        (("-o", "compat=0.10"), 2, 64 * KiB, 8),
        (("-o", "cluster_size=512"), 3, 512, 8),
        (("-o", "cluster_size=2M"), 3, 2 * MiB, 8),
        (("-o", "extended_l2=on"), 3, 64 * KiB, 16),
        (("-o", "compression_type=zstd"), 3, 64 * KiB, 8),
        (("-o", "lazy_refcounts=on,refcount_bits=64"), 3, 64 * KiB, 8),
    ],
)
def test_every_option_of_qemu_img_that_is_safe_is_read(
    options: tuple[str, ...], version: int, cluster: int, entry: int, tmp_path: Path
) -> None:
    """Today's options give sound headers."""
    path = images.empty(tmp_path / "disk.qcow2", "qcow2", 64 * MiB, *options)
    header = qcow2.parse(path.read_bytes()[:MiB])
    assert (header.version, header.cluster, header.l2_entry) == (version, cluster, entry)
    assert header.virtual_size == 64 * MiB


def test_the_largest_disk_of_small_clusters_is_read(tmp_path: Path) -> None:
    """A 16 TiB disk with 64 KiB clusters has an L1 table of 256 KiB, which is fine."""
    path = images.empty(tmp_path / "disk.qcow2", "qcow2", 16 * TiB)
    assert qcow2.parse(path.read_bytes()[:MiB]).virtual_size == 16 * TiB


INCOMPATIBLE, CLUSTER_BITS, VIRTUAL_SIZE, CRYPT = 72, 20, 24, 32


@pytest.mark.parametrize(
    ("edits", "error", "said"),
    [
        ([(4, ">I", 1)], UnsupportedImage, "version is 1"),
        ([(4, ">I", 4)], UnsupportedImage, "version is 4"),
        ([(CLUSTER_BITS, ">I", 8)], CorruptImage, "cluster_bits is 8"),
        ([(CLUSTER_BITS, ">I", 22)], CorruptImage, "cluster_bits is 22"),
        ([(CLUSTER_BITS, ">I", 2**32 - 1)], CorruptImage, "cluster_bits"),
        ([(CRYPT, ">I", 1)], UnsupportedImage, "encrypted"),
        ([(CRYPT, ">I", 2)], UnsupportedImage, "encrypted"),
        ([(INCOMPATIBLE, ">Q", 2)], CorruptImage, "marked corrupt"),
        ([(INCOMPATIBLE, ">Q", 4)], UnsafeImage, "external data file"),
        ([(INCOMPATIBLE, ">Q", 1 << 5)], UnsupportedImage, r"bits 5\b"),
        ([(INCOMPATIBLE, ">Q", 1 << 63 | 1 << 17)], UnsupportedImage, "bits 17, 63"),
        ([(INCOMPATIBLE, ">Q", 8)], UnsupportedImage, "compression type is 0"),
        ([(INCOMPATIBLE, ">Q", 8), (104, ">B", 2)], UnsupportedImage, "compression type is 2"),
        ([(104, ">B", 1)], UnsupportedImage, "compression type is 1"),
        ([(VIRTUAL_SIZE, ">Q", 2 * GiB)], CorruptImage, "L1 table has 2 entries.* need 4"),
        ([(VIRTUAL_SIZE, ">Q", 2**64 - 1)], CorruptImage, "L1 table"),
        ([(36, ">I", 2**32 - 1)], CorruptImage, "L1 table has 4294967295"),
        ([(40, ">Q", 512)], CorruptImage, "L1 table is at 0x200"),
        ([(40, ">Q", 1 << 60)], CorruptImage, "L1 table is at"),
        ([(48, ">Q", 0)], CorruptImage, "refcount table is at 0x0"),
        ([(48, ">Q", 12345)], CorruptImage, "refcount table is at"),
        ([(56, ">I", 0)], CorruptImage, "refcount table has 0"),
        ([(56, ">I", 2**31)], CorruptImage, "refcount table has"),
        ([(96, ">I", 7)], CorruptImage, "refcount_order is 7"),
        ([(100, ">I", 96)], CorruptImage, "header length is 96"),
        ([(100, ">I", 105)], CorruptImage, "header length is 105"),
        ([(100, ">I", 2**31)], CorruptImage, "header length"),
        ([(112, ">I", 0x44415441), (116, ">I", 8)], UnsafeImage, "data file"),
        (
            [(INCOMPATIBLE, ">Q", 16), (CLUSTER_BITS, ">I", 13), (36, ">I", 999_999)],
            CorruptImage,
            "extended L2",
        ),
    ],
)
def test_a_bad_header_is_refused_by_name(
    sound: bytes, edits: list[Edit], error: type[ImageError], said: str
) -> None:
    """Each number that cannot be, or that leads outside, has its own refusal."""
    with pytest.raises(error, match=said):
        qcow2.parse(edited(sound, *edits))


def test_dirty_is_no_reason_to_refuse(sound: bytes) -> None:
    """Refcounts that were not written yet matter only to whoever writes."""
    assert qcow2.parse(edited(sound, (INCOMPATIBLE, ">Q", 1))).virtual_size == GiB


@pytest.mark.parametrize("length", [0, 3, 4, 71, 103])
def test_a_header_that_is_cut_off_is_corrupt(sound: bytes, length: int) -> None:
    """Nothing is read beyond the bytes that are there."""
    with pytest.raises(CorruptImage, match="ends too early"):
        qcow2.parse(sound[:length])


def test_a_backing_file_is_named(tmp_path: Path) -> None:
    """Whoever sees the refusal learns which file is meant."""
    images.empty(tmp_path / "base.qcow2", "qcow2", MiB)
    over = tmp_path / "over.qcow2"
    images.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-u", "-b", "/etc/shadow",
               str(over), "1M")  # fmt: skip
    with pytest.raises(UnsafeImage, match="backing file '/etc/shadow'"):
        qcow2.parse(over.read_bytes()[:MiB])


def test_snapshots_and_bitmaps_are_cleared_and_nothing_else(sound: bytes) -> None:
    """The skeleton's header differs in the counts of what lies elsewhere in the file."""
    busy = edited(sound, (60, ">I", 3), (64, ">Q", 1 << 20), (88, ">Q", 3))
    cleared = qcow2.without_snapshots(busy)
    assert cleared == edited(sound, (60, ">I", 0), (64, ">Q", 0), (88, ">Q", 2))
