"""importer/formats/inspect.py."""

import json
import struct
from pathlib import Path

import pytest

from importer.config import Limits
from importer.errors import CorruptImage, LimitExceeded, NotAnImage, UnsafeImage, UnsupportedImage
from importer.formats.inspect import HEAD, inspect_head, inspect_readable
from importer.formats.qemu_img import QemuImg
from importer.model import Format, ImageInfo
from importer.stream.readable import FileReadable
from importer.units import SECTOR, GiB, MiB, TiB
from tests import images


class Counting(FileReadable):
    """A file that counts the bytes read of it."""

    read = 0

    async def read_at(self, offset: int, length: int) -> bytes:
        data = await super().read_at(offset, length)
        self.read += len(data)
        return data


@pytest.mark.parametrize("kind", ["qcow2", "vhdx", "vpc", "vdi", "vmdk"])
async def test_a_large_image_is_known_by_two_mebibytes(
    kind: str, tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """At most 2 MiB are read of a 100 GiB disk."""
    path = images.empty(tmp_path / "large", images.KINDS[kind][0], 100 * GiB)
    file = Counting(path)
    info = await inspect_readable(file, qemu_img, limits)
    assert info.virtual_size == images.virtual_size(path, info.format)
    assert info.format == images.KINDS[kind][0]
    assert 0 < file.read <= 2 * MiB


async def test_a_large_raw_disk_is_known_by_two_mebibytes(
    tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """A raw disk's ends are enough."""
    file = Counting(images.raw(tmp_path / "large", 100 * GiB))
    info = await inspect_readable(file, qemu_img, limits)
    assert (info.format, info.virtual_size) == (Format.RAW, 100 * GiB)
    assert file.read <= 2 * MiB


@pytest.mark.parametrize("make", [images.iso, images.hybrid_iso])
async def test_an_iso_is_one_hybrid_or_not(
    make: object, tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """A partition table inside an ISO does not make it something else."""
    path: Path = make(tmp_path / "a.iso")  # type: ignore[operator]
    info = await inspect_readable(FileReadable(path), qemu_img, limits)
    assert info == ImageInfo(
        format=Format.ISO,
        virtual_size=images.virtual_size(path, "raw"),
        size=path.stat().st_size,
    )


@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd", "bzip2"])
async def test_a_compressed_qcow2_tells_its_disk(
    compression: str, tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """The head of the file inside tells format and virtual size; the size is the file's own."""
    path = images.compressed(images.make("qcow2", tmp_path), compression)
    info = await inspect_readable(FileReadable(path), qemu_img, limits)
    assert (info.format, info.virtual_size) == (Format.QCOW2, 8 * MiB)
    assert (info.compression, info.size) == (compression, path.stat().st_size)


async def test_a_compressed_raw_disk_has_no_known_size_unless_zstd_tells(
    tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """gzip does not say how much it holds; zstd does when it was made from a file."""
    disk = images.raw(tmp_path / "disk.raw")
    for compression, expected in [("gzip", None), ("zstd", 8 * MiB)]:
        path = images.compressed(disk, compression)
        info = await inspect_readable(FileReadable(path), qemu_img, limits)
        assert (info.format, info.virtual_size) == (Format.RAW, expected)


@pytest.mark.parametrize("kind", ["qcow2", "qcow2-zstd", "qcow2-small", "vmdk", "vdi", "vpc"])
async def test_a_stream_without_length_tells_its_disk(
    kind: str, tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """The head alone is enough for these formats, also where the stream's length is unknown."""
    head = images.make(kind, tmp_path).read_bytes()[:HEAD]
    info = await inspect_head(head, None, qemu_img, limits)
    assert (info.format, info.virtual_size) == (images.KINDS[kind][0], 8 * MiB)


async def test_a_qcow2_with_bitmaps_and_snapshots_tells_its_disk(
    tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """Their tables lie anywhere in the file, and are not needed."""
    path = images.make("qcow2", tmp_path, 64 * MiB)
    images.run("qemu-img", "snapshot", "-c", "one", str(path))
    images.run("qemu-img", "bitmap", "--add", "-f", "qcow2", str(path), "changes")
    info = await inspect_readable(FileReadable(path), qemu_img, limits)
    assert info.virtual_size == 64 * MiB


UNSAFE = {
    "backing file": ("qcow2", "-b", "disk.raw", "-F", "raw"),
    "external data file": ("qcow2", "-o", "data_file=data.raw"),
    "monolithicflat": ("vmdk", "-o", "subformat=monolithicFlat"),
    "descriptor": ("vmdk", "-o", "subformat=twoGbMaxExtentFlat"),
}


@pytest.mark.parametrize("what", UNSAFE)
async def test_what_lies_elsewhere_is_refused(
    what: str, tmp_path: Path, qemu_img: QemuImg, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that needs another one is refused by name, before qemu-img opens it."""
    monkeypatch.chdir(tmp_path)
    images.raw(tmp_path / "disk.raw")
    name, *options = UNSAFE[what]
    images.run("qemu-img", "create", "-q", "-f", name, *options, "image", "8M")
    expected = "descriptor" if name == "vmdk" else what
    with pytest.raises(UnsafeImage, match=expected):
        await inspect_readable(FileReadable(tmp_path / "image"), qemu_img, limits)


async def test_a_vmdk_on_a_parent_is_refused(
    tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """The parent in the embedded descriptor would be opened by qemu-img; oslo lets it pass."""
    parent = images.make("vmdk", tmp_path)
    child = images.run(
        "qemu-img", "create", "-q", "-f", "vmdk", "-b", str(parent), "-F", "vmdk",
        str(tmp_path / "child"),
    )  # fmt: skip
    assert child == ""
    with pytest.raises(UnsafeImage, match="parent"):
        await inspect_readable(FileReadable(tmp_path / "child"), qemu_img, limits)


async def test_a_vmdk_without_capacity_is_refused(
    tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """qemu-img would take the extents from the embedded descriptor, wherever they are."""
    path = images.make("vmdk", tmp_path)
    with pytest.raises(UnsafeImage, match="other files"):
        await inspect_readable(_patched(path, 12, bytes(8)), qemu_img, limits)


@pytest.mark.parametrize(
    ("offset", "data", "error", "says"),
    [
        (4, b"\0\0\0\4", UnsupportedImage, "version is 4"),
        (20, b"\0\0\0\x08", CorruptImage, "cluster_bits is 8"),
        (20, b"\0\0\0\x16", CorruptImage, "cluster_bits is 22"),
        (24, struct.pack(">Q", 1 << 60), CorruptImage, "L1 table has 1 entries"),
        (32, b"\0\0\0\2", UnsupportedImage, "encrypted"),
        (40, b"\0\0\0\0\0\0\0\1", CorruptImage, "L1 table is at"),
        (48, bytes(8), CorruptImage, "refcount table is at"),
        (56, b"\xff\xff\xff\xff", CorruptImage, "clusters, which cannot be"),
        (79, b"\2", CorruptImage, "marked corrupt"),
        (79, b"\4", UnsafeImage, "data file"),
        (79, b"\x20", UnsupportedImage, "unknown incompatible features .bits 5"),
        (72, b"\x80", UnsupportedImage, "unknown incompatible features"),
        (96, b"\0\0\0\7", CorruptImage, "refcount_order is 7"),
        (100, b"\0\0\0\x65", CorruptImage, "header length is 101"),
        (112, struct.pack(">II", 0x44415441, 8) + b"data.raw", UnsafeImage, "data file"),
    ],
)
async def test_a_qcow2_header_is_read_strictly(
    offset: int,
    data: bytes,
    error: type[Exception],
    says: str,
    tmp_path: Path,
    qemu_img: QemuImg,
    limits: Limits,
) -> None:
    """Each field that could mislead a reader is refused by name."""
    path = images.make("qcow2", tmp_path)
    with pytest.raises(error, match=says):
        await inspect_readable(_patched(path, offset, data), qemu_img, limits)


async def test_luks_is_refused(qemu_img: QemuImg, limits: Limits) -> None:
    """An encrypted disk is named as that."""
    head = b"LUKS\xba\xbe\0\1" + bytes(MiB - 8)
    with pytest.raises(UnsupportedImage, match="encrypted"):
        await inspect_head(head, MiB, qemu_img, limits)


async def test_two_formats_in_one_file_are_refused(
    tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """A qcow2 that is an ISO too could be opened as either by somebody else."""
    path = images.make("qcow2", tmp_path)
    with pytest.raises(UnsafeImage, match="iso"):
        await inspect_readable(_patched(path, 32768, b"\1CD001"), qemu_img, limits)


async def test_a_disk_over_the_limit_is_refused(
    tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """A small file may not promise a huge disk."""
    path = images.empty(tmp_path / "huge", "qcow2", 17 * TiB)
    with pytest.raises(LimitExceeded, match=f"{17 * TiB} .*{16 * TiB} "):
        await inspect_readable(FileReadable(path), qemu_img, limits)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"\0" * 511, "511 bytes"),
        (b"<!DOCTYPE html><html>" + b" " * 1024, "HTML page .the server may have answered"),
        (b'<?xml version="1.0"?>' + b" " * 1024, "XML"),
        (json.dumps({"error": ["no"] * 200}).encode(), "JSON"),
        ("Not found, sorry: ÄÖÜ. ".encode() * 50, "text"),
        (b"%PDF-1.7" + bytes(1024), "PDF"),
        (b"PK\x03\x04" + bytes(1020), "ZIP"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(1018), "7z"),
        (b"a" + bytes(256) + b"ustar" + bytes(762), "tar"),
        (b"\x7fELF" + bytes(1020), "ELF"),
        (b"\x89PNG\r\n" + bytes(1018), "PNG"),
        (b"\xed\xab\xee\xdb" + bytes(1020), "RPM"),
        (b"!<arch>\n" + bytes(1016), "Debian package"),
        (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0" + bytes(1000), "Windows program"),
        (bytes(range(1, 200)) * 7, "no whole number of 512-byte sectors"),
    ],
)
async def test_what_is_no_image_is_named(
    content: bytes, says: str, qemu_img: QemuImg, limits: Limits
) -> None:
    """The message says what the file looks like."""
    with pytest.raises(NotAnImage, match=says):
        await inspect_head(content, len(content), qemu_img, limits)


async def test_unknown_sectors_are_a_raw_disk(qemu_img: QemuImg, limits: Limits) -> None:
    """Content that nobody knows is taken as raw when it is whole sectors."""
    content = bytes(range(1, 129)) * 8
    info = await inspect_head(content, 2 * SECTOR, qemu_img, limits)
    assert info == ImageInfo(format=Format.RAW, virtual_size=1024, size=1024)


def _patched(path: Path, offset: int, data: bytes) -> FileReadable:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    return FileReadable(path)
