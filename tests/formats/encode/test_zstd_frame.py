"""importer/formats/encode/zstd_frame.py, read by the zstd program and by its library."""

import subprocess
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from backports import zstd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from importer.errors import SizeMismatch
from importer.formats.encode.zstd_frame import BLOCK, frame_size, zstd_frame
from importer.stream.extent import Data, Extent, Zero
from importer.units import GiB, MiB, TiB
from tests import images
from tests.formats.encode.disks import SHAPES, disk, joined, plain, runs_of, size, stream


async def frame(extents: list[Extent]) -> bytes:
    return await joined(zstd_frame(stream(extents), size(extents)))


def unzstd(packed: bytes) -> bytes:
    """Return what the zstd program makes of *packed*."""
    return subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True).stdout


@given(shape=SHAPES)
@example(shape=[])
@example(shape=[(False, 1)])
@example(shape=[(False, BLOCK)])
@example(shape=[(False, BLOCK + 1)])
@example(shape=[(True, BLOCK)])
@example(shape=[(True, BLOCK), (False, BLOCK)])
async def test_the_library_reads_the_frame(shape: list[tuple[bool, int]]) -> None:
    """A decoder gives the guest's bytes, and the size was known before."""
    extents = disk(shape)
    packed = await frame(extents)
    assert zstd.decompress(packed) == plain(extents)
    assert zstandard.ZstdDecompressor().decompress(packed) == plain(extents)
    assert packed[14] >> 1 & 3 == 0  # the first block's type: raw, even of zeros
    assert len(packed) == frame_size(runs_of(extents))
    assert zstd.get_frame_size(packed) == len(packed)


@given(shape=SHAPES)
@settings(max_examples=25)
async def test_the_program_reads_the_frame(shape: list[tuple[bool, int]]) -> None:
    """`zstd -d` gives the guest's bytes."""
    extents = disk(shape)
    assert unzstd(await frame(extents)) == plain(extents)


@given(first=st.integers(1, BLOCK + 1), step=st.integers(600, 3 * BLOCK))
@example(first=BLOCK, step=BLOCK)
@example(first=1, step=BLOCK)
async def test_how_data_was_cut_makes_no_difference(first: int, step: int) -> None:
    """Pieces of any size make the same frame as one piece."""
    data = images.numbers(0, 9 * BLOCK + 700)
    cuts = [0, *range(first, len(data), step), len(data)]
    pieces: list[Extent] = [Data(data[start:end]) for start, end in pairwise(cuts)]
    assert await frame([*pieces, *[Zero(7)] * 1000]) == await frame([Data(data), Zero(7000)])


async def test_four_gib_with_little_data_decode_to_the_same_disk(tmp_path: Path) -> None:
    """`zstd -d` makes a sparse file of 4 GiB, data where it was, from a frame of 2 MiB."""
    start, end = images.numbers(0, MiB), images.numbers(4 * GiB, 5000)
    extents: list[Extent] = [Data(start), Zero(4 * GiB - MiB - 5000), Data(end)]
    packed, path = await frame(extents), tmp_path / "disk"
    assert len(packed) < 2 * MiB
    with path.open("wb") as file:
        subprocess.run(["zstd", "-dc", "--sparse"], input=packed, stdout=file, check=True)
    assert path.stat().st_size == 4 * GiB
    with path.open("rb") as file:
        assert file.read(MiB) == start
        file.seek(4 * GiB - 5001)
        assert file.read() == b"\0" + end
    assert path.stat().st_blocks * 512 < 8 * MiB


async def test_the_library_reads_more_than_two_gib_in_little_memory() -> None:
    """The content size is in the head, and the window stays at 128 KiB: no single segment."""
    end = images.numbers(0, 1000)
    packed = await frame([Zero(3 * GiB), Data(end)])
    assert zstd.get_frame_info(packed).decompressed_size == 3 * GiB + 1000
    decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 17})
    total, piece = 0, decoder.decompress(packed, max_length=4 * MiB)
    while not decoder.eof:
        total += len(piece)
        last, piece = piece, decoder.decompress(b"", max_length=4 * MiB)
    assert total + len(piece) == 3 * GiB + 1000
    assert (last + piece).endswith(b"\0" + end)


async def test_the_zstandard_package_reads_four_gib() -> None:
    """The other common library, with no more of a window than the frame asks for."""
    end = images.numbers(0, 1000)
    packed = await frame([Data(end), Zero(4 * GiB - 2000), Data(end)])
    assert zstandard.get_frame_parameters(packed).content_size == 4 * GiB
    decoder = zstandard.ZstdDecompressor(max_window_size=BLOCK)
    total, last = 0, b""
    with decoder.stream_reader(packed) as reader:
        while piece := reader.read(4 * MiB):
            total += len(piece)
            last = piece
    assert total == 4 * GiB
    assert last.endswith(b"\0" + end)


async def test_a_hole_of_a_tebibyte_costs_nearly_nothing() -> None:
    """Four bytes for each 128 KiB, made in pieces: 32 MiB on the wire, little of it in memory."""
    hole: list[Extent] = [Zero(TiB)]
    tracemalloc.start()
    try:
        wire = 0
        async for chunk in zstd_frame(stream(hole), TiB):
            wire += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert wire == frame_size(runs_of(hole))
    assert wire < 33 * MiB
    assert peak < MiB


@pytest.mark.parametrize("announced", [0, 999, 1001])
async def test_another_size_than_announced_is_refused(announced: int) -> None:
    """Fewer or more bytes than the head says never make a whole frame."""
    with pytest.raises(SizeMismatch, match=f"expected {announced}"):
        await joined(zstd_frame(stream([Data(bytes(900)), Zero(100)]), announced))
