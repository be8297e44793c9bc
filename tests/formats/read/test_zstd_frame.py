"""importer/formats/read/zstd_frame.py: our frames, those of other tools, and damaged ones."""

import itertools
import random
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import example, given, settings
from hypothesis import strategies as st

from importer.errors import CorruptImage, ImporterError, LimitExceeded, UnsupportedImage
from importer.formats.encode.zstd_frame import BLOCK, zstd_frame
from importer.formats.read.zstd_frame import content_size, extents
from importer.stream.extent import Data, Extent, Zero
from importer.units import CHUNK, GiB, KiB, MiB, TiB
from tests import images
from tests.formats.encode.disks import SHAPES, disk, plain, size, stream
from tests.formats.encode.disks import joined as bytes_of
from tests.formats.read.guest import chunks, collect, joined

RAW, RLE, COMPRESSED = range(3)
HEAD = b"\x28\xb5\x2f\xfd\x00\x38"
"""Of a frame without content size or checksum; its window is 128 KiB."""


def block(kind: int, length: int, content: bytes = b"", *, last: bool = False) -> bytes:
    """Return a block whose header says *length*."""
    return (last | kind << 1 | length << 3).to_bytes(3, "little") + content


def raw(content: bytes, *, last: bool = False) -> bytes:
    return block(RAW, len(content), content, last=last)


END = raw(b"", last=True)


async def read(packed: bytes, step: int = CHUNK, most: int = TiB) -> list[Extent]:
    """Return the extents of *packed*, which comes in chunks of *step* bytes."""
    return await collect(extents(chunks(packed, step), most))


def filled(content: bytes) -> bytes:
    """Return *content* up to the end of its last sector."""
    return content + bytes(-len(content) % 512)


@given(shape=SHAPES, step=st.sampled_from([20_011, 64 * KiB, 200_001, CHUNK]))
@settings(max_examples=25)
@example(shape=[], step=1)
@example(shape=[(False, BLOCK + 1), (True, 2 * BLOCK), (False, 9)], step=1009)
async def test_what_the_encoder_made_is_the_same_disk(
    shape: list[tuple[bool, int]], step: int
) -> None:
    """Every byte, and the head tells how many; zeros in a row are one extent."""
    packed = await bytes_of(zstd_frame(stream(disk(shape)), size(disk(shape))))
    assert content_size(packed[:18]) == size(disk(shape))
    found = await read(packed, step)
    assert joined(found) == filled(plain(disk(shape)))
    assert not any(
        isinstance(one, Zero) and isinstance(two, Zero) for one, two in itertools.pairwise(found)
    )


@given(cuts=st.lists(st.integers(1, 7), min_size=1, max_size=20))
async def test_where_the_file_is_cut_makes_no_difference(cuts: list[int]) -> None:
    """Headers, blocks and what the library reads may be cut anywhere."""
    content = images.numbers(0, 900) + bytes(3000) + b"x" * 5000
    skipped = b"\x5a\x2a\x4d\x18\x03\0\0\0abc"
    packed = b"".join([
        HEAD + raw(content[:100]) + block(RLE, 40, b"\7") + block(RLE, 5000, b"\0", last=True),
        skipped,
        zstd.compress(content),
        zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1}),
        HEAD + END,
    ])  # fmt: skip

    async def pieces() -> Iterator[bytes]:
        at = 0
        for cut in itertools.cycle(cuts):
            if at >= len(packed):
                return
            yield packed[at : at + cut]
            at += cut

    found = await collect(extents(pieces(), TiB))
    expected = content[:100] + b"\7" * 40 + bytes(5000) + content + content
    assert joined(found) == filled(expected)


def sparse(path: Path, seed: int) -> Path:
    """Make a disk of 9 MiB: random, text, holes, and a long way between repetitions."""
    content = random.Random(seed)
    noise = content.randbytes(MiB)
    with path.open("wb") as file:
        for _ in range(6):
            file.write(content.choice([noise, content.randbytes(300_000), b"text " * 50_000]))
            file.seek(content.randrange(0, 800_000), 1)
        file.truncate(9 * MiB)
    return path


OPTIONS = [
    "-1",
    "-3",
    "-19",
    "--fast=5",
    "--no-check",
    "-3 --no-check --long=24",
    "-3 --no-check --no-content-size",
    "-3 --long=27",
    "-B100000 -T2",
    "-B64K --no-check",
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", [1, 2])
async def test_files_of_the_program_are_read(options: str, seed: int, tmp_path: Path) -> None:
    """Whatever the level, with and without checksum, content size and long distances."""
    path = sparse(tmp_path / "disk", seed)
    packed = subprocess.run(
        ["zstd", "-q", "-c", *options.split(), path], capture_output=True, check=True
    ).stdout
    assert joined(await read(packed)) == path.read_bytes()
    assert content_size(packed) == (None if "--no-content" in options else 9 * MiB)


@given(st.lists(st.sampled_from(["raw", "zeros", "ones", "text"]), min_size=1, max_size=12),
       st.integers(1, 300), st.sampled_from([17, 20, 23]))  # fmt: skip
@settings(max_examples=40)
async def test_compressed_blocks_may_follow_others(
    kinds: list[str], seed: int, window: int
) -> None:
    """What a compressed block points back to is there, though the library never saw it."""
    content = random.Random(seed)
    parts, noise = [content.randbytes(BLOCK)], content.randbytes(50_000)
    for kind in kinds:
        made = {"raw": content.randbytes(BLOCK), "zeros": bytes(BLOCK), "ones": b"\1" * BLOCK}
        parts.append(made.get(kind, b"text " * 7000 + noise).ljust(BLOCK, b"."))
    plain = b"".join(parts)
    packer = zstd.ZstdCompressor(
        options={
            zstd.CompressionParameter.window_log: window,
            zstd.CompressionParameter.compression_level: 5,
        }
    )
    packed = packer.compress(plain) + packer.flush()
    assert packed[6] >> 1 & 3 == RAW, "the first block is of noise"
    assert joined(await read(packed)) == filled(plain)


async def test_a_hole_of_a_tebibyte_is_one_extent() -> None:
    """Eight million blocks, none expanded, in little memory."""
    tracemalloc.start()
    try:
        found = await collect(extents(zstd_frame(stream([Zero(TiB)]), TiB), TiB))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == [Zero(TiB)]
    assert peak < 4 * MiB


async def test_data_comes_in_pieces_worth_a_hop() -> None:
    """Neither a block at a time, nor all at once."""
    content = random.Random(1).randbytes(8 * MiB)
    found = await read(await bytes_of(zstd_frame(stream([Data(content)]), len(content))))
    assert joined(found) == content
    assert len(found) <= 24


async def test_short_zeros_are_no_extents_of_their_own() -> None:
    """A disk of sectors that alternate comes as data; its consumer need not write each alone."""
    packed = HEAD + (raw(b"x" * 512) + block(RLE, 512, b"\0")) * 500 + END
    assert [extent.length for extent in await read(packed)] == [500 * 1024 - 512, 512]


BROKEN = {
    "no zstd": (b"QFI\xfb" + bytes(100), "begins with"),
    "something behind it": (HEAD + END + b"abcdefg", "followed by something else"),
    "zeros behind it": (HEAD + END + bytes(512), "followed by something else"),
    "nothing": (b"", "ends too early"),
    "no end": (HEAD + raw(b"x" * 512), "ends too early"),
    "half a header": (HEAD[:5], "ends too early"),
    "half a magic behind it": (HEAD + END + b"\x28", "ends too early"),
    "half a block": (HEAD + raw(b"x" * 512, last=True)[:-1], "ends too early"),
    "no repeated byte": (HEAD + block(RLE, 512, last=True), "ends too early"),
    "reserved type": (HEAD + block(3, 512, b"x" * 512), "type 3"),
    "long block": (HEAD + raw(b"x" * (BLOCK + 1), last=True), "at most 131072"),
    "long repetition": (HEAD + block(RLE, BLOCK + 1, b"\0", last=True), "at most 131072"),
    "above the window": (HEAD[:5] + b"\0" + raw(b"x" * 1025, last=True), "at most 1024"),
    "reserved bit": (HEAD[:4] + b"\x08\x38" + END, "reserved bit"),
    "more than announced": (HEAD[:4] + b"\x20\x05" + raw(b"123456")[:-1], "at most 5"),
    "much more": (HEAD[:4] + b"\x20\x05" + raw(b"123") * 2, "more than the 5 bytes"),
    "less than announced": (HEAD[:4] + b"\x20\x05" + raw(b"123", last=True), "holds 3 bytes"),
    "damaged compressed block": (HEAD + block(COMPRESSED, 9, b"\xff" * 9), "is damaged"),
    "the same behind data": (
        HEAD + raw(b"x" * 512) + block(COMPRESSED, 9, b"\xff" * 9), "is damaged"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("step", [1, CHUNK])
async def test_what_cannot_be_is_refused(name: str, step: int) -> None:
    """Each by name, however it is cut."""
    packed, message = BROKEN[name]
    with pytest.raises(CorruptImage, match=message):
        await read(packed, step)


async def test_a_wrong_checksum_is_refused() -> None:
    """Also when all blocks are raw: the library is asked, for only it can tell."""
    packed = HEAD[:4] + b"\x04\x38" + raw(b"x" * 512, last=True) + b"abcd"
    with pytest.raises(CorruptImage, match="checksum"):
        await read(packed)


async def test_a_dictionary_is_refused() -> None:
    """It is not in the file."""
    with pytest.raises(UnsupportedImage, match="needs the dictionary 7"):
        await read(HEAD[:4] + b"\x01\x38\x07" + END)


async def test_a_large_window_is_refused(tmp_path: Path) -> None:
    """Whatever it holds: 256 MiB of memory are not there."""
    path = sparse(tmp_path / "disk", 1)
    packer = ["zstd", "-q", "-c", "--long=28", "--no-content-size"]
    packed = subprocess.run(packer, input=path.read_bytes(), capture_output=True, check=True).stdout
    with pytest.raises(UnsupportedImage, match=r"window of 256\.0 MiB"):
        await read(packed)


@pytest.mark.parametrize("packed", [
    zstd.compress(bytes(2 * MiB)),
    HEAD + block(RLE, BLOCK, b"\0") * 16 + END,
    HEAD + raw(b"x" * BLOCK) * 16 + END,
    HEAD + raw(b"x") + block(RLE, BLOCK, b"\0") * 20_000 + END,
])  # fmt: skip
async def test_more_than_the_limit_is_refused(packed: bytes) -> None:
    """By what is announced, or where nothing is, when it has come so far."""
    with pytest.raises(LimitExceeded, match="the limit is 1048576"):
        await read(packed, most=MiB)


@pytest.mark.parametrize("part", [
    HEAD + END,
    b"\x50\x2a\x4d\x18\0\0\0\0",
    HEAD + raw(b"x", last=True),
    zstd.compress(b"x"),
])  # fmt: skip
async def test_millions_of_nothing_are_refused(part: bytes) -> None:
    """A file of tiny frames would keep us busy; where that ends does not depend on its size."""
    with pytest.raises(UnsupportedImage, match="too many small blocks"):
        await read(part * 70_000)


async def test_tiny_blocks_take_little_memory() -> None:
    """Many blocks of a byte each are put together again."""
    packed = HEAD + (raw(b"x") + block(RLE, 1, b"\0")) * 30_000 + END
    tracemalloc.start()
    try:
        assert joined(await read(packed)) == b"x\0" * 30_000 + bytes(-60_000 % 512)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * MiB


@given(st.data())
@settings(max_examples=150)
async def test_damaged_frames_are_refused_or_read_as_zstd_does(data: st.DataObject) -> None:
    """Some bytes changed, or the end cut off: what we read of it, the program reads too."""
    content = random.Random(3).randbytes(3000) + bytes(6000) + b"text " * 3000
    made: list[Extent] = [Data(content[:3000]), Zero(6000), Data(content[9000:])]
    sound = [
        await bytes_of(zstd_frame(stream(made), len(content))),
        zstd.compress(content),
        HEAD + raw(content[:3000]) + zstd.compress(content[3000:])[6:],
        HEAD + raw(b"abc", last=True) + zstd.compress(content),
    ]
    packed = bytearray(data.draw(st.sampled_from(sound)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.one_of(st.integers(0, 30), st.integers(0, len(packed) - 1)))
        packed[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(packed))))
    packed = packed[:cut]
    try:
        found = joined(await read(bytes(packed), most=16 * MiB))
    except ImporterError:
        return
    done = subprocess.run(["zstd", "-dcq"], input=packed, capture_output=True)
    assert done.returncode == 0
    assert found == filled(done.stdout)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (HEAD, None),
        (HEAD[:4] + b"\x20\x05", 5),
        (HEAD[:4] + b"\x40\x38\x05\x00", 261),
        (HEAD[:4] + b"\xc0\x38" + (3 * GiB).to_bytes(8, "little"), 3 * GiB),
        (b"\x50\x2a\x4d\x18\x01\0\0\0x" + HEAD[:4] + b"\x20\x05", 5),
        (HEAD[:4] + b"\xc0\x38\0", None),
        (b"", None),
    ],
)
def test_the_head_tells_the_content_size(head: bytes, expected: int | None) -> None:
    """Where it does, and all of it is there."""
    assert content_size(head) == expected


def test_another_file_has_no_content_size() -> None:
    """It is refused, not guessed at."""
    with pytest.raises(CorruptImage, match="begins with"):
        content_size(b"QFI\xfb" + bytes(100))
