"""importer/formats/read/qcow2.py with damaged files: named errors or the right bytes, soon.

What is right of a damaged file, qemu-img says: what we read of it, it must read too, and the same.
"""

import random
import struct
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.errors import ImporterError
from importer.formats.read import qcow2
from importer.stream.extent import Data
from importer.units import KiB, MiB
from tests import images
from tests.formats.read.guest import Counted

Damage = tuple[int, int, int]

KINDS: dict[str, tuple[str, ...]] = {
    "512": ("-o", "cluster_size=512"),
    "4k-v2": ("-o", "cluster_size=4k,compat=0.10"),
    "zlib": ("-c", "-o", "cluster_size=16k"),
    "zlib-v2": ("-c", "-o", "cluster_size=8k,compat=0.10"),
    "zstd": ("-c", "-o", "cluster_size=16k,compression_type=zstd"),
    "extended": ("-o", "cluster_size=16k,extended_l2=on"),
    "extended-zlib": ("-c", "-o", "cluster_size=32k,extended_l2=on"),
}
SIZE = MiB
LARGEST = 16 * MiB
"""Virtual sizes up to this are compared with qemu-img."""


class Sound:
    """Files by name. No dataclass: hypothesis prints all fields of those, and these are long."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """A sound file of each kind, by its name."""
    folder = tmp_path_factory.mktemp("sound")
    content = random.Random(1)
    parts = [content.randbytes(700) + bytes(20_000) for _ in range(30)]
    (folder / "raw").write_bytes(b"".join(parts)[:SIZE].ljust(SIZE, b"\0"))
    made = {}
    for name, options in KINDS.items():
        path = images.convert(folder / "raw", folder / name, "qcow2", *options)
        images.run("qemu-io", "-f", "qcow2", "-c", "write -P 7 900k 8k", "-c", "write -z 64k 64k"
                   if "v2" not in name else "read 0 512", str(path))  # fmt: skip
        made[name] = path.read_bytes()
    return Sound(made)


def tables(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (offset, bytes) of what steers a reader: the header, its L1 table, the L2 tables."""
    yield 0, 112
    (l1,) = struct.unpack_from(">Q", data, 40)
    (entries,) = struct.unpack_from(">I", data, 36)
    yield l1, 8 * entries
    cluster = 1 << data[23]
    for (entry,) in struct.iter_unpack(">Q", data[l1 : l1 + 8 * entries]):
        if offset := entry & 0x00FFFFFFFFFFFE00:
            yield offset, min(cluster, 1 * KiB)


words = st.one_of(
    st.sampled_from([0, 1, 2**64 - 1, 1 << 62, 1 << 63, (1 << 62) | 1 << 20, 1 << 32, 1 << 55]),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2 * MiB // 512).map(lambda sector: 1 << 63 | sector * 512),
    st.integers(0, 2 * MiB).map(lambda offset: 1 << 62 | offset),
)


damages = st.lists(
    st.tuples(st.integers(0, 2**16), st.integers(0, 2**24), st.one_of(words, st.integers(-63, -1))),
    min_size=1,
    max_size=4,
)
"""Each: which table, where in it, and the new word, or (negative) the bit that is turned over."""

cuts = st.one_of(st.none(), st.none(), st.none(), st.integers(0, 2**24))
"""Where the file ends."""


def damaged(data: bytes, damage: list[Damage], cut: int | None) -> bytes:
    """Return *data* with some words changed, and cut; most of them in the tables."""
    copy = bytearray(data)
    places = [*tables(data), (0, len(data) // 8 * 8)]
    for which, where, value in damage:
        start, length = places[which % len(places)]
        at = start + where % (length // 8) * 8
        (word,) = struct.unpack_from(">Q", data, at)
        struct.pack_into(">Q", copy, at, value if value >= 0 else word ^ 1 << -value)
    return bytes(copy if cut is None else copy[: cut % len(data)])


async def told(data: bytes) -> tuple[bytes | None, int] | None:
    """Return what is read of *data* (if it is not too large) and its length; None: refused."""
    file = Counted(data)
    content: list[bytes] | None = []
    length = 0
    try:
        async with aclosing(qcow2.extents(file)) as found:
            async for extent in found:
                length += extent.length
                if length > LARGEST:
                    content = None
                elif content is not None:
                    content.append(
                        extent.data if isinstance(extent, Data) else bytes(extent.length)
                    )
    except ImporterError:
        return None
    finally:
        # No sector is read more often than clusters may share it; 1 MiB is the head.
        assert file.read <= MiB + 4 * len(data)
        assert all(offset + length <= len(data) for offset, length in file.reads)
    return (None if content is None else b"".join(content)), length


async def check(data: bytes, folder: Path) -> bool:
    """Compare with qemu-img what is read of *data*; return whether anything was."""
    if (found := await told(data)) is None:
        return False
    content, length = found
    runs = await qcow2.runs(Counted(data))
    assert sum(run.length for run in runs) == length
    if content is None:
        return False
    path, to = folder / "image", folder / "raw"
    path.write_bytes(data)
    done = subprocess.run(
        ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, to], capture_output=True
    )
    if b"Could not open" in done.stderr:
        return False  # It reads snapshots and bitmaps too, which hold nothing of the guest's disk.
    assert done.returncode == 0, done.stderr
    assert to.read_bytes() == content
    return True


@pytest.mark.parametrize("name", KINDS)
async def test_a_sound_file_is_read(sound: Sound, name: str, tmp_path: Path) -> None:
    """Before anything is damaged, all is right."""
    assert await check(sound.files[name], tmp_path)


@pytest.mark.parametrize("name", KINDS)
@given(damage=damages, cut=cuts)
@settings(max_examples=100)
async def test_a_damaged_file_is_refused_or_read_as_qemu_does(
    sound: Sound, name: str, damage: list[Damage], cut: int | None, tmp_path: Path
) -> None:
    """Nothing else is raised, nothing outside is read, no byte is another than qemu's."""
    await check(damaged(sound.files[name], damage, cut), tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", KINDS)
@given(damage=damages, cut=cuts)
@settings(max_examples=2000, derandomize=False)
async def test_many_damaged_files(
    sound: Sound, name: str, damage: list[Damage], cut: int | None, tmp_path: Path
) -> None:
    """The same, others each time."""
    await check(damaged(sound.files[name], damage, cut), tmp_path)
