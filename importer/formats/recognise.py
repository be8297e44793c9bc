"""What bytes without a disk format's magic are: a raw disk, or something else by its name.

Sources: file(1)'s magic; UEFI 2.10 section 5 (GPT), ECMA-119 (ISO 9660), the kernel's superblocks.
"""

import struct

from importer.errors import NotAnImage, UnsafeImage, UnsupportedImage
from importer.formats.compression import detect
from importer.model import Format
from importer.units import SECTOR, KiB

_FORMATS: tuple[tuple[int, bytes, Format], ...] = (
    (0, b"QFI\xfb", Format.QCOW2),
    (0, b"KDMV", Format.VMDK),
    (0, b"conectix", Format.VPC),
    (0, b"vhdxfile", Format.VHDX),
    (64, b"\x7f\x10\xda\xbe", Format.VDI),
)

_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"QED\0", "a QED image"),
    (b"LUKS\xba\xbe", "an encrypted disk (LUKS)"),
    (b"COWD", "a VMDK of VMware ESX (COWD)"),
    (b"WithoutFreeSpace", "a Parallels image"),
    (b"WithouFreSpacExt", "a Parallels image"),
    (b"Bochs Virtual HD Image", "a Bochs image"),
    (b"OOOM", "a user-mode Linux COW image"),
    (b"koly", "an Apple disk image"),
    (b"MSWIM\0\0\0", "a Windows imaging file (WIM)"),
)

_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF-", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "an empty ZIP archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x7fELF", "an ELF program"),
    (0, b"\x89PNG\r\n", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"!<arch>\n", "a Debian package or static library"),
    (0, b"\xed\xab\xee\xdb", "an RPM package"),
    (0, b"\x04\x22\x4d\x18", "an lz4 file"),
    (0, b"LZIP", "an lzip file"),
)

_FILE_SYSTEMS: tuple[tuple[int, bytes], ...] = (
    (510, b"\x55\xaa"),
    (512, b"EFI PART"),
    (4096, b"EFI PART"),
    (1024 + 56, b"\x53\xef"),  # ext2, ext3, ext4
    (0, b"XFSB"),
    (64 * KiB + 64, b"_BHRfS_M"),
    (512, b"LABELONE"),  # LVM
    (4086, b"SWAPSPACE2"),
    (0, b"hsqs"),  # squashfs
    (1024, b"\xe2\xe1\xf5\xe0"),  # erofs
    (1024, b"\x10\x20\xf5\xf2"),  # f2fs
    (64 * KiB + 52, b"ReIsEr"),
)

_PVD = 32 * KiB
_PAGE = "the server may have answered with a page instead of the image"


def format_of(head: bytes) -> Format:
    """Return the disk format that *head*, the start of a file, has the magic of.

    RAW means that it has none. Raises UnsupportedImage for formats that are not read, NotAnImage
    for a file too short to be any.
    """
    if not head:
        raise NotAnImage("the file is empty")
    if len(head) < SECTOR:
        _refuse_other(head)
        raise NotAnImage(f"the file has {len(head)} bytes, a disk has at least {SECTOR}")
    for magic, name in _REFUSED:
        if head.startswith(magic):
            raise UnsupportedImage(f"this is {name}, which is not read; convert it first")
    return _by_magic(head) or (Format.ISO if is_iso(head) else Format.RAW)


def refuse_nested(head: bytes) -> None:
    """Raise UnsafeImage when *head*, the start of a raw disk, says that it is no raw disk.

    Who opens it without saying the format would open what it names: other files, for one.
    """
    if found := _by_magic(head):
        raise UnsafeImage(f"the disk inside the image begins as a {found} file; unpack it first")


def _by_magic(head: bytes) -> Format | None:
    found = (kind for offset, magic, kind in _FORMATS if head.startswith(magic, offset))
    return next(found, None)


def is_iso(head: bytes) -> bool:
    """Return True for ISO 9660 and UDF."""
    return head[_PVD + 1 : _PVD + 6] in (b"CD001", b"NSR02", b"NSR03", b"BEA01")


def check_raw(head: bytes, size: int | None) -> None:
    """Raise NotAnImage when *head* is no disk's.

    *size*: bytes of the file, or None while its end has not been seen. Content that nobody knows is
    a disk only when it is whole sectors.
    """
    if not is_known_disk(head):
        _refuse_other(head)
        if size is not None and size % SECTOR:
            raise NotAnImage(
                f"the content is unknown, and {size} bytes are no whole number of {SECTOR}-byte "
                "sectors, as a disk's would be"
            )


def is_known_disk(head: bytes) -> bool:
    """Return True when *head* holds a partition table, a file system, or nothing at all."""
    known = any(head.startswith(magic, offset) for offset, magic in _FILE_SYSTEMS)
    return known or is_iso(head) or not head.strip(b"\0")


def _refuse_other(head: bytes) -> None:
    if head.startswith(b"# Disk DescriptorFile"):
        raise UnsafeImage(
            "this is a VMDK descriptor, its extents lie in other files; make one file of it with "
            "qemu-img convert"
        )
    if name := _other(head):
        raise NotAnImage(f"this is {name}, not a disk image")


def _other(head: bytes) -> str | None:
    for offset, magic, name in _OTHERS:
        if head.startswith(magic, offset):
            return name
    if again := detect(head):
        return f"{again} data inside another compression, or another {again} layer"
    if _is_windows_program(head):
        return "a Windows program"
    return _text(head)


def _is_windows_program(head: bytes) -> bool:
    if not head.startswith(b"MZ") or len(head) < 64:
        return False
    (at,) = struct.unpack_from("<I", head, 60)
    return head[at : at + 4] == b"PE\0\0"


def _text(head: bytes) -> str | None:
    start = head[:SECTOR]
    if b"\0" in start or not _readable(start):
        return None
    begin = start.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if begin.startswith((b"<!doctype html", b"<html", b"<head")):
        return f"an HTML page ({_PAGE})"
    if begin.startswith(b"<"):
        return f"XML ({_PAGE})"
    if begin.startswith((b"{", b"[")):
        return f"JSON ({_PAGE})"
    return f"text ({_PAGE})"


def _readable(start: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n\f\x1b" for byte in start) and _decodes(start)


def _decodes(start: bytes) -> bool:
    # The end of the sector may go through a character of up to four bytes.
    most = 4 if len(start) == SECTOR else 1
    return any(_utf8(start[: len(start) - cut]) for cut in range(most))


def _utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
