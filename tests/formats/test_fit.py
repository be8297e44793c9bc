"""importer/formats/fit.py: what passes is read right by Debian's libqcow, and the rest is named."""

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings

from importer.errors import CorruptImage
from importer.formats import fit
from importer.stream.readable import FileReadable
from importer.units import KiB, MiB, TiB
from tests import images
from tests.formats.encode.test_qcow2 import libqcow
from tests.formats.read.guest import Counted, patched
from tests.formats.read.shapes import Shape, make, shapes

ZEROS = "flagged as zeros"

CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str | None]] = {
    "plain": ((), (), None),
    "version 2": (("-o", "compat=0.10"), (), None),
    "zlib": (("-c",), (), None),
    "out of order": (("-W",), (), None),
    "small clusters": (("-o", "cluster_size=512"), (), None),
    "large clusters": (("-c", "-o", "cluster_size=2M"), (), None),
    "lazy refcounts": (("-o", "lazy_refcounts=on"), (), None),
    "preallocated": (("-o", "preallocation=full"), (), None),
    "written later": ((), ("write -P 5 5M 64k",), None),
    "discarded in version 2": (("-o", "compat=0.10"), ("discard 0 64k",), None),
    "zeros written": ((), ("write -z 0 64k",), f"{ZEROS}, in bytes 0 to 65536 of"),
    "zeros behind zlib": (("-c",), ("write -z 512k 64k",), f"{ZEROS}, in bytes 524288 to 589824"),
    "zeros unmapped": ((), ("write -z -u 64k 128k",), ZEROS),
    "discarded": ((), ("discard 256k 64k",), ZEROS),
    "zeros in a hole": ((), ("write -z 5M 64k",), f"{ZEROS}, in bytes 1048576 to"),
    "zstd": (("-c", "-o", "compression_type=zstd"), (), "compression type is zstd"),
    "zstd, unused": (("-o", "compression_type=zstd"), (), "compression type is zstd"),
    "extended": (("-o", "extended_l2=on"), (), "subclusters"),
}
"""Options of qemu-img convert, commands of qemu-io after it, and the reason."""


@pytest.mark.parametrize("name", CASES)
async def test_what_longhorn_reads_passes(name: str, tmp_path: Path) -> None:
    """The reason names what stands in the way; without one, libqcow reads what qemu-img does."""
    options, commands, reason = CASES[name]
    source = images.raw(tmp_path / "disk.raw")
    path = images.convert(source, tmp_path / "disk.qcow2", "qcow2", *options)
    if commands:
        words = [word for command in commands for word in ("-c", command)]
        images.run("qemu-io", "-d", "unmap", "-f", "qcow2", *words, str(path))
    found = await fit.longhorn(FileReadable(path))
    if reason is None:
        assert found is None
        assert libqcow(path, (0, 8 * MiB)) == (8 * MiB, by_qemu(path))
    else:
        assert found is not None
        assert reason in found


@given(shapes())
@settings(max_examples=20)
async def test_whatever_passes_is_read_right(tmp_path: Path, shape: Shape) -> None:
    """Of every shape, libqcow sees the same bytes as qemu, or there is a reason."""
    path = make(shape, tmp_path)
    if await fit.longhorn(FileReadable(path)) is None:
        length = shape.sectors * 512
        assert libqcow(path, (0, length)) == (length, by_qemu(path))


async def test_an_empty_disk_is_not_for_longhorn(tmp_path: Path) -> None:
    """Libqcow does not open it."""
    path = images.empty(tmp_path / "q", "qcow2", 0)
    assert await fit.longhorn(FileReadable(path)) == "its disk has no bytes"
    with pytest.raises(subprocess.CalledProcessError):
        libqcow(path, (0, 0))


async def test_part_of_a_sector_is_not_for_longhorn(tmp_path: Path) -> None:
    """Libqcow counts it, QEMU does not: the volume would be of another size."""
    path = images.empty(tmp_path / "q", "qcow2", MiB)
    patched(path, 24, struct.pack(">Q", MiB - 100))
    assert await fit.longhorn(FileReadable(path)) == (
        "its virtual size of 1048476 bytes is not whole sectors"
    )
    assert libqcow(path, (0, 0))[0] == MiB - 100


@pytest.mark.parametrize(("at", "value", "reason"), [
    (8, struct.pack(">QI", 0x200, 5), "backing file"),
    (72, struct.pack(">Q", 1 << 2), "external data file"),
    (72, struct.pack(">Q", 1 << 40), "unknown incompatible features"),
])  # fmt: skip
async def test_what_lies_elsewhere_is_no_fit(
    at: int, value: bytes, reason: str, tmp_path: Path
) -> None:
    """The header's own refusals are reasons too."""
    path = images.empty(tmp_path / "q", "qcow2", MiB)
    patched(path, at, value)
    found = await fit.longhorn(FileReadable(path))
    assert found is not None
    assert reason in found


async def test_only_tables_are_read(tmp_path: Path) -> None:
    """A look at a large disk costs its tables, and no data."""
    path = images.empty(tmp_path / "q", "qcow2", TiB)
    images.run("qemu-io", "-f", "qcow2", "-c", "write -P 1 3M 4M", "-c", "write -P 2 512G 2M",
               str(path))  # fmt: skip
    file = Counted(path.read_bytes())
    assert await fit.longhorn(file) is None
    assert file.read <= MiB + 16 * KiB + 2 * 64 * KiB


async def test_damaged_tables_are_refused(tmp_path: Path) -> None:
    """They are nobody's to read."""
    data = bytearray(images.make("qcow2", tmp_path).read_bytes())
    (l1,) = struct.unpack_from(">Q", data, 40)
    struct.pack_into(">Q", data, l1, 1 << 63 | 1 << 40)
    with pytest.raises(CorruptImage):
        await fit.longhorn(Counted(bytes(data)))


def by_qemu(path: Path) -> bytes:
    """Return what qemu-img makes of *path*."""
    to = path.with_suffix(".made")
    images.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(path), str(to))
    return to.read_bytes()
