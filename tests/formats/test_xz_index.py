"""What an .xz file expands to is read from its end, or the file is refused."""

import lzma
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.config import Limits
from importer.config import QemuImg as Settings
from importer.errors import CorruptImage, LimitExceeded
from importer.formats.inspect import inspect_readable
from importer.formats.qemu_img import QemuImg
from importer.formats.xz_index import STREAMS, content_size
from importer.stream.readable import FileReadable
from importer.stream.xz_blocks import HEADER, footer, vli
from importer.units import KiB, MiB


class Kept:
    """A file in memory that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.read = 0

    @property
    def size(self) -> int:
        return len(self.data)

    async def read_at(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length > 0
        found = self.data[offset : offset + length]
        self.read += len(found)
        return found


def xz(options: str, plain: bytes) -> bytes:
    command = ["xz", "-c", *options.split()]
    return subprocess.run(command, input=plain, capture_output=True, check=True).stdout


PLAIN = bytes(range(256)) * 4000
BLOCKS = xz("-T2 -0 --block-size=10KiB", PLAIN)


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        (BLOCKS, len(PLAIN)),
        (xz("-T1", PLAIN), len(PLAIN)),
        (xz("-T1", b""), 0),
        (BLOCKS + bytes(8) + xz("-T1 --check=none", b"more") + bytes(4), len(PLAIN) + 4),
        (lzma.compress(b"x") * STREAMS, STREAMS),
        (BLOCKS + bytes(512), len(PLAIN)),
    ],
)
async def test_the_size_is_told(packed: bytes, size: int) -> None:
    """Of one stream or several, with blocks, none, and padding."""
    assert await content_size(Kept(packed)) == size


async def test_what_would_take_too_much_is_not_told() -> None:
    """Very many streams, or padding without an end, are left alone: the size is unknown."""
    assert await content_size(Kept(lzma.compress(b"x") * (STREAMS + 1))) is None
    assert await content_size(Kept(BLOCKS + bytes(100 * KiB))) is None


async def test_an_index_larger_than_a_read_is_read() -> None:
    """An index of 200,000 blocks is longer than the tail that is read at first."""
    record = vli(4000) + vli(10_000)
    index = b"\0" + vli(200_000) + record * 200_000
    index += bytes(-len(index) % 4)
    index += zlib.crc32(index).to_bytes(4, "little")
    blocks = 200_000 * 4000
    header = xz("-T1", b"")[:HEADER]

    class Sparse(Kept):
        @property
        def size(self) -> int:
            return HEADER + blocks + len(self.data)

        async def read_at(self, offset: int, length: int) -> bytes:
            if offset == 0 and length <= HEADER:
                return header[:length]
            return await super().read_at(offset - HEADER - blocks, length)

    file = Sparse(index + footer(len(index), header))
    assert await content_size(file) == 200_000 * 10_000
    assert file.read < 2 * MiB


@pytest.mark.parametrize("cut", [1, 3, 4, 12, 100, len(BLOCKS) - 13, len(BLOCKS) - 4])
async def test_a_file_that_was_cut_off_is_corrupt(cut: int) -> None:
    """A file without its own end is never sized by whatever its last bytes are."""
    with pytest.raises(CorruptImage):
        await content_size(Kept(BLOCKS[:-cut]))


async def test_a_file_whose_start_is_missing_is_corrupt() -> None:
    """An index that claims more than there is in front of it is refused."""
    with pytest.raises(CorruptImage, match="no stream begins"):
        await content_size(Kept(BLOCKS[400:]))


TAIL = 12 + int.from_bytes(BLOCKS[-8:-4], "little") * 4 + 4


@given(at=st.integers(1, TAIL), value=st.integers(1, 255))
async def test_damage_of_the_end_is_found(at: int, value: int) -> None:
    """A flipped byte of index or footer is a named error, never another size."""
    packed = bytearray(BLOCKS)
    packed[-at] ^= value
    with pytest.raises(CorruptImage):
        await content_size(Kept(bytes(packed)))


async def test_a_compressed_raw_disk_is_measured(tmp_path: Path) -> None:
    """Inspection tells the virtual size of a raw disk in an .xz, and holds it to the limit."""
    path = tmp_path / "disk.raw.xz"
    path.write_bytes(xz("-T2 --block-size=1MiB", b"\0\xff" * 256 + bytes(5 * MiB)))
    qemu_img = QemuImg(Settings())
    info = await inspect_readable(FileReadable(path), qemu_img, Limits())
    assert (info.format, info.compression, info.virtual_size) == ("raw", "xz", 5 * MiB + 512)
    with pytest.raises(LimitExceeded):
        await inspect_readable(FileReadable(path), qemu_img, Limits(virtual_size=MiB))
