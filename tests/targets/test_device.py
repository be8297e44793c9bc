"""What only a block device does."""

import errno
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from importer.errors import CallerError, NoSpace, TargetBusy, TargetError, UnsupportedImage
from importer.model import Format, ImageInfo
from importer.targets import Written
from importer.targets.device import DeviceShelf
from importer.units import MiB
from tests import images
from tests.targets.conftest import (
    DEVICE,
    DISK,
    LIMITS,
    NOISE,
    PLACED,
    Member,
    chunks,
    fill,
    look,
    order,
    source,
)


@pytest.mark.parametrize("step", [MiB, 4096, 1000, 77_777])
async def test_zeros_are_written_over_old_bytes(device: Member, tmp_path: Path, step: int) -> None:
    """Where the image has zeros the device has, however the stream was cut; the rest is as was."""
    path = source("raw", tmp_path)
    place = device.place(order())
    await place.prepare(await look(path))
    await place.write(chunks(path, step))
    await place.finish()
    content = device.path.read_bytes()
    assert content[:DISK] == path.read_bytes()
    assert content[DISK:] == NOISE[DISK:]


async def test_the_last_sector_holds_no_old_bytes(device: Member, tmp_path: Path) -> None:
    """An image of odd length ends in zeros, as it does in a file."""
    path = source("dense", tmp_path)
    os.truncate(path, DISK - 100)
    finished = await fill(device.place(order()), path)
    assert finished.info.virtual_size == DISK
    assert device.path.read_bytes()[: DISK + 1] == path.read_bytes() + bytes(100) + NOISE[DISK:][:1]


async def test_qcow2_is_refused(device: Member) -> None:
    """A device holds raw; who asks for qcow2 is told so before anything is made."""
    with pytest.raises(UnsupportedImage, match="holds raw"):
        device.shelf.check(order(format="qcow2"))


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vdi"])
async def test_too_large_is_refused_first(device: Member, tmp_path: Path, kind: str) -> None:
    """A disk larger than the device is refused with both sizes, and the device not touched."""
    images.raw(tmp_path / "disk.raw", 2 * DEVICE)
    path = images.make(kind, tmp_path)
    place = device.place(order())
    with pytest.raises(NoSpace, match=r"18\.0 MiB.* 9\.0 MiB"):
        await place.prepare(await look(path))
    await place.abort()
    device.assert_clean(wiped=False)


async def test_the_device_runs_full(device: Member, tmp_path: Path) -> None:
    """A stream that nobody knew the length of ends in NoSpace, data or zeros, and is wiped."""

    async def more(last: bytes) -> AsyncIterator[bytes]:
        for _ in range(DEVICE // MiB):
            yield b"\1" * MiB
        yield last

    for last in (b"\1" * MiB, bytes(MiB)):
        place = device.place(order())
        await place.prepare(ImageInfo(format=Format.RAW))
        with pytest.raises(NoSpace, match="no space left on /dev/"):
            await place.write(more(last))
        await place.abort()
        device.assert_clean()


async def test_exactly_full_fits(device: Member) -> None:
    """An image of the device's own size fits."""

    async def noise() -> AsyncIterator[bytes]:
        yield b"\1" * DEVICE

    place = device.place(order())
    await place.prepare(ImageInfo(format=Format.RAW, size=DEVICE, virtual_size=DEVICE))
    assert await place.write(noise()) == Written(DEVICE, DEVICE, DEVICE)
    assert (await place.finish()).info.virtual_size == DEVICE


async def test_another_image_holds_it(device: Member, tmp_path: Path) -> None:
    """A device takes one image at a time, from its first moment to its removal."""
    path = source("raw", tmp_path)
    first = device.place(order("first"))
    await first.prepare(await look(path))
    assert (await device.shelf.describe()).available == 0
    with pytest.raises(TargetBusy, match="delete that one first"):
        await device.place(order("second")).prepare(await look(path))
    await device.place(order("second")).abort()
    await device.shelf.remove(order("second"), PLACED)
    await first.write(chunks(path))
    await first.finish()
    await first.settle()
    assert device.path.read_bytes()[:DISK] == path.read_bytes()
    await device.shelf.remove(order("first"), PLACED)
    await device.place(order("second")).prepare(await look(path))


async def test_the_same_import_may_prepare_again(device: Member, tmp_path: Path) -> None:
    """After a crash the claim is there already, and it is ours."""
    info = await look(source("raw", tmp_path))
    for _ in range(2):
        await device.place(order()).prepare(info)
    assert device.files() == ["here.claim"]


async def test_a_fixed_vhd_that_looked_raw(device: Member, tmp_path: Path) -> None:
    """The end shows that the bytes on the device are no raw disk: refused, and wiped."""
    path = source("vpc-fixed", tmp_path)
    place = device.place(order())
    await place.prepare(ImageInfo(format=Format.RAW))
    await place.write(chunks(path))
    with pytest.raises(UnsupportedImage, match="vpc"):
        await place.finish()
    await place.abort()
    device.assert_clean()


@pytest.mark.parametrize("kind", ["raw", "vdi"])
async def test_a_mounted_device_is_not_touched(device: Member, tmp_path: Path, kind: str) -> None:
    """A device in use is refused, whatever comes, and abort does not wipe it."""
    images.run("mkfs.ext4", "-q", str(device.path))
    folder = tmp_path / "mounted"
    folder.mkdir()
    if subprocess.run(["mount", device.path, folder], capture_output=True).returncode:
        pytest.skip("mounting a file system is not possible here")
    try:
        place = device.place(order())
        with pytest.raises(TargetBusy, match="in use"):
            await place.prepare(await look(source(kind, tmp_path)))
        await place.abort()
    finally:
        subprocess.run(["umount", folder], check=True)
    images.run("e2fsck", "-fn", str(device.path))
    assert device.files() == []


async def test_a_device_mounted_later_is_not_wiped(device: Member, tmp_path: Path) -> None:
    """An image that is in use is not removed under its user; once it is free it can be."""
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(DISK))
    images.run("mkfs.ext4", "-q", str(path))
    await fill(device.place(order()), path)
    folder = tmp_path / "mounted"
    folder.mkdir()
    if subprocess.run(["mount", device.path, folder], capture_output=True).returncode:
        pytest.skip("mounting a file system is not possible here")
    try:
        with pytest.raises(TargetBusy, match="in use"):
            await device.shelf.remove(order(), PLACED)
    finally:
        subprocess.run(["umount", folder], check=True)
    images.run("e2fsck", "-fn", str(device.path))
    await device.shelf.remove(order(), PLACED)
    device.assert_clean()


async def test_a_device_that_is_gone(device: Member, tmp_path: Path) -> None:
    """It is the target's failure, by the device's name, and leaves no claim."""
    spool = tmp_path / "data" / "spool"
    shelf = DeviceShelf("here", tmp_path / "unplugged", spool, device.disks, LIMITS)
    with pytest.raises(TargetError, match=f"unplugged: {os.strerror(errno.ENOENT)}"):
        await shelf.place(order()).prepare(ImageInfo(format=Format.RAW))
    with pytest.raises(TargetError, match="unplugged"):
        await shelf.describe()
    assert device.files() == []


async def test_only_a_device_is_ever_wiped(device: Member, tmp_path: Path) -> None:
    """Where a file has taken the device's place, it is neither written nor wiped."""
    info = await look(source("raw", tmp_path))
    link = tmp_path / "link"
    link.symlink_to(device.path)
    spool = tmp_path / "data" / "spool"
    place = DeviceShelf("here", link, spool, device.disks, LIMITS).place(order())
    await place.prepare(info)
    link.unlink()
    link.write_bytes(b"mine")
    with pytest.raises(TargetError, match="Block device required"):
        await place.abort()
    with pytest.raises(TargetError, match="Block device required"):
        await place.prepare(info)
    assert link.read_bytes() == b"mine"


def test_options_come_before_the_format(device: Member) -> None:
    """Both refusals are there; the unknown option is named first."""
    with pytest.raises(CallerError, match="size"):
        device.shelf.check(replace(order(format="qcow2"), options={"size": 1}))
