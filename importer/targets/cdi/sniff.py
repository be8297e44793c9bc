"""What CDI would take a disk for, by its first bytes.

CDI asks nobody what comes: it looks at the first 512 bytes, again after each decompression, and
opens what it knows (CDI: pkg/image/filefmt.go:20-85). A raw disk that begins like a qcow2 would be
opened as one, with the backing file that it names.
"""

from importer.errors import UnsafeImage

HEAD = 512
"""Bytes that CDI looks at."""

_MAGICS: dict[str, tuple[int, bytes]] = {
    "gzip": (0, b"\x1f\x8b"),
    "zstd": (0, b"\x28\xb5\x2f\xfd"),
    "xz": (0, b"\xfd7zXZ\0"),
    "qcow2": (0, b"QFI\xfb"),
    "VMDK": (0, b"KDMV"),
    "VHD": (0, b"conectix"),
    "VHDX": (0, b"vhdxfile"),
    "VDI": (0x40, b"\x7f\x10\xda\xbe"),
}

_FIRST = 17
"""Bytes before the disk's own in our zstd frame: a header of 14, and that of the first block, which
is always raw (RFC 8878 sections 3.1.1.1 and 3.1.1.2)."""


def refuse_nested(head: bytes, framed: bool) -> None:
    """Raise UnsafeImage when CDI would take a raw disk for a file of another format.

    *head*: the first HEAD bytes and more of what is sent; *framed*: in a zstd frame.
    """
    disk = head[_FIRST:] if framed else head
    for name, (offset, magic) in _MAGICS.items():
        if disk[offset:].startswith(magic):
            raise UnsafeImage(
                f"the disk itself begins as a {name} file, which CDI would open instead of it"
            )
