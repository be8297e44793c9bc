"""importer/formats/read/passing.py, against qemu-img."""

import random
import struct
import tracemalloc
import zlib
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.errors import (
    CorruptImage,
    ImageNotInOrder,
    ImporterError,
    NotAnImage,
    SourceTruncated,
    UnsafeImage,
)
from importer.formats.read.passing import Held, Passing, begin, begin_in_order
from importer.stream.extent import Data, Located, Zero
from importer.stream.pipe import Chunks
from importer.units import GiB, KiB, MiB, TiB
from tests import images
from tests.formats.read.guest import patched
from tests.formats.read.moved import Parts, shuffled, tables_last
from tests.formats.read.onepass import Stream, begun, gathered, passed, passed_in_order
from tests.formats.read.shapes import Shape, make, shapes

steps = st.lists(st.integers(1000, 3 * MiB), min_size=1, max_size=4)
"""Bytes of the chunks, over and over."""


def by_qemu(path: Path) -> bytes:
    """Return what qemu-img makes of *path*."""
    to = path.with_suffix(".raw")
    images.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(path), str(to))
    return to.read_bytes()


async def check(shape: Shape, step: Sequence[int], seed: int, folder: Path) -> None:
    """Compare what passes of an image of *shape*, also with its parts moved, with qemu-img."""
    path = make(shape, folder)
    data, expected = path.read_bytes(), by_qemu(path)
    assert await passed(data, step) == expected
    assert await passed_in_order(data, step) == expected
    if shape.snapshot:
        return  # Its tables share clusters, which can not be moved for one of them alone.
    assert await passed(tables_last(data, l1_too=bool(seed & 1)), step) == expected
    assert await passed(shuffled(data, seed), step) == expected


@given(shapes(), steps, st.integers(0, 99))
@settings(max_examples=30)
async def test_the_disk_is_what_qemu_shows(
    tmp_path: Path, shape: Shape, step: list[int], seed: int
) -> None:
    """Whatever qemu-img and qemu-io made, in chunks of any size, wherever its tables are."""
    await check(shape, step, seed, tmp_path)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@given(shapes(), steps, st.integers(0, 99))
@settings(max_examples=500, derandomize=False)
async def test_many_shapes(tmp_path: Path, shape: Shape, step: list[int], seed: int) -> None:
    """The same over some hundreds of images, others each time."""
    await check(shape, step, seed, tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in images.KINDS if kind.startswith("qcow2")])
async def test_every_kind_passes(kind: str, tmp_path: Path) -> None:
    """Also byte by byte, and with its tables behind everything."""
    data = images.make(kind, tmp_path, 4 * MiB).read_bytes()
    expected = (tmp_path / "disk.raw").read_bytes()
    for step in (1, 4095, 3 * MiB):
        assert await passed(data, (step,)) == expected
    assert await passed(tables_last(data, l1_too=True)) == expected
    assert await passed_in_order(tables_last(data)) == expected


@pytest.mark.parametrize("how", ["off", "metadata", "falloc", "full"])
async def test_disks_without_data_pass(how: str, tmp_path: Path) -> None:
    """Nothing needs be told but zeros, and the file is read to its end."""
    path = images.empty(tmp_path / "disk.qcow2", "qcow2", 3 * MiB, "-o", f"preallocation={how}")
    assert await passed(path.read_bytes()) == bytes(3 * MiB)
    assert await passed_in_order(path.read_bytes()) == bytes(3 * MiB)


async def test_a_disk_of_no_size_passes(tmp_path: Path) -> None:
    """It has no L1 entry, and no guest byte."""
    data = images.empty(tmp_path / "disk.qcow2", "qcow2", 0).read_bytes()
    assert await passed(data) == b""
    assert await passed_in_order(data) == b""
    moved = bytearray(data)
    struct.pack_into(">Q", moved, 40, len(data) // 64 // KiB * 64 * KiB + 64 * KiB)
    await refused(moved, CorruptImage, "ends too early")


@pytest.fixture
def tebibyte(tmp_path: Path) -> bytes:
    """A disk of 1 TiB with a few clusters in it."""
    path = images.empty(tmp_path / "disk.qcow2", "qcow2", TiB)
    images.run("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 64k", "-c", "write -P 2 512G 192k",
               "-c", "write -P 3 1048575M 1M", str(path))  # fmt: skip
    return path.read_bytes()


async def test_a_tebibyte_with_a_few_clusters(tebibyte: bytes) -> None:
    """In guest order each hole is one piece."""
    found = await begin_in_order(Stream(tebibyte).chunks())
    assert isinstance(found, Passing)
    assert found.virtual_size == TiB
    data = [each.extent for each in await gathered((await begun(tebibyte)).all())]
    assert sum(each.length for each in data) == TiB
    told = [(type(each), each.length) async for each in found.all()]
    assert [length for kind, length in told if kind is Zero] == [
        512 * GiB - 64 * KiB,
        512 * GiB - 192 * KiB - MiB,
    ]
    assert sum(length for _, length in told) == TiB


def used(draw: random.Random, times: int) -> list[str]:
    """Return orders for qemu-io: what a guest and its host might do to a disk of 256 MiB."""
    steps = []
    for number in range(1, times):
        order = draw.choice(["write -P", "write -P", "write -c -P", "discard", "write -z -u"])
        at, length = draw.randrange(255 * 64) * 16, draw.choice([4, 16, 64, 700])
        if order == "write -c -P":  # What is compressed goes where nothing is.
            steps += [f"discard {at}k 16k", f"{order} {number} {at}k 16k"]
        else:
            steps.append(f"{order} {number if 'P' in order else ''} {at}k {length}k")
    return [part for step in steps for part in ("-c", step)]


@pytest.mark.parametrize(("clusters", "is_read"), [(4000, True), (6000, False)])
async def test_small_clusters_in_one_sector_wait_for_a_later_table(
    clusters: int, is_read: bool, tmp_path: Path
) -> None:
    """What another table has between two clusters of a sector is kept, though not for ever."""
    content = [struct.pack(">Q", number) * 64 for number in range(1, clusters + 1)]
    (tmp_path / "raw").write_bytes(b"".join(content))
    options = ("-c", "-o", "cluster_size=512")
    parts = Parts(images.convert(tmp_path / "raw", tmp_path / "q", "qcow2", *options).read_bytes())
    early = parts.tables()[0][1] + 8 * 40
    late = parts.tables()[-1][1] + 8 * ((clusters - 1) % 64)
    entries = parts.word(early), parts.word(late)
    parts.put(late, entries[0])
    parts.put(early, entries[1])
    content[40], content[-1] = content[-1], content[40]
    if is_read:
        assert await passed(bytes(parts.data)) == b"".join(content)
    else:
        with pytest.raises(ImageNotInOrder, match="passed before its table"):
            await passed(bytes(parts.data))


async def test_a_disk_long_in_use_passes(tmp_path: Path) -> None:
    """Clusters written, discarded and written again, each somewhere else in the file."""
    path = images.empty(tmp_path / "q", "qcow2", 256 * MiB, "-o", "cluster_size=16k")
    draw = random.Random(5)
    for _ in range(3):
        images.run("qemu-io", "-f", "qcow2", "-d", "unmap", *used(draw, 100), str(path))
    data, expected = path.read_bytes(), by_qemu(path)
    assert await passed(data, (MiB + 1,)) == expected
    assert await passed_in_order(data) == expected


@pytest.fixture
def crossing(tmp_path: Path) -> Path:
    """A disk of 16 MiB: L2 tables for 2 MiB each; that of the last has moved to the end."""
    source = images.raw(tmp_path / "raw", 16 * MiB, 16 * MiB)
    path = images.convert(source, tmp_path / "q", "qcow2", "-o", "cluster_size=4k")
    images.run("qemu-img", "snapshot", "-c", "before", str(path))
    images.run("qemu-io", "-f", "qcow2", "-c", "write -P 7 15M 4k", str(path))
    return path


async def test_a_table_behind_its_data_finds_it(crossing: Path) -> None:
    """What it maps passed long before, and waited."""
    data, expected = crossing.read_bytes(), by_qemu(crossing)
    assert await passed(data) == expected
    assert await passed_in_order(data) == expected


async def test_what_does_not_fit_after_data_was_told_ends_it(tmp_path: Path) -> None:
    """It is too late to give the file back: the last table is behind data of nobody."""
    source = images.raw(tmp_path / "raw", 4 * MiB, 4 * MiB)
    path = images.convert(source, tmp_path / "q", "qcow2", "-o", "cluster_size=4k")
    parts = Parts(path.read_bytes())
    parts.append(images.numbers(0, 8 * MiB))
    at, offset = parts.tables()[-1]
    parts.rename(at, parts.append(bytes(parts.data[offset : offset + parts.cluster])))
    assert await passed(bytes(parts.data)) == source.read_bytes()
    found = await begun(bytes(parts.data), 8 * MiB)
    with pytest.raises(ImageNotInOrder, match=r"wait for 1 tables.*qemu-img convert"):
        await gathered(found.all())


async def test_what_a_guest_gave_back_waits_for_nothing(tmp_path: Path) -> None:
    """Holes of the file arrive as zeros; they cost no memory in front of a late table."""
    source = images.raw(tmp_path / "raw", 4 * MiB, 4 * MiB)
    path = images.convert(source, tmp_path / "q", "qcow2", "-o", "cluster_size=4k")
    parts = Parts(path.read_bytes())
    parts.append(bytes(32 * MiB))
    at, offset = parts.tables()[-1]
    parts.rename(at, parts.append(bytes(parts.data[offset : offset + parts.cluster])))
    assert await passed(bytes(parts.data), window=8 * MiB) == source.read_bytes()


async def test_with_snapshots_nothing_is_told_before_all_tables(crossing: Path) -> None:
    """What does not fit can still be given back."""
    assert await passed(crossing.read_bytes(), window=8 * MiB) is None
    assert await passed_in_order(crossing.read_bytes(), window=8 * MiB) is None


async def test_what_does_not_fit_before_any_data_is_given_back(tmp_path: Path) -> None:
    """The one table is behind all data: the file goes another way."""
    source = images.raw(tmp_path / "raw", 16 * MiB, 16 * MiB)
    data = tables_last(images.convert(source, tmp_path / "q", "qcow2").read_bytes())
    assert await passed(data, window=8 * MiB) is None
    assert await passed_in_order(data, window=8 * MiB) is None
    assert await passed(data) == source.read_bytes()


async def test_what_is_given_back_late_is_whole(tmp_path: Path) -> None:
    """In guest order nothing was told yet, though data was there: the first cluster is last."""
    source = images.raw(tmp_path / "raw", 16 * MiB, 16 * MiB)
    parts = Parts(images.convert(source, tmp_path / "q", "qcow2").read_bytes())
    at, offset = parts.clusters()[0]
    parts.rename(at, parts.append(bytes(parts.data[offset : offset + parts.cluster])))
    assert await passed(bytes(parts.data), window=8 * MiB) == source.read_bytes()
    assert await passed_in_order(bytes(parts.data), window=8 * MiB) is None
    assert await passed_in_order(bytes(parts.data)) == source.read_bytes()


async def test_a_window_smaller_than_a_chunk_gives_back(tmp_path: Path) -> None:
    """Even the header has no room in it."""
    assert await passed(images.make("qcow2", tmp_path).read_bytes(), window=KiB) is None


async def test_many_small_holes_pass(tmp_path: Path) -> None:
    """Every other cluster of 512 bytes is one."""
    with (tmp_path / "raw").open("wb") as file:
        for number in range(4096):
            file.write(bytes([number & 127 | 1]) * 512 + bytes(512))
    options = ("-S", "512", "-o", "cluster_size=512")
    data = images.convert(tmp_path / "raw", tmp_path / "q", "qcow2", *options).read_bytes()
    assert await passed(data) == (tmp_path / "raw").read_bytes()


async def test_holes_that_do_not_fit_are_given_back(tmp_path: Path) -> None:
    """Their number is bounded too: four tables tell 16384 of them before the first data."""
    parts = Parts(images.empty(tmp_path / "q", "qcow2", 2 * GiB).read_bytes())
    cluster = parts.cluster
    for index in range(4):
        named = range((16 + index * 4096) * cluster, (16 + (index + 1) * 4096) * cluster, cluster)
        table = b"".join(struct.pack(">QQ", 0, 1 << 63 | offset) for offset in named)
        parts.put(parts.l1 + 8 * index, 1 << 63 | parts.append(table))
    assert await passed(bytes(parts.data), window=2 * MiB) is None
    with pytest.raises(CorruptImage, match="ends too early"):
        await passed(bytes(parts.data))


async def test_out_of_order_writes_are_read(tmp_path: Path) -> None:
    """``-W`` makes eight writes of 2 MiB at once; they come in whatever order."""
    source = images.raw(tmp_path / "raw", 60 * MiB, 60 * MiB)
    path = images.convert(source, tmp_path / "q", "qcow2", "-W")
    assert await passed_in_order(path.read_bytes()) == source.read_bytes()


async def test_compressed_clusters_are_told_in_chunks(tmp_path: Path) -> None:
    """Neighbours are inflated together."""
    source = images.raw(tmp_path / "raw", 3 * MiB, 3 * MiB)
    found = await begun(images.convert(source, tmp_path / "q", "qcow2", "-c").read_bytes())
    told = await gathered(found.all())
    assert [(each.offset, each.extent.length) for each in told] == [
        (start, MiB) for start in range(0, 3 * MiB, MiB)
    ]


async def test_data_is_told_as_its_bytes_pass(tmp_path: Path) -> None:
    """No more of the file is asked for: who sends it may be waiting for an answer."""
    source = images.raw(tmp_path / "raw", 8 * MiB, 8 * MiB)
    stream = Stream(images.convert(source, tmp_path / "q", "qcow2").read_bytes())
    found = await begin(stream.chunks())
    assert isinstance(found, Passing)
    told = 0
    async for each in found.all():
        told += each.extent.length
        assert stream.read <= told + MiB
    assert told == 8 * MiB


async def test_whole_chunks_of_data_are_not_copied(tmp_path: Path) -> None:
    """Plain clusters cost nothing but being looked up."""
    source = images.raw(tmp_path / "raw", 4 * MiB, 4 * MiB)
    data = images.convert(source, tmp_path / "q", "qcow2").read_bytes()
    given: list[bytes] = []

    async def chunks() -> Chunks:
        for start in range(0, len(data), MiB):
            given.append(data[start : start + MiB])
            yield given[-1]

    found = await begin(chunks())
    assert isinstance(found, Passing)
    told = [each.extent.data async for each in found.all() if isinstance(each.extent, Data)]
    assert [data is chunk for data, chunk in zip(told[1:-1], given[1:-1], strict=True)] == [
        True
    ] * 3


async def test_left_early_the_chunks_are_their_owners(tmp_path: Path) -> None:
    """Closing reads nothing more, and leaves open what others opened."""
    source = images.raw(tmp_path / "raw", 20 * MiB, 20 * MiB)
    for options in ((), ("-c",)):
        data = images.convert(source, tmp_path / "q", "qcow2", *options).read_bytes()
        stream = Stream(data)
        chunks = stream.chunks()
        found = await begin(chunks)
        assert isinstance(found, Passing)
        async with aclosing(found.all()) as told:
            await anext(told)
        assert stream.read < len(data) - MiB
        before = stream.read
        assert await anext(chunks) == data[before : before + MiB]
        assert found.rest.ag_frame is None  # closed
        await chunks.aclose()


async def test_an_error_of_the_source_comes_through(tmp_path: Path) -> None:
    """As it is: before the first data, and later."""
    data = images.convert(
        images.raw(tmp_path / "raw", 8 * MiB, 8 * MiB), tmp_path / "q", "qcow2"
    ).read_bytes()

    async def broken(size: int) -> Chunks:
        for start in range(0, size, MiB):
            yield data[start : start + MiB]
        raise SourceTruncated("half-way")

    with pytest.raises(SourceTruncated, match="half-way"):
        await begin(broken(0))
    found = await begin(broken(4 * MiB))
    assert isinstance(found, Passing)
    with pytest.raises(SourceTruncated, match="half-way"):
        await gathered(found.all())


async def peak(chunks: Chunks) -> int:
    """Return the most memory that is used while *chunks* pass."""
    tracemalloc.start()
    found = await begin_in_order(chunks)
    assert isinstance(found, Passing)
    async for _ in found.all():
        pass
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


async def from_disk(path: Path) -> Chunks:
    with path.open("rb") as file:
        while chunk := file.read(MiB):
            yield chunk


@pytest.mark.parametrize("options", [(), ("-c", "-o", "cluster_size=2M,compression_type=zstd")])
async def test_memory_does_not_follow_the_size(options: tuple[str, ...], tmp_path: Path) -> None:
    """A disk of 96 MiB takes no more than its chunks."""
    source = images.raw(tmp_path / "raw", 96 * MiB, 96 * MiB)
    path = images.convert(source, tmp_path / "q", "qcow2", *options)
    assert await peak(from_disk(path)) < 40 * MiB


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("options", [(), ("-c",)])
async def test_memory_of_large_disks(options: tuple[str, ...], tmp_path: Path) -> None:
    """Nor does one of 768 MiB."""
    source = images.raw(tmp_path / "raw", 768 * MiB, 768 * MiB)
    path = images.convert(source, tmp_path / "q", "qcow2", *options)
    assert await peak(from_disk(path)) < 40 * MiB


async def test_what_is_held_is_held_once(tmp_path: Path) -> None:
    """Neither what may be given back nor what waits for its table is copied."""
    source = images.raw(tmp_path / "raw", 48 * MiB, 48 * MiB)
    data = tables_last(images.convert(source, tmp_path / "q", "qcow2").read_bytes())
    path = tmp_path / "moved"
    path.write_bytes(data)
    assert await peak(from_disk(path)) < 64 * MiB


async def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    """Wherever it is cut, but for what nobody needs."""
    for kind in ("qcow2", "qcow2-zlib", "qcow2-extended"):
        whole = images.make(kind, tmp_path).read_bytes()
        for data in (whole, tables_last(whole)):
            for keep in [0, 50, 104, *range(200, len(data) - 64 * KiB, 50_001)]:
                with pytest.raises((CorruptImage, NotAnImage)):
                    await passed(data[:keep])


async def test_a_last_sector_need_not_be_whole(tmp_path: Path) -> None:
    """Of a compressed cluster's last sector, the file may lack what belongs to nobody."""
    source = images.raw(tmp_path / "raw", MiB, MiB)
    data = images.convert(source, tmp_path / "q", "qcow2", "-c").read_bytes().rstrip(b"\0")
    assert await passed(data) == source.read_bytes()


async def test_a_sector_too_many_is_read(tmp_path: Path) -> None:
    """A length that counts the sector behind is no contradiction: nothing of it is looked at."""
    parts = Parts(images.empty(tmp_path / "q", "qcow2", 3 * 64 * KiB).read_bytes())
    content = [bytes([number]) * 64 * KiB for number in (1, 2, 3)]
    table = parts.append(bytes(parts.cluster))
    start = parts.append(bytes(parts.cluster))
    parts.put(parts.l1, 1 << 63 | table)
    for number, cluster in enumerate(content[:2]):
        deflate = zlib.compressobj(9, zlib.DEFLATED, -12)
        packed = deflate.compress(cluster) + deflate.flush()
        at, end = start + 512 * number, start + 512 * number + 512
        parts.data[at : at + len(packed)] = packed
        parts.put(table + 8 * number, 1 << 62 | (end // 512 - at // 512) << 54 | at)
    parts.put(table + 16, 1 << 63 | parts.append(content[2]))
    assert await passed(bytes(parts.data)) == b"".join(content)
    assert await passed(tables_last(bytes(parts.data))) == b"".join(content)


@pytest.fixture
def plain(tmp_path: Path) -> Parts:
    """A sound qcow2 of 4 MiB: L2 table at 0x40000, ten clusters of data behind it."""
    source = images.raw(tmp_path / "raw", 4 * MiB, 640 * KiB)
    return Parts(images.convert(source, tmp_path / "q", "qcow2").read_bytes())


async def refused(data: bytes | bytearray, error: type[ImporterError], said: str) -> None:
    """Both orders must refuse *data*."""
    with pytest.raises(error, match=said):
        await passed(bytes(data))
    with pytest.raises(error, match=said):
        await passed_in_order(bytes(data))


async def test_a_cluster_named_twice_is_refused(plain: Parts) -> None:
    """Though qemu-img reads it: what has passed is not kept for a second time."""
    (_, offset), (second, _), *_ = plain.clusters()
    plain.rename(second, offset)
    await refused(plain.data, CorruptImage, r"\[0x50000, 0x60000\) is named twice")
    await refused(tables_last(plain.data), CorruptImage, "is named twice")


async def test_a_table_named_as_data_is_refused(plain: Parts) -> None:
    """In front of its data, and behind it."""
    plain.rename(plain.clusters()[0][0], plain.tables()[0][1])
    await refused(plain.data, CorruptImage, r"\[0x40000, 0x50000\) is named twice")


async def test_the_header_or_the_l1_table_named_as_data_is_refused(plain: Parts) -> None:
    """They are parts of the file that have a meaning already."""
    at, _ = plain.clusters()[0]
    plain.rename(at, plain.l1)
    await refused(plain.data, CorruptImage, r"\[0x30000, 0x40000\) is named twice")
    plain.put(40, 0)
    await refused(plain.data, CorruptImage, "is named twice")


async def test_what_is_behind_the_end_is_refused(plain: Parts) -> None:
    """It is not read as zeros: a cluster, an L2 table, the L1 table."""
    before = bytes(plain.data)
    plain.rename(plain.clusters()[0][0], 1 << 40)
    await refused(plain.data, CorruptImage, "ends too early: needs 1099511693312 bytes")
    plain.rename(plain.tables()[0][0], 1 << 40)
    await refused(plain.data, CorruptImage, "ends too early: needs 1099511693312 bytes")
    plain.data[:] = before
    plain.put(40, 1 << 40)
    await refused(plain.data, CorruptImage, "ends too early: needs 1099511627784 bytes")


async def test_what_is_not_aligned_is_refused(plain: Parts) -> None:
    """As qemu does."""
    plain.rename(plain.clusters()[0][0], 0x50200)
    await refused(plain.data, CorruptImage, "cluster is at 0x50200, not a multiple of 65536")
    plain.rename(plain.tables()[0][0], 0x40200)
    await refused(plain.data, CorruptImage, "L2 table is at 0x40200, not a multiple")


async def test_one_table_for_all_is_refused(tmp_path: Path) -> None:
    """A loop of tables is named twice at once."""
    parts = Parts(images.empty(tmp_path / "q", "qcow2", 16 * TiB).read_bytes())
    table = parts.append(bytes(64 * KiB))
    for index in range(parts.l1_entries):
        parts.put(parts.l1 + 8 * index, 1 << 63 | table)
    await refused(parts.data, CorruptImage, "is named twice")


async def test_one_compressed_cluster_for_all_is_refused(tmp_path: Path) -> None:
    """Nor can one that inflates to much stand for a large disk."""
    parts = Parts(images.make("qcow2-zlib", tmp_path).read_bytes())
    _, table = parts.tables()[0]
    for index in range(128):
        parts.put(table + 8 * index, parts.word(table))
    await refused(parts.data, CorruptImage, "uses parts in several places")


async def test_damaged_compressed_data_is_refused(tmp_path: Path) -> None:
    """Each cluster must inflate to its size."""
    for kind in ("qcow2-zlib", "qcow2-zstd"):
        parts = Parts(images.make(kind, tmp_path).read_bytes())
        at = parts.word(parts.tables()[0][1]) & ((1 << 54) - 1)
        parts.data[at : at + 40] = b"\xff" * 40
        await refused(parts.data, CorruptImage, f"compressed qcow2 cluster at {at:#x}")


async def test_what_the_header_refuses_is_refused(tmp_path: Path) -> None:
    """Another file, a backing file: as by the reader that can seek."""
    path = images.empty(tmp_path / "q", "qcow2", MiB)
    await refused(b"KDMV" + path.read_bytes()[4:], NotAnImage, "this one with b'KDMV'")
    patched(path, 8, struct.pack(">QI", 0x200, 5))
    await refused(path.read_bytes(), UnsafeImage, "backing file")


async def test_a_file_given_back_may_be_left(tmp_path: Path) -> None:
    """Its chunks are closed without the rest being read."""
    source = images.raw(tmp_path / "raw", 16 * MiB, 16 * MiB)
    data = tables_last(images.convert(source, tmp_path / "q", "qcow2").read_bytes())
    stream = Stream(data)
    found = await begin(stream.chunks(), 4 * MiB)
    assert isinstance(found, Held)
    async with aclosing(found.chunks) as chunks:
        assert await anext(chunks) == data[:MiB]
    assert stream.read < 8 * MiB


def test_the_first_data_is_not_printed() -> None:
    """A log that shows the object stays short."""
    first = [Located(0, Data(bytes(MiB)))]
    shown = Passing(MiB, first, gathered)  # type: ignore[arg-type]
    assert len(repr(shown)) < 100
