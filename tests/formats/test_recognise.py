"""importer/formats/recognise.py."""

import gzip
import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from importer.errors import NotAnImage, UnsafeImage, UnsupportedImage
from importer.formats.recognise import check_raw, format_of
from importer.model import Format
from importer.units import KiB, MiB
from tests import images

BINARY = bytes(range(1, 256)) * 600


def at(offset: int, magic: bytes, length: int = 128 * KiB) -> bytes:
    """Return binary content of *length* bytes with *magic* in it."""
    content = bytearray((BINARY * (length // len(BINARY) + 1))[:length])
    content[offset : offset + len(magic)] = magic
    return bytes(content)


def look(head: bytes) -> None:
    """Ask both questions, as the inspection does."""
    assert format_of(head) is Format.RAW
    check_raw(head, None)


def program() -> bytes:
    """Return what begins like a Windows program: the stub names where the header is."""
    stub = b"MZ".ljust(60, b"\1") + (128).to_bytes(4, "little")
    return stub.ljust(128, b"\1") + b"PE\0\0" + bytes(1000)


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("disk.vmdk"))
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("disk.img", bytes(4096))
    return file.getvalue()


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"<!DOCTYPE html>\n<html>" + b"x" * 600, "HTML page.*server may have answered"),
        (b"\xef\xbb\xbf \n<HTML lang=en>" + b"x" * 600, "HTML page"),
        (b"<html>short</html>", "HTML page"),
        (b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>', "XML.*server"),
        (b'{"error": "not found"}\n', "JSON.*server"),
        (b"[1, 2]".ljust(700), "JSON"),
        (b"404 page not found\n", "text.*server"),
        ("Ünïcödé ".encode() * 100, "text"),
        (("x" * 511 + "é").encode() + b"y" * 100, "text"),
        (at(0, b"%PDF-1.7"), "PDF"),
        (zipped(), "ZIP"),
        (at(0, b"7z\xbc\xaf\x27\x1c"), "7z"),
        (at(0, b"Rar!\x1a\x07\x01\x00"), "RAR"),
        (tar(), "tar"),
        (at(0, b"\x89PNG\r\n\x1a\n"), "PNG"),
        (at(0, b"\xff\xd8\xff\xe0"), "JPEG"),
        (at(0, b"GIF89a"), "GIF"),
        (at(0, b"!<arch>\ndebian-binary"), "Debian package"),
        (at(0, b"\xed\xab\xee\xdb\x03"), "RPM"),
        (program(), "Windows program"),
        (gzip.compress(BINARY), "gzip data"),
    ],
)
def test_what_is_clearly_something_else_is_named(head: bytes, said: str) -> None:
    """The refusal says what the content looks like."""
    with pytest.raises(NotAnImage, match=said):
        look(head)


def test_a_real_program_is_not_a_disk() -> None:
    """Python itself is an ELF program."""
    head = Path(sys.executable).read_bytes()[:MiB]
    with pytest.raises(NotAnImage, match="ELF"):
        check_raw(head, None)


@pytest.mark.parametrize(
    ("head", "said"),
    [(b"", "the file is empty"), (b"\0" * 511, "511 bytes"), (b"\x80", "1 bytes")],
)
def test_too_little_is_no_disk(head: bytes, said: str) -> None:
    """Nothing, and less than one sector, is no disk."""
    with pytest.raises(NotAnImage, match=said):
        format_of(head)


@pytest.mark.parametrize(
    ("offset", "magic"),
    [
        pytest.param(510, b"\x55\xaa", id="boot signature"),
        pytest.param(512, b"EFI PART", id="GPT"),
        pytest.param(4096, b"EFI PART", id="GPT of 4 KiB sectors"),
        pytest.param(1080, b"\x53\xef", id="ext4"),
        pytest.param(0, b"XFSB", id="XFS"),
        pytest.param(65600, b"_BHRfS_M", id="btrfs"),
        pytest.param(512, b"LABELONE", id="LVM"),
        pytest.param(4086, b"SWAPSPACE2", id="swap"),
        pytest.param(0, b"hsqs", id="squashfs"),
    ],
)
@pytest.mark.parametrize("size", [None, 128 * KiB, 128 * KiB + 1])
def test_known_disks_are_raw_whatever_their_size(
    offset: int, magic: bytes, size: int | None
) -> None:
    """A file system or partition table is a disk, also when its last sector is not whole."""
    head = at(offset, magic)
    assert format_of(head) is Format.RAW
    check_raw(head, size)


@pytest.mark.parametrize("kind", ["ext4", "vfat"])
def test_real_file_systems_are_raw(kind: str, tmp_path: Path) -> None:
    """What mkfs makes is a disk."""
    if not (mkfs := shutil.which(f"mkfs.{kind}", path="/usr/sbin:/sbin:/usr/bin")):
        pytest.skip(f"no mkfs.{kind}")
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(128 * MiB)
    images.run(mkfs, str(disk))
    check_raw(disk.read_bytes()[:MiB], 128 * MiB + 1)


def test_zeros_are_an_empty_disk() -> None:
    """A disk that nobody wrote to yet is one, of any size."""
    assert format_of(bytes(MiB)) is Format.RAW
    check_raw(bytes(MiB), MiB + 100)


def test_unknown_content_is_a_disk_only_in_whole_sectors() -> None:
    """Binary content that nobody knows is believed by its size alone."""
    check_raw(BINARY, 300 * 512)
    check_raw(BINARY, None)
    with pytest.raises(NotAnImage, match="153001 bytes"):
        check_raw(BINARY, 153001)


def test_an_iso_is_an_iso_also_as_a_hybrid(tmp_path: Path) -> None:
    """A partition table in its first sector changes nothing."""
    assert format_of(images.iso(tmp_path / "a.iso").read_bytes()[:MiB]) is Format.ISO
    assert format_of(images.hybrid_iso(tmp_path / "b.iso").read_bytes()[:MiB]) is Format.ISO


@pytest.mark.parametrize(("format", "said"), [("qed", "QED"), ("parallels", "Parallels")])
def test_formats_of_qemu_that_are_not_read_are_named(
    format: str, said: str, tmp_path: Path
) -> None:
    """What qemu-img could read and we do not is refused."""
    path = images.empty(tmp_path / "disk", format, 4 * MiB)
    with pytest.raises(UnsupportedImage, match=said):
        format_of(path.read_bytes()[:MiB])


def test_an_encrypted_disk_is_named() -> None:
    """LUKS is known by its magic and version (LUKS1 on-disk format, section 2).

    Written here: qemu-img measures the processor to make one, and gives up on a busy machine.
    """
    with pytest.raises(UnsupportedImage, match="LUKS"):
        format_of(b"LUKS\xba\xbe\0\1" + bytes(MiB - 8))


def test_a_vmdk_descriptor_is_unsafe(tmp_path: Path) -> None:
    """A descriptor without data of its own names other files."""
    path = images.empty(tmp_path / "disk.vmdk", "vmdk", MiB, "-o", "subformat=monolithicFlat")
    with pytest.raises(UnsafeImage, match="descriptor"):
        check_raw(path.read_bytes(), path.stat().st_size)
