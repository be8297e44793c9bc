"""importer/formats/read/qcow2.py, against qemu-img."""

import struct
import tracemalloc
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given, settings

from importer.errors import CorruptImage, ImporterError, NotAnImage, UnsafeImage
from importer.formats.read import qcow2
from importer.model import Readable
from importer.stream.extent import Data, Run, Zero
from importer.stream.readable import FileReadable
from importer.units import GiB, KiB, MiB, TiB
from tests import images
from tests.formats.read.guest import Counted, collect, joined, mapped, patched
from tests.formats.read.shapes import Shape, make, shapes


async def guest(file: Readable) -> bytes:
    """Return the bytes that the guest sees; the map must say the same."""
    found = await collect(qcow2.extents(file))
    assert await qcow2.runs(file) == mapped(found)
    return joined(found)


def by_qemu(path: Path) -> bytes:
    """Return what qemu-img makes of *path*."""
    to = path.with_suffix(".raw")
    images.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(path), str(to))
    return to.read_bytes()


async def check(shape: Shape, folder: Path) -> None:
    """Compare what is read of an image of *shape* with what qemu-img reads."""
    path = make(shape, folder)
    file = Counted(path.read_bytes())
    assert await guest(file) == by_qemu(path)


@given(shapes())
@settings(max_examples=40)
async def test_the_guest_sees_what_qemu_shows(tmp_path: Path, shape: Shape) -> None:
    """Whatever qemu-img and qemu-io made, each byte is the same."""
    await check(shape, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@given(shapes())
@settings(max_examples=400, derandomize=False)
async def test_many_shapes(tmp_path: Path, shape: Shape) -> None:
    """The same over some hundreds of images, others each time."""
    await check(shape, tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in images.KINDS if kind.startswith("qcow2")])
async def test_a_local_file_is_read(kind: str, tmp_path: Path) -> None:
    """Every kind of qcow2, by its path."""
    path = images.make(kind, tmp_path)
    assert await guest(FileReadable(path)) == (tmp_path / "disk.raw").read_bytes()


@pytest.mark.parametrize("how", ["metadata", "falloc", "full"])
async def test_preallocated_images_are_read(how: str, tmp_path: Path) -> None:
    """Clusters that were allocated and never written are zeros in the file."""
    path = images.empty(tmp_path / "disk.qcow2", "qcow2", 3 * MiB, "-o", f"preallocation={how}")
    assert await guest(FileReadable(path)) == bytes(3 * MiB)


async def test_an_odd_virtual_size_counts_whole_sectors(tmp_path: Path) -> None:
    """As qemu does, whose disks have no other sizes."""
    path = images.empty(tmp_path / "disk.qcow2", "qcow2", MiB)
    patched(path, 24, struct.pack(">Q", MiB - 100))
    assert await collect(qcow2.extents(FileReadable(path))) == [Zero(MiB - 512)]
    assert images.virtual_size(path, "qcow2") == MiB - 512


@pytest.fixture
def tebibyte(tmp_path: Path) -> Path:
    """A disk of 1 TiB with a few clusters in it."""
    path = images.empty(tmp_path / "disk.qcow2", "qcow2", TiB)
    images.run("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 64k", "-c", "write -P 2 512G 192k",
               "-c", "write -P 3 1048575M 1M", str(path))  # fmt: skip
    return path


async def test_a_tebibyte_with_a_few_clusters(tebibyte: Path) -> None:
    """Holes cost nothing, and what is stored lies where it should."""
    found = await collect(qcow2.extents(FileReadable(tebibyte)))
    assert found == [
        Data(b"\1" * 64 * KiB),
        Zero(512 * GiB - 64 * KiB),
        Data(b"\2" * 192 * KiB),
        Zero(512 * GiB - 192 * KiB - MiB),
        Data(b"\3" * MiB),
    ]
    assert await qcow2.runs(FileReadable(tebibyte)) == mapped(found)


async def test_the_largest_tables_are_walked(tmp_path: Path) -> None:
    """Four million entries of an L1 table, of which one is used: memory and extents stay few."""
    path = images.empty(tmp_path / "q", "qcow2", 8 * TiB - 4 * MiB, "-o", "cluster_size=4k")
    images.run("qemu-io", "-f", "qcow2", "-c", "write -P 5 4T 4k", str(path))
    assert await collect(qcow2.extents(FileReadable(path))) == [
        Zero(4 * TiB),
        Data(b"\5" * 4 * KiB),
        Zero(4 * TiB - 4 * MiB - 4 * KiB),
    ]


async def test_only_what_is_allocated_is_read(tmp_path: Path) -> None:
    """Neighbouring clusters in one read, nothing twice, and the map without any data."""
    path = images.convert(images.raw(tmp_path / "raw", 8 * MiB, 2 * MiB), tmp_path / "q", "qcow2")
    file = Counted(path.read_bytes())
    await collect(qcow2.extents(file))
    data = [read for read in file.reads if read[1] > 64 * KiB and read[0]]
    assert [length for _, length in data] == [2 * MiB]
    mapping = Counted(path.read_bytes())
    assert await qcow2.runs(mapping) == (
        Run(0, 2 * MiB, False),
        Run(2 * MiB, 4 * MiB, True),
        Run(6 * MiB, 64 * KiB, False),
        Run(6 * MiB + 64 * KiB, 2 * MiB - 64 * KiB, True),
    )
    assert mapping.read <= MiB + 64 * KiB + 8


async def test_compressed_neighbours_are_read_together(tmp_path: Path) -> None:
    """Sixteen clusters of 64 KiB in one read."""
    source = images.raw(tmp_path / "raw", 3 * MiB, 3 * MiB)
    file = Counted(images.convert(source, tmp_path / "q", "qcow2", "-c").read_bytes())
    assert await guest(file) == source.read_bytes()
    assert len(file.reads) <= 2 * 3 + 3


async def test_left_early_nothing_is_read_any_more(tmp_path: Path) -> None:
    """Closing ends what had begun."""
    source = images.raw(tmp_path / "raw", 40 * MiB, 40 * MiB)
    file = Counted(images.convert(source, tmp_path / "q", "qcow2").read_bytes())
    async with aclosing(qcow2.extents(file)) as found:
        await anext(found)
    assert file.read < 12 * MiB


async def test_memory_does_not_follow_the_size(tmp_path: Path) -> None:
    """A disk of 64 MiB takes no more than its chunks."""
    source = images.raw(tmp_path / "raw", 64 * MiB, 64 * MiB)
    path = images.convert(
        source, tmp_path / "q", "qcow2", "-c", "-o", "cluster_size=2M,compression_type=zstd"
    )
    tracemalloc.start()
    async with aclosing(qcow2.extents(FileReadable(path))) as found:
        async for _ in found:
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * MiB


@pytest.fixture
def plain(tmp_path: Path) -> bytearray:
    """A sound qcow2 of 4 MiB: L2 table at 0x40000, ten clusters of data behind it."""
    source = images.raw(tmp_path / "raw", 4 * MiB, 640 * KiB)
    return bytearray(images.convert(source, tmp_path / "q", "qcow2").read_bytes())


def l2(data: bytes | bytearray) -> int:
    (l1,) = struct.unpack_from(">Q", data, 40)
    (entry,) = struct.unpack_from(">Q", data, l1)
    return int(entry) & 0x00FFFFFFFFFFFE00


def put(data: bytearray, offset: int, value: int) -> None:
    struct.pack_into(">Q", data, offset, value)


async def refused(data: bytes | bytearray, error: type[ImporterError], said: str) -> None:
    """Both readers must refuse *data*."""
    with pytest.raises(error, match=said):
        await collect(qcow2.extents(Counted(bytes(data))))
    with pytest.raises(error, match=said):
        await qcow2.runs(Counted(bytes(data)))


async def test_a_cluster_behind_the_end_is_refused(plain: bytearray) -> None:
    """It is not read as zeros."""
    put(plain, l2(plain), 1 << 63 | 1 << 40)
    await refused(plain, CorruptImage, "in its clusters.*ends too early")


async def test_an_l2_table_behind_the_end_is_refused(plain: bytearray) -> None:
    """Nor are its clusters."""
    put(plain, struct.unpack_from(">Q", plain, 40)[0], 1 << 63 | 1 << 40)
    await refused(plain, CorruptImage, "in its L2 tables.*ends too early")


async def test_an_l1_table_behind_the_end_is_refused(plain: bytearray) -> None:
    """Nor is the whole disk."""
    put(plain, 40, 1 << 30)
    await refused(plain, CorruptImage, "in its L1 table.*ends too early")


async def test_what_is_not_aligned_is_refused(plain: bytearray) -> None:
    """As qemu does."""
    put(plain, l2(plain), 1 << 63 | 0x50200)
    await refused(plain, CorruptImage, "cluster is at 0x50200, not a multiple of 65536")
    put(plain, struct.unpack_from(">Q", plain, 40)[0], 1 << 63 | 0x40200)
    await refused(plain, CorruptImage, "L2 table is at 0x40200, not a multiple")


async def test_a_zero_flag_in_version_2_is_refused(tmp_path: Path) -> None:
    """Version 2 does not know it, and qemu refuses it."""
    source = images.raw(tmp_path / "raw", 4 * MiB)
    path = images.convert(source, tmp_path / "q", "qcow2", "-o", "compat=0.10")
    data = bytearray(path.read_bytes())
    data[l2(data) + 7] |= 1
    await refused(data, CorruptImage, "version 2 image has a zero cluster")


async def test_one_cluster_for_all_is_refused(plain: bytearray) -> None:
    """A small file cannot stand for a large disk of data."""
    table = l2(plain)
    for index in range(64):
        plain[table + 8 * index : table + 8 * index + 8] = plain[table : table + 8]
    await refused(plain, CorruptImage, "uses parts in several places")


async def test_one_table_for_all_is_refused(tmp_path: Path) -> None:
    """Nor can a loop of tables keep us reading."""
    data = bytearray(images.empty(tmp_path / "q", "qcow2", 16 * TiB).read_bytes())
    (l1,) = struct.unpack_from(">Q", data, 40)
    data += bytes(-len(data) % (64 * KiB) + 64 * KiB)
    for index in range(16 * TiB // (512 * MiB)):
        put(data, l1 + 8 * index, 1 << 63 | (len(data) - 64 * KiB))
    file = Counted(bytes(data))
    with pytest.raises(CorruptImage, match="uses parts in several places"):
        await collect(qcow2.extents(file))
    assert file.read <= MiB + len(data)


async def test_subclusters_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    """A subcluster is stored or zeros, never both."""
    data = bytearray(images.make("qcow2-extended", tmp_path).read_bytes())
    put(data, l2(data) + 8, 1 << 32 | 1)
    await refused(data, CorruptImage, "contradicts itself")


async def test_damaged_compressed_data_is_refused(tmp_path: Path) -> None:
    """Each cluster must inflate to its size."""
    for kind in ("qcow2-zlib", "qcow2-zstd"):
        data = bytearray(images.make(kind, tmp_path).read_bytes())
        (entry,) = struct.unpack_from(">Q", data, l2(data))
        at = entry & ((1 << 54) - 1)
        data[at : at + 40] = b"\xff" * 40
        with pytest.raises(CorruptImage, match=f"compressed qcow2 cluster at {at:#x}"):
            await collect(qcow2.extents(Counted(bytes(data))))


async def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    """Wherever it is cut, but for what nobody needs."""
    for kind in ("qcow2", "qcow2-zlib"):
        data = images.make(kind, tmp_path).read_bytes()
        for keep in range(64 * KiB, len(data) - 64 * KiB, 50_001):
            with pytest.raises(CorruptImage):
                await collect(qcow2.extents(Counted(data[:keep])))


async def test_a_backing_file_is_refused(tmp_path: Path) -> None:
    """The header's own refusals come through."""
    path = images.empty(tmp_path / "q", "qcow2", MiB)
    patched(path, 8, struct.pack(">QI", 0x200, 5))
    await refused(path.read_bytes(), UnsafeImage, "backing file")


async def test_another_file_is_refused(plain: bytearray) -> None:
    """The first four bytes say what it is."""
    plain[:4] = b"KDMV"
    await refused(plain, NotAnImage, "this one with b'KDMV'")


async def test_one_compressed_cluster_for_all_is_refused(tmp_path: Path) -> None:
    """Nor can one that inflates to much stand for a large disk."""
    data = bytearray(images.make("qcow2-zlib", tmp_path).read_bytes())
    table = l2(data)
    for index in range(128):
        data[table + 8 * index : table + 8 * index + 8] = data[table : table + 8]
    await refused(data, CorruptImage, "uses parts in several places")


async def test_a_zstd_window_beyond_any_cluster_is_refused(tmp_path: Path) -> None:
    """A frame that asks for 128 MiB does not get them."""
    data = bytearray(images.make("qcow2-zstd", tmp_path).read_bytes())
    (entry,) = struct.unpack_from(">Q", data, l2(data))
    at = entry & ((1 << 54) - 1)
    # RFC 8878 section 3.1.1.1: no single segment, no content size, then the window: 2 ** 27.
    data[at : at + 6] = b"\x28\xb5\x2f\xfd\x00" + bytes([17 << 3])
    with pytest.raises(CorruptImage, match="too much memory"):
        await collect(qcow2.extents(Counted(bytes(data))))
