"""Disk images made by the real tools: numbered content, and the same in every format."""

import gzip
import json
import struct
import subprocess
from pathlib import Path

from importer.units import SECTOR, MiB

STEP = 64 * 1024


def raw(path: Path, size: int = 8 * MiB, data: int = 1 * MiB) -> Path:
    """Make a raw disk of *size* bytes: a boot signature, *data* bytes of numbers, then holes.

    One sector at three quarters is data too, so that the end is looked at.
    """
    with path.open("wb") as file:
        for start in range(0, min(data, size), STEP):
            file.write(numbers(start, min(STEP, min(data, size) - start)))
        file.truncate(size)
        file.seek(510)
        file.write(b"\x55\xaa")
        if size >= 4 * MiB:
            file.seek(size * 3 // 4 // SECTOR * SECTOR)
            file.write(numbers(size, SECTOR))
    return path


def numbers(start: int, length: int) -> bytes:
    """Return *length* bytes in which each eight tell where they lie."""
    words = -(-length // 8)
    return struct.pack(f">{words}Q", *range(start + 1, start + 1 + 8 * words, 8))[:length]


def convert(source: Path, to: Path, format: str, *options: str) -> Path:
    """Convert raw *source* with qemu-img; *options* are its own, as ``-c`` or ``-o x=y``."""
    run("qemu-img", "convert", "-f", "raw", "-O", format, *options, str(source), str(to))
    return to


def empty(path: Path, format: str, size: int, *options: str) -> Path:
    """Make an empty image of *size* bytes, as large as anything: nothing is allocated."""
    run("qemu-img", "create", "-q", "-f", format, *options, str(path), str(size))
    return path


KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "raw": ("raw", ()),
    "qcow2": ("qcow2", ()),
    "qcow2-v2": ("qcow2", ("-o", "compat=0.10")),
    "qcow2-zlib": ("qcow2", ("-c",)),
    "qcow2-zstd": ("qcow2", ("-c", "-o", "compression_type=zstd")),
    "qcow2-extended": ("qcow2", ("-o", "extended_l2=on,cluster_size=128k")),
    "qcow2-small": ("qcow2", ("-o", "cluster_size=512")),
    "vmdk": ("vmdk", ("-o", "subformat=monolithicSparse")),
    "vmdk-stream": ("vmdk", ("-o", "subformat=streamOptimized")),
    "vpc": ("vpc", ("-o", "subformat=dynamic,force_size=on")),
    "vpc-fixed": ("vpc", ("-o", "subformat=fixed,force_size=on")),
    "vhdx": ("vhdx", ()),
    "vhdx-fixed": ("vhdx", ("-o", "subformat=fixed")),
    "vdi": ("vdi", ()),
    "vdi-static": ("vdi", ("-o", "static=on")),
}
"""Every kind of image that is read: name → format of qemu-img, and options of its convert."""


def make(kind: str, folder: Path, size: int = 8 * MiB) -> Path:
    """Return an image of one of KINDS in *folder*, made of ``disk.raw`` there."""
    source = folder / "disk.raw"
    if not source.exists():
        raw(source, size)
    if kind == "raw":
        return source
    name, options = KINDS[kind]
    return convert(source, folder / f"{kind}.{name}", name, *options)


def iso(path: Path, content: int = MiB) -> Path:
    """Make an ISO 9660 image that holds one file of *content* bytes."""
    folder = path.with_suffix(".files")
    folder.mkdir()
    (folder / "content.bin").write_bytes(numbers(0, content))
    run("genisoimage", "-quiet", "-o", str(path), "-V", "TEST", "-J", "-r", str(folder))
    return path


def hybrid_iso(path: Path, content: int = MiB) -> Path:
    """Make an ISO 9660 image whose first sector is a partition table too, as isohybrid does."""
    iso(path, content)
    sectors = path.stat().st_size // SECTOR
    entry = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0x17, b"\0\0\0", 0, sectors)
    with path.open("r+b") as file:
        file.seek(446)
        file.write(entry + bytes(48) + b"\x55\xaa")
    return path


def virtual_size(path: Path, format: str) -> int:
    """Return what ``qemu-img info`` says of the disk's size."""
    out = run("qemu-img", "info", "--output=json", "-f", format, str(path))
    return int(json.loads(out)["virtual-size"])


def same(one: Path, its: str, other: Path, others: str) -> bool:
    """Return True when two images hold the same guest data, by ``qemu-img compare``."""
    command = ["qemu-img", "compare", "-f", its, "-F", others, str(one), str(other)]
    return subprocess.run(command, capture_output=True).returncode == 0


COMPRESSORS: dict[str, tuple[str, ...]] = {
    "xz": ("xz", "-0", "-T1", "-c"),
    "zstd": ("zstd", "-q", "-3", "-c"),
    "bzip2": ("bzip2", "-1", "-c"),
}


def compressed(path: Path, compression: str) -> Path:
    """Return *path* wrapped in one of gzip, xz, zstd and bzip2, as a file beside it."""
    to = path.with_name(f"{path.name}.{compression}")
    if compression == "gzip":
        to.write_bytes(gzip.compress(path.read_bytes(), 1))
    else:
        with to.open("wb") as file:
            subprocess.run([*COMPRESSORS[compression], str(path)], stdout=file, check=True)
    return to


def run(*command: str) -> str:
    """Run a tool and return its output; a failure shows what it said."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
