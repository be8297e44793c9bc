"""importer/formats/encode/qcow2.py, read by qemu-img and by Debian's libqcow."""

import json
import os
import subprocess
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given, settings

from importer.errors import SizeMismatch, SourceError, UnsupportedImage
from importer.formats.encode.qcow2 import CLUSTER, MOST, qcow2, qcow2_size
from importer.stream.extent import Data, Extent, Run, Runs, Zero
from importer.units import SECTOR, MiB, TiB, round_up
from tests import images
from tests.formats.encode.disks import SHAPES, disk, joined, plain, runs_of, size, stream

LIBQCOW = """
import sys, pyqcow
disk = pyqcow.file()
disk.open(sys.argv[1])
print(disk.get_media_size())
for offset, length in zip(*[map(int, sys.argv[2:])] * 2):
    disk.seek_offset(offset, 0)
    sys.stdout.flush()
    while length:
        piece = disk.read_buffer(min(length, 1 << 20))
        sys.stdout.buffer.write(piece)
        length -= len(piece)
"""


async def written(path: Path, extents: list[Extent], runs: Runs | None = None) -> Path:
    """Write the qcow2 of *extents* and look that its size was foretold and QEMU finds no fault."""
    runs = runs_of(extents) if runs is None else runs
    with path.open("wb") as file:
        async for chunk in qcow2(runs, stream(extents), size(extents)):
            assert chunk
            if chunk != bytes(len(chunk)):
                file.write(chunk)
            else:
                file.seek(len(chunk), os.SEEK_CUR)
        file.truncate()
    assert path.stat().st_size == qcow2_size(runs, size(extents))
    images.run("qemu-img", "check", "-q", "-f", "qcow2", str(path))
    return path


def libqcow(path: Path, *ranges: tuple[int, int]) -> tuple[int, bytes]:
    """Return the disk's size and the bytes of *ranges*, as libqcow reads them."""
    words = [str(word) for pair in ranges for word in pair]
    read = subprocess.run(
        ["/usr/bin/python3", "-c", LIBQCOW, path, *words], capture_output=True, check=True
    )
    found, content = read.stdout.split(b"\n", 1)
    return int(found), content


@given(shape=SHAPES)
@settings(max_examples=40)
@example(shape=[])
@example(shape=[(True, 1)])
@example(shape=[(False, 1)])
@example(shape=[(False, CLUSTER), (True, CLUSTER + 1)])
@example(shape=[(False, CLUSTER - 1), (True, 2), (False, 3 * CLUSTER)])
async def test_qemu_reads_the_same_disk(shape: list[tuple[bool, int]], tmp_path: Path) -> None:
    """`qemu-img check` finds nothing, and `qemu-img compare` no difference, padding included."""
    extents = disk(shape)
    path = await written(tmp_path / "disk.qcow2", extents)
    source = tmp_path / "disk.raw"
    source.write_bytes(plain(extents))
    images.run("qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", str(source), str(path))


@given(shape=SHAPES.filter(bool))
@settings(max_examples=25)
async def test_libqcow_reads_the_same_disk(shape: list[tuple[bool, int]], tmp_path: Path) -> None:
    """What Longhorn's engine reads it with gives every byte."""
    extents = disk(shape)
    path = await written(tmp_path / "disk.qcow2", extents)
    whole = round_up(size(extents), SECTOR)
    assert libqcow(path, (0, whole)) == (whole, plain(extents).ljust(whole, b"\0"))


async def test_few_clusters_in_many_tebibytes_stay_few(tmp_path: Path) -> None:
    """The tables grow with what is touched, not with the disk; memory with neither."""
    head, middle, tail = (images.numbers(at, 70_000) for at in (0, TiB, 9 * TiB))
    extents: list[Extent] = [
        Data(head),
        Zero(5 * TiB - 70_000),
        Data(middle),
        Zero(4 * TiB - 70_000),
        Data(tail),
    ]
    tracemalloc.start()
    try:
        path = await written(tmp_path / "disk.qcow2", extents)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * MiB
    # Header, 3 clusters of L1 table, 2 of refcounts, 3 L2 tables; 2, 2 and 2 of data.
    assert path.stat().st_size == 15 * CLUSTER
    ranges = (0, 70_000), (5 * TiB, 70_000), (9 * TiB, 70_000), (TiB, 10)
    assert libqcow(path, *ranges) == (9 * TiB + 70_144, head + middle + tail + bytes(10))


@pytest.mark.parametrize(("data", "tables"), [(32760, 8), (32761, 9)])
async def test_a_second_refcount_block_comes_when_the_first_is_full(
    data: int, tables: int, tmp_path: Path
) -> None:
    """32768 clusters are counted in one block, one more in two; the blocks count themselves.

    Zeros that come where the map has data are written.
    """
    length = data * CLUSTER
    start, end = images.numbers(0, MiB), images.numbers(length, 300)
    extents: list[Extent] = [Data(start), Zero(length - MiB - 300), Data(end)]
    runs = (Run(0, length, is_zero=False),)
    path = await written(tmp_path / "disk.qcow2", extents, runs)
    assert path.stat().st_size == (data + tables) * CLUSTER
    assert libqcow(path, (0, MiB), (length - 400, 400))[1] == start + bytes(100) + end


async def test_the_largest_disk_is_read_and_a_larger_one_refused(tmp_path: Path) -> None:
    """At 2 PiB QEMU still opens the table; above, the error says what to use instead."""
    await written(tmp_path / "disk.qcow2", [Zero(MOST)])
    with pytest.raises(UnsupportedImage, match="use raw"):
        qcow2_size((Run(0, MOST + 1, is_zero=True),), MOST + 1)


async def test_no_feature_bit_is_set_and_zeros_are_not_flagged(tmp_path: Path) -> None:
    """Nothing in it needs more than the oldest reader of version 3 knows."""
    extents = [Data(b"x" * CLUSTER), Zero(CLUSTER), Data(b"y" * CLUSTER)]
    path = await written(tmp_path / "disk.qcow2", extents)
    assert path.read_bytes()[72:96] == bytes(24)
    regions = json.loads(images.run("qemu-img", "map", "--output=json", "-f", "qcow2", str(path)))
    assert [(region["zero"], region.get("offset") is None) for region in regions] == [
        (False, False),
        (True, True),
        (False, False),
    ]


@pytest.mark.parametrize("kind", ["hole", "behind"])
async def test_data_where_the_map_has_none_is_refused(kind: str) -> None:
    """A source that changed after its map was read never becomes another disk."""
    runs = (Run(0, CLUSTER, is_zero=kind == "hole"), Run(CLUSTER, CLUSTER, is_zero=True))
    data = b"\1" + bytes(2 * CLUSTER - 1) if kind == "hole" else bytes(2 * CLUSTER - 1) + b"\1"
    with pytest.raises(SourceError, match="changed while it was read"):
        await joined(qcow2(runs, stream([Data(data)]), 2 * CLUSTER))


async def test_zeros_as_data_in_a_hole_do_no_harm() -> None:
    """Zeros that come as bytes where the map has none are left out."""
    runs = (Run(0, 3 * CLUSTER, is_zero=True),)
    chunks = qcow2(runs, stream([Data(bytes(3 * CLUSTER))]), 3 * CLUSTER)
    assert len(await joined(chunks)) == qcow2_size(runs, 3 * CLUSTER)


@pytest.mark.parametrize("length", [CLUSTER - 1, CLUSTER + 1])
async def test_another_size_than_announced_is_refused(length: int) -> None:
    """Fewer or more guest bytes than the header says never make a whole file."""
    runs = (Run(0, CLUSTER, is_zero=False),)
    with pytest.raises(SizeMismatch, match=f"size is {length} bytes, expected {CLUSTER}"):
        await joined(qcow2(runs, stream([Data(bytes(length))]), CLUSTER))
    with pytest.raises(SizeMismatch, match=f"size is {CLUSTER} bytes, expected {length}"):
        qcow2_size(runs, length)
