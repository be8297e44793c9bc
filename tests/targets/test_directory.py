"""What only a directory does."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.config import Limits
from importer.errors import NoSpace, TargetBusy, TargetError
from importer.formats.disks import Disks
from importer.model import Format, ImageInfo, Placed
from importer.targets import Written
from importer.targets.directory import DirectoryShelf
from importer.units import GiB, MiB
from tests import images
from tests.targets.conftest import (
    DISK,
    LIMITS,
    QEMU_IMG,
    Member,
    chunks,
    fill,
    look,
    order,
    source,
)

DISKS = Disks(QEMU_IMG, LIMITS)


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vdi"])
async def test_zeros_are_holes(directory: Member, tmp_path: Path, kind: str) -> None:
    """The file takes the room of its data, not of the disk; also one that qemu-img has made."""
    place = directory.place(order(format="raw"))
    finished = await fill(place, source(kind, tmp_path))
    made = Path(finished.placed.name).stat()
    assert made.st_size == DISK
    assert made.st_blocks * 512 <= MiB + 128 * 1024


async def test_zeros_of_a_dense_stream_are_holes(directory: Member) -> None:
    """A disk of nothing but zeros takes next to no room, however it was cut into chunks."""

    async def stream() -> AsyncIterator[bytes]:
        for length in (1000, 8 * MiB - 1000):
            yield bytes(length)

    place = directory.place(order())
    await place.prepare(ImageInfo(format=Format.RAW, size=8 * MiB))
    assert await place.write(stream()) == Written(8 * MiB, 0, 8 * MiB)
    finished = await place.finish()
    assert Path(finished.placed.name).stat().st_blocks == 0


async def test_namespaces_are_folders(directory: Member, tmp_path: Path) -> None:
    """The same name in two namespaces is two files, and removing one leaves the other."""
    path = source("raw", tmp_path)
    placed = {}
    for namespace in ("default", "team"):
        place = directory.place(order(namespace=namespace))
        placed[namespace] = (await fill(place, path)).placed
        await place.settle()
    assert directory.files() == ["disk.raw", "team", "team/disk.raw"]
    await directory.shelf.remove(order(namespace="team"), placed["team"])
    assert directory.files() == ["disk.raw"]


async def test_a_shared_namespace_stays(directory: Member, tmp_path: Path) -> None:
    """The folder of a namespace stays while another import in it has only begun."""
    info = await look(source("raw", tmp_path))
    one, two = (directory.place(order(name, namespace="team")) for name in ("one", "two"))
    await one.prepare(info)
    await two.prepare(info)
    await one.abort()
    await two.write(chunks(tmp_path / "disk.raw"))
    await two.finish()
    await two.settle()
    assert directory.files() == ["team", "team/two.raw"]


async def test_a_busy_namespace(directory: Member) -> None:
    """Imports that begin while others tidy up the same folder are not disturbed, nor they."""

    async def one(name: str) -> None:
        for _ in range(25):
            place = directory.place(order(name, namespace="team"))
            await place.prepare(ImageInfo(format=Format.RAW))
            await place.abort()

    await asyncio.gather(*(one(f"disk-{number}") for number in range(4)))
    assert directory.files() == []


async def test_a_settled_image_cannot_be_aborted(directory: Member, tmp_path: Path) -> None:
    """An abort that comes too late leaves the image alone."""
    place = directory.place(order())
    await fill(place, source("raw", tmp_path))
    await place.settle()
    await place.abort()
    await directory.place(order()).abort()
    assert images.same(directory.path / "disk.raw", "raw", tmp_path / "disk.raw", "raw")


@pytest.mark.parametrize("ending", ["raw", "qcow2"])
@pytest.mark.parametrize("when", ["before", "during"])
async def test_a_strangers_file_is_left_alone(
    directory: Member, tmp_path: Path, ending: str, when: str
) -> None:
    """A file that was there first, or came while the image did, is neither replaced nor removed."""
    path = source("raw", tmp_path)
    stranger = directory.path / f"disk.{ending}"
    place = directory.place(order())
    if when == "during":
        await place.prepare(await look(path))
        await place.write(chunks(path))
    directory.path.mkdir(parents=True, exist_ok=True)
    stranger.write_bytes(b"mine")
    step = place.prepare(await look(path)) if when == "before" else place.finish()
    with pytest.raises(TargetBusy, match="move it away"):
        await step
    await place.abort()
    await directory.place(order()).abort()
    assert directory.files() == [stranger.name]
    assert stranger.read_bytes() == b"mine"


async def test_removing_leaves_a_neighbour(directory: Member, tmp_path: Path) -> None:
    """Only the image's own file goes, not one that differs in its ending and came later."""
    place = directory.place(order())
    finished = await fill(place, source("raw", tmp_path))
    await place.settle()
    (directory.path / "disk.qcow2").write_bytes(b"mine")
    await directory.shelf.remove(order(), finished.placed)
    assert directory.files() == ["disk.qcow2"]


async def test_what_is_written_to_elsewhere_is_not_followed(
    directory: Member, tmp_path: Path
) -> None:
    """A symbolic link under the future name or that of the part is never written through."""
    path = source("raw", tmp_path)
    victim = tmp_path / "victim"
    place = directory.place(order())
    await place.prepare(await look(path))
    (directory.path / ".uid-disk.part").symlink_to(victim)
    with pytest.raises(TargetError, match="File exists"):
        await place.write(chunks(path))
    await place.abort()
    assert directory.files() == []
    assert not victim.exists()


async def test_an_odd_length_becomes_whole_sectors(directory: Member, tmp_path: Path) -> None:
    """A disk is made of sectors: what a file lacks to the next one is zeros."""
    path = source("dense", tmp_path)
    os.truncate(path, DISK - 100)
    finished = await fill(directory.place(order()), path)
    assert Path(finished.placed.name).read_bytes() == path.read_bytes() + bytes(100)
    assert finished.info.virtual_size == DISK


async def test_a_fixed_vhd_that_looked_raw(directory: Member, tmp_path: Path) -> None:
    """A stream of unknown length shows only at its end that it is a VHD; then it is read as one."""
    path = source("vpc-fixed", tmp_path)
    place = directory.place(order())
    await place.prepare(ImageInfo(format=Format.RAW))
    await place.write(chunks(path))
    finished = await place.finish()
    assert finished.info.format == Format.VPC
    assert images.same(Path(finished.placed.name), "raw", tmp_path / "disk.raw", "raw")


async def test_too_large_is_refused_first(directory: Member) -> None:
    """What the file system has no room for is refused before a byte is written."""
    place = directory.place(order())
    free = (await directory.shelf.describe()).available or 0
    with pytest.raises(NoSpace, match="has"):
        await place.prepare(ImageInfo(format=Format.RAW, size=free + GiB))
    await place.abort()
    assert directory.files() == []


async def test_what_must_stay_free_stays_free(small_disk: Path, tmp_path: Path) -> None:
    """The limit counts, and the error names it, both values, and the directory."""
    limits = Limits(free_space=2 * MiB)
    place = DirectoryShelf("small", small_disk, DISKS, limits).place(order())
    with pytest.raises(NoSpace, match=r"needs 3\.0 MiB.* has 2\.0 MiB .*2\.0 MiB are to stay"):
        await place.prepare(ImageInfo(format=Format.RAW, size=3 * MiB))
    await place.abort()
    assert list(small_disk.iterdir()) == []


async def test_room_that_runs_out(small_disk: Path, tmp_path: Path) -> None:
    """A file whose size nobody knew fills the disk: NoSpace, and the room is given back."""
    path = images.raw(tmp_path / "big.raw", 6 * MiB, data=6 * MiB)
    member = Member(small_disk, tmp_path / "data")
    place = member.place(order(namespace="team"))
    await place.prepare(ImageInfo(format=Format.RAW))
    with pytest.raises(NoSpace, match=r"no space left on .*small/team"):
        await place.write(chunks(path))
    await place.abort()
    assert list(small_disk.iterdir()) == []


async def test_a_folder_that_cannot_be_made(directory: Member, tmp_path: Path) -> None:
    """A file where the namespace's folder should be is the target's failure, with its name."""
    directory.path.mkdir(parents=True)
    (directory.path / "team").write_bytes(b"mine")
    place = directory.place(order(namespace="team"))
    with pytest.raises(TargetError, match=r"images/team: File exists"):
        await place.prepare(ImageInfo(format=Format.RAW))
    await place.abort()
    assert (directory.path / "team").read_bytes() == b"mine"


async def test_removing_from_a_folder_that_is_gone(directory: Member) -> None:
    """Somebody took the whole folder away: the image is gone, which is what was wanted."""
    await directory.shelf.remove(
        order(namespace="team"), Placed(kind="File", name="/gone/team/disk.raw")
    )
    assert not directory.path.exists()
