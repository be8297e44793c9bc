"""Zeros are found and left out; everything else is written as it came."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.errors import NoSpace, TargetError
from importer.stream.zeros import BLOCK, runs
from importer.targets import Written
from importer.targets.sparse import FLUSH, SparseWriter, make_directory
from importer.units import MiB
from tests.targets.conftest import DEVICE, NOISE

lengths = st.one_of(
    st.integers(1, 3 * BLOCK), st.sampled_from([BLOCK - 1, BLOCK, BLOCK + 1, 7 * BLOCK])
)
pieces = st.one_of(
    lengths.map(bytes),
    lengths.map(lambda length: b"\xff" * length),
    st.binary(min_size=1, max_size=64),
    lengths.map(lambda length: bytes(length - 1) + b"\1"),
)
chunk_lists = st.lists(st.lists(pieces, min_size=1, max_size=5).map(b"".join), max_size=6)


async def stream(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def written(path: Path, chunks: list[bytes]) -> Written:
    async with SparseWriter(path) as writer:
        return await writer.write(stream(chunks))


@given(chunk_lists)
def test_a_file_is_what_came(tmp_path: Path, chunks: list[bytes]) -> None:
    """A file has every byte in its place, and the length of all, zeros at its end included."""
    path = tmp_path / "file"
    path.unlink(missing_ok=True)
    count = asyncio.run(written(path, chunks))
    assert path.read_bytes() == b"".join(chunks)
    assert count.size == path.stat().st_size
    assert count.data == sum(
        end - start for chunk in chunks for data, start, end in runs(chunk) if data
    )


@given(chunk_lists)
def test_a_device_is_what_came(loop_device: Path, chunks: list[bytes]) -> None:
    """A device has every byte in its place, zeros over what was there, and whole sectors."""
    asyncio.run(written(loop_device, chunks))
    content = b"".join(chunks)
    padded = content + bytes(-len(content) % 512)
    assert loop_device.read_bytes()[: len(padded)] == padded


def test_a_device_is_left_alone_after_the_image(loop_device: Path) -> None:
    """Not a byte after the image's last sector is touched."""
    asyncio.run(written(loop_device, [bytes(1000), b"\1" * 1000]))
    assert loop_device.read_bytes()[2048:] == NOISE[2048:]
    assert len(NOISE) == DEVICE


async def test_more_than_one_flush(tmp_path: Path) -> None:
    """What is flushed while more comes is the same file."""
    piece = bytes(range(256)) * (MiB // 256)
    count = 2 * FLUSH // MiB + 3
    assert (await written(tmp_path / "file", [piece] * count)).data == count * MiB
    assert (tmp_path / "file").read_bytes() == piece * count


async def test_a_full_disk_is_no_space(small_disk: Path) -> None:
    """The error names the directory and how far it came."""
    with pytest.raises(NoSpace, match=r"no space left on .*small after 4\.0 MiB"):
        await written(small_disk / "file", [b"\1" * MiB] * 6)


async def test_a_directory_without_room_for_a_name_is_no_space(small_disk: Path) -> None:
    """A file that cannot even be made for want of room is NoSpace too."""
    os.system(f"mount -o remount,nr_inodes=2 {small_disk}")
    (small_disk / "last").touch()
    with pytest.raises(NoSpace):
        await written(small_disk / "file", [b"\1"])


async def test_what_must_stay_free(small_disk: Path) -> None:
    """While it is written too, not only before: looked at with every flush."""
    async with SparseWriter(small_disk / "file", 2 * MiB) as writer:
        with pytest.raises(NoSpace, match=r"2\.0 MiB are to stay free"):
            # Zeros take no room themselves, but bring the flush on.
            await writer.write(stream([b"\1" * (3 * MiB), bytes(FLUSH), b"\1"]))


async def test_an_existing_file_is_not_written(tmp_path: Path) -> None:
    """Neither a file nor what a symbolic link points to is ever opened for writing."""
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "none")
    for name in ("file", "link"):
        with pytest.raises(TargetError, match=f"cannot write .*{name}: File exists"):
            await written(tmp_path / name, [b"\1"])
    assert (tmp_path / "file").read_bytes() == b"mine"
    assert not (tmp_path / "none").exists()


async def test_cancelled_twice_while_flushing(tmp_path: Path) -> None:
    """However often it is cancelled, no thread works on a file that is closed."""
    loop = asyncio.get_running_loop()
    writer = SparseWriter(tmp_path / "file")
    flushes: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        yield b"\1" * FLUSH
        loop.call_soon(task.cancel)
        loop.call_soon(loop.call_soon, task.cancel)
        loop.call_later(0.001, task.cancel)
        yield b"\1" * MiB

    async def write() -> None:
        async with writer:
            flush = writer._flush

            def seen() -> None:
                flush()
                os.fstat(writer._fd)  # raises when it has been closed meanwhile
                flushes.append(1)

            writer._flush = seen  # type: ignore[method-assign]
            await writer.write(source())

    task = asyncio.ensure_future(write())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert flushes == [1]


def test_directories_are_for_the_service_alone(tmp_path: Path) -> None:
    """All that were missing are made 0700; those that were there stay as they are."""
    os.chmod(tmp_path, 0o755)
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path, tmp_path / "a", tmp_path / "a/b")]
    assert modes == [0o755, 0o700, 0o700]
