"""Outer compression is undone in bounded steps, or the file is refused by name."""

import bz2
import gzip
import lzma
import os
import subprocess
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from importer.errors import CorruptImage, ImporterError, UnsupportedImage
from importer.model import Compression
from importer.stream.expand import STEP, expand
from importer.stream.pipe import Chunks, Pipe
from importer.units import MiB

PACK = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstd.compress,
}
PLAIN = os.urandom(MiB) + bytes(9 * MiB) + b"end"

every = pytest.mark.parametrize("compression", list(PACK))


async def chunks(data: bytes, size: int = MiB) -> Chunks:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def expanded(compression: Compression, data: bytes, size: int = MiB) -> tuple[bytes, int]:
    """Return what *data* expands to, and the largest piece in which it came."""
    async with Pipe(chunks(data, size)) as path:
        path.through(expand(compression))
        pieces = [piece async for piece in path.chunks]
    return b"".join(pieces), max(map(len, pieces), default=0)


@every
async def test_members_and_padding_give_the_plain_bytes(compression: Compression) -> None:
    """Several members and zero padding are one file, and no piece is larger than a step."""
    packed = PACK[compression](PLAIN) + PACK[compression](b"more")
    padding = b"" if compression == "bzip2" else bytes(512)
    plain, largest = await expanded(compression, packed + padding)
    assert plain == PLAIN + b"more"
    assert largest <= STEP


@every
@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_small_chunks_give_the_same(compression: Compression, size: int) -> None:
    """How the bytes are cut on their way makes no difference."""
    plain = bytes(range(256)) * 20
    assert (await expanded(compression, PACK[compression](plain), size))[0] == plain


@every
async def test_a_file_that_was_cut_off_is_corrupt(compression: Compression) -> None:
    """A file that ends inside a member is never taken for a whole one."""
    with pytest.raises(CorruptImage, match="ends too early"):
        await expanded(compression, PACK[compression](PLAIN)[:-9])


@every
async def test_garbage_after_the_end_is_corrupt(compression: Compression) -> None:
    """What follows the last member must be another member, or zeros."""
    with pytest.raises(CorruptImage):
        await expanded(compression, PACK[compression](b"x" * 1000) + b"garbage that is no member")


@every
@given(at=st.integers(10, 900), value=st.integers(1, 255))
async def test_damage_is_found_or_harmless(compression: Compression, at: int, value: int) -> None:
    """A flipped byte gives a named error, or leaves the content as it was: never other bytes."""
    plain = bytes(i * i % 251 for i in range(4000))
    packed = bytearray(PACK[compression](plain))
    packed[at % len(packed)] ^= value
    try:
        got, _ = await expanded(compression, bytes(packed))
    except ImporterError:
        return
    # zstd's default frames carry no checksum of their content: there only the size is certain.
    assert got == plain or compression == "zstd"


@every
async def test_many_tiny_members_are_one_file(compression: Compression) -> None:
    """Thousands of members of a few bytes each come out as one, in whole steps."""
    plain, largest = await expanded(compression, PACK[compression](b"tiny") * 5000)
    assert plain == b"tiny" * 5000
    assert largest == len(plain)


@pytest.mark.parametrize(
    ("compression", "command"),
    [("xz", "xz --lzma2=dict=512MiB"), ("zstd", "zstd -q --ultra -22 --long=31")],
)
async def test_a_file_that_wants_too_much_memory_is_refused(
    compression: Compression, command: str, tmp_path: Path
) -> None:
    """A window larger than the memory allowed is refused with what to do about it."""
    packed = subprocess.run(command, shell=True, input=os.urandom(MiB), capture_output=True)
    with pytest.raises(UnsupportedImage, match="smaller dictionary"):
        await expanded(compression, packed.stdout)
