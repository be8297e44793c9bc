"""importer/formats/wrapped.py."""

import random
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from importer.config import Limits
from importer.errors import CorruptImage
from importer.formats.inspect import HEAD, inspect_readable, inspect_start
from importer.formats.qemu_img import QemuImg
from importer.formats.wrapped import unwrap
from importer.model import Compression, Format, ImageInfo
from importer.stream.readable import FileReadable
from importer.units import KiB, MiB
from tests import images

COMPRESSIONS = get_args(Compression)


def wrapped(tmp_path: Path, content: bytes, compression: Compression) -> bytes:
    plain = tmp_path / "plain"
    plain.write_bytes(content)
    return images.compressed(plain, compression).read_bytes()


@pytest.mark.parametrize("compression", COMPRESSIONS)
async def test_a_short_file_is_known_whole(compression: Compression, tmp_path: Path) -> None:
    """What is less than was asked for comes out whole, and it is said that this is all."""
    content = images.numbers(0, 100_000)
    inner = await unwrap(compression, wrapped(tmp_path, content, compression), whole=True, most=MiB)
    assert (inner.head, inner.whole) == (content, True)


@pytest.mark.parametrize("compression", COMPRESSIONS)
async def test_many_members_are_one_file(compression: Compression, tmp_path: Path) -> None:
    """bgzip and pzstd cut a file into many members; its head goes over all of them."""
    content = images.numbers(0, 300_000)
    parts = [content[at : at + 50_000] for at in range(0, len(content), 50_000)]
    file = b"".join(wrapped(tmp_path, part, compression) for part in parts)
    inner = await unwrap(compression, file, whole=True, most=MiB)
    assert (inner.head, inner.whole) == (content, True)


@pytest.mark.parametrize("compression", COMPRESSIONS)
async def test_no_more_than_asked_for_comes_out(compression: Compression, tmp_path: Path) -> None:
    """A bomb is not expanded beyond the head."""
    file = wrapped(tmp_path, bytes(64 * MiB), compression)
    inner = await unwrap(compression, file, whole=True, most=MiB)
    assert (inner.head, inner.whole) == (bytes(MiB), False)


@pytest.mark.parametrize("compression", COMPRESSIONS)
async def test_a_head_ends_anywhere_and_a_file_does_not(
    compression: Compression, tmp_path: Path
) -> None:
    """The same bytes are fine as a beginning, and damaged as the whole file."""
    content = random.Random(1).randbytes(2 * MiB)
    head = wrapped(tmp_path, content, compression)[:MiB]
    inner = await unwrap(compression, head, whole=False, most=MiB)
    assert not inner.whole
    assert content.startswith(inner.head)
    assert len(inner.head) > 800 * KiB
    with pytest.raises(CorruptImage, match="ends too early"):
        await unwrap(compression, head, whole=True, most=2 * MiB)


@pytest.mark.parametrize("compression", COMPRESSIONS)
async def test_a_disk_that_hardly_shrinks_is_not_taken_for_its_head(
    compression: Compression, tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """A compressed MiB may hold less than a MiB, and the disk is still larger than that."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(random.Random(2).randbytes(3 * MiB))
    file = images.compressed(disk, compression)
    info = await inspect_readable(FileReadable(file), qemu_img, limits)
    assert info == ImageInfo(
        format=Format.RAW,
        virtual_size=3 * MiB if compression in ("zstd", "xz") else None,  # they tell
        size=file.stat().st_size,
        compression=compression,
    )


async def test_frames_one_after_the_other_are_not_taken_for_the_first(
    tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """Two zstd frames hold more than the first one says: nobody knows before the end."""
    one = wrapped(tmp_path, bytes(512 * KiB), "zstd")
    head = one + wrapped(tmp_path, images.numbers(0, MiB), "zstd")
    info = await inspect_start(head, len(head), qemu_img, limits)
    assert (info.format, info.virtual_size) == (Format.RAW, None)


async def test_a_disk_that_says_it_is_larger_is_believed(
    tmp_path: Path, qemu_img: QemuImg, limits: Limits
) -> None:
    """Where the first frame is shorter than the partition table's disk, more frames follow."""
    disk = images.raw(tmp_path / "disk.raw")
    subprocess.run(
        ["sfdisk", "-q", str(disk)], input=b"label: gpt\n", capture_output=True, check=True
    )
    content = disk.read_bytes()
    halves = [content[: 4 * MiB], content[4 * MiB :]]
    for parts, expected in [([content], 8 * MiB), (halves, None)]:
        file = b"".join(wrapped(tmp_path, part, "zstd") for part in parts)[:HEAD]
        info = await inspect_start(file, None, qemu_img, limits)
        assert (info.format, info.virtual_size) == (Format.RAW, expected)


@pytest.mark.parametrize("compression", [None, *COMPRESSIONS])
@pytest.mark.parametrize("known", [True, False])
async def test_a_file_without_ranges_is_known_by_its_start(
    compression: Compression | None,
    known: bool,
    tmp_path: Path,
    qemu_img: QemuImg,
    limits: Limits,
) -> None:
    """The first MiB of a published file is enough for a qcow2, compressed or not."""
    path = images.make("qcow2", tmp_path)
    if compression:
        path = images.compressed(path, compression)
    size = path.stat().st_size if known else None
    info = await inspect_start(path.read_bytes()[:HEAD], size, qemu_img, limits)
    assert info == ImageInfo(
        format=Format.QCOW2, virtual_size=8 * MiB, size=size, compression=compression
    )
