"""xz, block beside block: the same bytes and the same refusals as one thread gives."""

import asyncio
import lzma
import os
import random
import subprocess
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.errors import CorruptImage, ImporterError, UnsupportedImage
from importer.stream.pipe import Chunks, Pipe
from importer.stream.unxz import BLOCK, Room, unxz
from importer.stream.xz_blocks import HEADER, footer, number
from importer.units import KiB, MiB

_RANDOM = random.Random(4)
PLAIN = b"".join(_RANDOM.randbytes(700) + bytes(300) for _ in range(3000))
"""3 MB that compress somewhat."""


def xz(options: str, plain: bytes = PLAIN) -> bytes:
    """Return *plain* as the xz program packs it."""
    command = ["xz", "-c", *options.split()]
    return subprocess.run(command, input=plain, capture_output=True, check=True).stdout


BLOCKS = xz("-T2 -0 --block-size=100KiB")
"""30 blocks whose headers tell their sizes."""


async def chunks(data: bytes, size: int) -> Chunks:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def expanded(data: bytes, size: int = 64 * KiB, room: Room | None = None) -> bytes:
    async with Pipe(chunks(data, size)) as path:
        path.through(unxz(room or Room(), threads=2))
        return b"".join([chunk async for chunk in path.chunks])


@pytest.mark.parametrize(
    "options",
    [
        "-T2 -0 --block-size=100KiB",
        "-T1 -0 --block-size=100KiB",
        "-T1 -6",
        "-T2 --check=sha256 --block-size=70001",
        "-T2 --check=none --block-size=1MiB",
        "-T2 --check=crc32 --x86 --lzma2=dict=64KiB --block-size=300KiB",
        "-T2 --delta=dist=4 --lzma2=preset=0,lc=0,pb=0 --block-list=65536,1,100000",
    ],
)
async def test_files_of_every_shape_expand(options: str) -> None:
    """With and without sizes in headers, whatever filters and checks there are."""
    assert await expanded(xz(options)) == PLAIN


@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_small_chunks_give_the_same(size: int) -> None:
    """How the bytes are cut on their way makes no difference."""
    plain = PLAIN[:20000]
    assert await expanded(xz("-T2 --block-size=4KiB", plain), size) == plain


async def test_bytes_that_do_not_compress_expand() -> None:
    """Chunks that LZMA2 keeps as they are have lengths of another kind."""
    plain = os.urandom(MiB)
    assert await expanded(xz("-T2 --block-size=200KiB", plain)) == plain


async def test_streams_and_padding_are_one_file() -> None:
    """Several streams, empty ones too, and zeros between them."""
    empty = lzma.compress(b"")
    packed = BLOCKS + bytes(8) + empty + xz("-T1", b"more") + bytes(512) + empty
    assert await expanded(packed) == PLAIN + b"more"
    assert await expanded(empty) == b""


async def test_thousands_of_tiny_streams_are_one_file() -> None:
    """Each is a thousandth of what is worth a thread: they are expanded together."""
    assert await expanded(lzma.compress(b"tiny") * 5000) == b"tiny" * 5000


async def test_a_block_larger_than_is_kept_comes_in_pieces() -> None:
    """A block of more than BLOCK bytes never takes more room than a few pieces."""
    size = BLOCK + 5 * MiB + 1
    packed = xz(f"-T2 -0 --block-size={2 * BLOCK}", bytes(size))
    room, most, got = Room(), 0, 0
    async with Pipe(chunks(packed, 4 * KiB)) as path:
        path.through(unxz(room, threads=2))
        async for chunk in path.chunks:
            assert not any(chunk)
            got += len(chunk)
            most = max(most, room.used)
    assert got == size
    assert 0 < most < 16 * MiB
    assert room.used == 0


async def test_a_full_room_means_one_block_at_a_time() -> None:
    """An import goes on, slower, when others have all the room there is."""
    room = Room(1000)
    room.take(1000)
    assert await expanded(BLOCKS, room=room) == PLAIN
    assert room.used == 1000


@pytest.mark.parametrize("cut", [1, 9, 12, 20, 3000, len(BLOCKS) // 2, len(BLOCKS) - 5])
async def test_a_file_that_was_cut_off_is_corrupt(cut: int) -> None:
    """A file that ends inside a stream is never taken for a whole one."""
    with pytest.raises(CorruptImage, match="ends too early"):
        await expanded(BLOCKS[:-cut])


async def test_garbage_after_the_end_is_corrupt() -> None:
    """What follows the last stream must be another one, or zeros."""
    with pytest.raises(CorruptImage, match="followed by"):
        await expanded(BLOCKS + b"garbage that is no stream")


async def test_blocks_that_were_exchanged_are_found() -> None:
    """Each block is sound, and the index has them in another order."""
    one, two = (xz("-T1", bytes([size % 251]) * size) for size in (1000, 70000))
    blocks = [each[HEADER : -_after(each)] for each in (one, two)]
    index = b"\0\x02" + _record(one) + _record(two)
    index += bytes(-len(index) % 4)
    index += zlib.crc32(index).to_bytes(4, "little")
    end = index + footer(len(index), one[:HEADER])
    assert len(await expanded(one[:HEADER] + blocks[0] + blocks[1] + end)) == 71000
    with pytest.raises(CorruptImage, match="index"):
        await expanded(one[:HEADER] + blocks[1] + blocks[0] + end)


def _after(packed: bytes) -> int:
    """Return the bytes of index and footer of a file of one stream."""
    return (int.from_bytes(packed[-8:-4], "little") + 1) * 4 + HEADER


def _record(packed: bytes) -> bytes:
    """Return what the index of a file of one block has of it."""
    index = packed[-_after(packed) : -HEADER]
    return index[2 : number(index, number(index, 2)[1])[1]]


SMALL = xz("-T2 --block-size=2KiB", PLAIN[:9000])


@given(at=st.integers(0, len(SMALL) - 1), value=st.integers(1, 255))
async def test_damage_is_found(at: int, value: int) -> None:
    """A flipped byte anywhere is a named error: never other bytes, and never the same ones."""
    packed = bytearray(SMALL)
    packed[at] ^= value
    with pytest.raises(ImporterError):
        await expanded(bytes(packed))


async def test_a_file_that_wants_too_much_memory_is_refused() -> None:
    """A dictionary larger than the memory allowed is refused with what to do about it."""
    with pytest.raises(UnsupportedImage, match="smaller dictionary"):
        await expanded(xz("-T1 --lzma2=dict=512MiB", os.urandom(MiB)))


async def test_leaving_early_leaves_no_task() -> None:
    """Who stops reading, or is cancelled, waits for the threads and gives back the room."""
    room = Room()
    async with Pipe(chunks(BLOCKS, 64 * KiB)) as path:
        path.through(unxz(room, threads=2))
        await anext(path.chunks)
    assert room.used == 0
    assert [task for task in asyncio.all_tasks() if task.get_name() == "unxz"] == []
