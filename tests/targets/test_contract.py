"""What every target does: one suite over all of them (importer/targets/__init__.py)."""

import asyncio
import itertools
import os
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from importer.errors import CallerError, CorruptImage, TargetBusy, UnsafeImage
from importer.formats.disks import Disks
from importer.model import Format, ImageInfo, WantedFormat
from importer.stream.extent import Data, Layout, Located, Zero
from importer.targets import Written
from importer.units import MiB
from tests import images
from tests.targets.conftest import (
    CLUSTER,
    LIMITS,
    LOCAL,
    PLACED,
    QEMU_IMG,
    SOURCES,
    AnyMember,
    Member,
    chunks,
    fill,
    format_of,
    look,
    order,
    prepare,
    source,
)


def _kept(kind: str) -> str:
    return "qcow2" if kind.startswith("qcow2") else "raw"


def _takes(member: str, kind: str, wanted: str | None) -> bool:
    """Return False for what a device refuses (test_device.py), and plans send to no cluster."""
    if member == "backingimage":
        return format_of(kind) in ("raw", "qcow2") and wanted in (None, _kept(kind))
    if member == "cdi":  # a VHDX's size is not in the head that `look` reads
        return format_of(kind) not in ("vpc", "vhdx") and wanted in (None, "raw")
    return member == "directory" or not (wanted == "qcow2" or kind == "vpc-fixed")


TAKEN = [
    case
    for case in itertools.product([*LOCAL, *CLUSTER], SOURCES, [None, "raw", "qcow2"])
    if _takes(*case)
]


@pytest.mark.parametrize(("member", "kind", "wanted"), TAKEN, indirect=["member"])
async def test_the_image_is_the_source(
    member: AnyMember, tmp_path: Path, kind: str, wanted: WantedFormat | None
) -> None:
    """What was made equals what came in, in the format wanted, also where old bytes lay."""
    path = source(kind, tmp_path)
    place = member.place(order(format=wanted))
    finished = await fill(place, path)
    await place.settle()
    made, format = member.image(finished, tmp_path)
    assert images.same(made, format, path, format_of(kind))
    assert format == member.stored(wanted or _kept(kind))
    assert finished.info.virtual_size == images.virtual_size(path, format_of(kind))
    assert finished.info.size == path.stat().st_size
    assert member.files() == member.made(format)


async def test_what_arrived_is_counted(member: AnyMember, tmp_path: Path) -> None:
    """Size is every byte, data only those that are no zeros, in blocks of 4 KiB."""
    path = source("raw", tmp_path)
    place = member.place(order())
    await prepare(place, path)
    written = await place.write(chunks(path))
    assert (written.size, written.data) == (path.stat().st_size, MiB + 4096)


EXTENTS = [
    Located(3 * MiB, Data(b"late" * 1024)),
    Located(0, Data(b"head" * 1024 + bytes(MiB - 4096))),
    Located(3 * MiB + 4096, Zero(5 * MiB - 4096)),
    Located(MiB, Zero(2 * MiB)),
]
"""A disk of 8 MiB in no order, with 8 KiB that are no zeros."""


async def layout(extents: list[Located]) -> Layout:
    for extent in extents:
        yield extent


@pytest.mark.parametrize("known", [Format.QCOW2, Format.RAW])
async def test_a_disk_is_filled_in_any_order(local: Member, tmp_path: Path, known: Format) -> None:
    """What comes as extents lies where it belongs, whatever was there before."""
    whole = bytearray(8 * MiB)
    whole[:4096], whole[3 * MiB : 3 * MiB + 4096] = b"head" * 1024, b"late" * 1024
    (tmp_path / "whole").write_bytes(whole)
    place = local.place(order(format="raw"))
    await place.prepare(ImageInfo(format=known, virtual_size=8 * MiB, size=8 * MiB), "raw")
    written = await place.fill(layout(EXTENTS))
    assert written == Written(8 * MiB, 8192, MiB + 4096)
    finished = await place.finish()
    await place.settle()
    made, format = local.image(finished, tmp_path)
    assert (format, finished.info.format) == ("raw", known)
    assert finished.info.virtual_size == 8 * MiB
    assert images.same(made, "raw", tmp_path / "whole", "raw")


@pytest.mark.parametrize("at", range(5))
async def test_a_broken_fill_leaves_nothing(local: Member, at: int) -> None:
    """An error amid the extents comes out as it is, and abort cleans up."""

    async def breaking() -> Layout:
        for extent in EXTENTS[:at]:
            yield extent
        raise CorruptImage("half-way")

    place = local.place(order())
    await place.prepare(ImageInfo(format=Format.QCOW2, virtual_size=8 * MiB), "raw")
    with pytest.raises(CorruptImage, match="half-way"):
        await place.fill(breaking())
    await place.abort()
    local.assert_clean()


async def test_a_disk_that_is_a_file_of_its_own_is_refused(local: Member, tmp_path: Path) -> None:
    """A qcow2 inside a disk would be opened, with all it names, by who does not say the format."""
    inner = source("qcow2", tmp_path).read_bytes()
    inner = inner.ljust(-(-len(inner) // MiB) * MiB, b"\0")
    place = local.place(order())
    await place.prepare(ImageInfo(format=Format.VMDK, virtual_size=len(inner)), "raw")
    await place.fill(layout([Located(0, Data(inner))]))
    with pytest.raises(UnsafeImage, match="qcow2"):
        await place.finish()
    await place.abort()
    local.assert_clean()


async def test_a_converted_disk_that_is_a_file_of_its_own_is_refused(
    local: Member, tmp_path: Path
) -> None:
    """The same where qemu-img lays out the disk."""
    inner = source("qcow2", tmp_path)
    with inner.open("r+b") as file:
        file.truncate(-(-inner.stat().st_size // MiB) * MiB)
    outer = images.convert(inner, tmp_path / "outer.vmdk", "vmdk")
    place = local.place(order())
    with pytest.raises(UnsafeImage, match="qcow2"):
        await fill(place, outer)
    await place.abort()


STEPS = ["nothing", "prepared", "broken", "written", "finished"]


async def go(member: AnyMember, path: Path, step: str) -> None:
    """Import *path* as far as *step*."""
    place = member.place(order())
    if step == "nothing":
        return
    await prepare(place, path)
    if step == "broken":
        with pytest.raises(CorruptImage, match="half-way"):
            await place.write(broken(path))
    elif step != "prepared":
        await place.write(chunks(path))
    if step == "finished":
        await place.finish()


async def broken(path: Path) -> AsyncIterator[bytes]:
    """Yield the first half of *path*, and fail."""
    content = path.read_bytes()
    yield content[: len(content) // 2]
    raise CorruptImage("half-way")


def _some(*kinds: str) -> list[tuple[str, str]]:
    return [(case[0], case[1]) for case in TAKEN if case[1] in kinds and case[2] is None]


@pytest.mark.parametrize(("member", "kind"), _some("raw", "qcow2", "vdi"), indirect=["member"])
@pytest.mark.parametrize("step", STEPS)
async def test_abort_leaves_nothing(
    member: AnyMember, tmp_path: Path, step: str, kind: str
) -> None:
    """Wherever an import stops, also by a crash, abort takes all of it away; twice is fine."""
    await go(member, source(kind, tmp_path), step)
    for _ in range(2):
        await member.place(order()).abort()  # a new place remembers nothing, as after a crash
        member.assert_clean(wiped=step != "nothing")
    finished = await fill(member.place(order()), tmp_path / "disk.raw")
    made, format = member.image(finished, tmp_path)
    assert images.same(made, format, tmp_path / "disk.raw", "raw")


async def test_a_namespace_of_nothing_is_removed(member: AnyMember, tmp_path: Path) -> None:
    """An aborted import takes the directory of its namespace with it."""
    place = member.place(order(namespace="team"))
    await prepare(place, source("raw", tmp_path))
    await place.abort()
    member.assert_clean()


@pytest.mark.parametrize("at", range(1, 5))
@pytest.mark.parametrize(("member", "kind"), _some("dense", "raw", "vdi"), indirect=["member"])
async def test_a_cancelled_write_leaves_nothing(
    member: AnyMember, tmp_path: Path, kind: str, at: int
) -> None:
    """Cancelled while a chunk is being written, nothing writes any more, and abort cleans up."""
    path = source(kind, tmp_path)
    place = member.place(order())
    await prepare(place, path)

    async def cancelling() -> AsyncIterator[bytes]:
        seen = 0
        async for chunk in chunks(path, path.stat().st_size // 5 + 1):
            seen += 1
            if seen == at:
                asyncio.get_running_loop().call_soon(task.cancel)
            yield chunk

    task = asyncio.ensure_future(place.write(cancelling()))
    with pytest.raises(asyncio.CancelledError):
        await task
    if isinstance(member, Member):
        assert open_files(member) == []
    await place.abort()
    member.assert_clean()


class Cancelling(Disks):
    """Cancels the one who asks at a named moment, and goes on as ever."""

    def __init__(self, moment: str) -> None:
        super().__init__(QEMU_IMG, LIMITS)
        self._moment = moment
        self.seen: list[str] = []

    def _at(self, moment: str) -> None:
        self.seen.append(moment)
        if moment == self._moment:
            task = asyncio.current_task()
            assert task
            asyncio.get_running_loop().call_soon(task.cancel)

    async def measure(self, path: Path, claimed: Format, size: int | None = None) -> ImageInfo:
        self._at("measure")
        info = await super().measure(path, claimed, size)
        self._at("measured")
        return info

    async def verify(self, path: Path, format: Format) -> None:
        self._at("verify")
        await super().verify(path, format)
        self._at("verified")

    async def convert(self, source: Path, format: Format, to: Path, wanted: WantedFormat) -> None:
        self._at("convert")
        await super().convert(source, format, to, wanted)
        self._at("converted")


@pytest.mark.parametrize(
    "moment", ["measure", "measured", "verify", "verified", "convert", "converted"]
)
async def test_a_cancelled_finish_leaves_nothing(
    local: Member, tmp_path: Path, moment: str
) -> None:
    """Cancelled at any moment of finish, nothing works on, and abort cleans up."""
    path = source("vdi", tmp_path)
    local.disks = disks = Cancelling(moment)
    place = local.place(order())
    with pytest.raises(asyncio.CancelledError):
        await fill(place, path)
    assert moment in disks.seen
    assert open_files(local) == []
    await place.abort()
    local.assert_clean()


def open_files(member: Member) -> list[str]:
    """Return what this process, and those that it started, have open of the target."""
    found = []
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        for link in Path(f"/proc/{process.pid}/fd").glob("*"):
            with suppress(OSError):
                found.append(os.readlink(link))
    ours = (str(member.path), f"{member.data}/")
    return [file for file in found if file.startswith(ours)]


@pytest.mark.parametrize("kind", ["raw", "qcow2", "vdi"])
async def test_a_damaged_image_leaves_nothing(local: Member, tmp_path: Path, kind: str) -> None:
    """An image that is cut off is refused at the latest by finish, and abort cleans up."""
    path = source(kind, tmp_path)
    info = await look(path)
    if kind == "raw":
        with path.open("r+b") as file:  # one partition, of more sectors than there are
            file.seek(446)
            file.write(bytes.fromhex("80000000830000000100000000000100") + bytes(48) + b"\x55\xaa")
    else:
        os.truncate(path, path.stat().st_size // 2)
    place = local.place(order())
    await place.prepare(info)
    await place.write(chunks(path))
    with pytest.raises(CorruptImage):
        await place.finish()
    await place.abort()
    local.assert_clean()


async def test_remove_frees_the_place(member: AnyMember, tmp_path: Path) -> None:
    """A removed image is gone, removing it again is fine, and its place takes the next one."""
    path = source("raw", tmp_path)
    for _ in range(2):
        place = member.place(order())
        finished = await fill(place, path)
        await place.settle()
        for _ in range(2):
            await member.shelf.remove(order(), finished.placed)
            member.assert_clean()


async def test_settling_twice_is_fine(member: AnyMember, tmp_path: Path) -> None:
    """After a crash nobody knows whether it was settled: it is settled again."""
    finished = await fill(member.place(order()), source("raw", tmp_path))
    for _ in range(2):
        await member.place(order()).settle()
    made, format = member.image(finished, tmp_path)
    assert images.same(made, format, tmp_path / "disk.raw", "raw")


async def test_files_are_for_the_service_alone(local: Member, tmp_path: Path) -> None:
    """Whatever is made, half or whole, nobody else can read it, nor list the directories."""
    path = source("vdi", tmp_path)
    place = local.place(order(namespace="team"))
    old = os.umask(0o022)
    try:
        await place.prepare(await look(path))
        check_modes(local)
        await place.write(chunks(path))
        check_modes(local)
        await place.finish()
        check_modes(local)
    finally:
        os.umask(old)


def check_modes(member: Member) -> None:
    paths = list(member.data.rglob("*"))
    assert len(paths) >= 2
    for path in paths:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert (path, oct(mode)) == (path, oct(0o700 if path.is_dir() else 0o600))


async def test_options_are_refused(member: AnyMember) -> None:
    """A local class has no options; one that is sent is named in the error."""
    shelf = member.shelf
    shelf.check(order())
    unknown = order()
    unknown.options["replicas"] = 3
    with pytest.raises(CallerError, match=r"spec\.target\.replicas"):
        shelf.check(unknown)


async def test_a_class_tells_its_room(local: Member) -> None:
    """What is free is never more than what there is, before anything is made too."""
    told = await local.shelf.describe()
    assert (told.name, told.backend, told.engine) == ("here", "local", "local")
    assert told.provisioner == ("device" if local.is_device else "directory")
    assert told.capacity
    assert told.available is not None
    assert 0 < told.available <= told.capacity


async def test_a_taken_place_is_left_alone(member: AnyMember, tmp_path: Path) -> None:
    """Who finds the place taken is refused, and the abort after that harms nothing."""
    path = source("raw", tmp_path)
    finished = await fill(member.place(order()), path)
    await member.place(order()).settle()
    late = order("other" if member.is_device else "disk")
    late = type(late)("uid-late", late.namespace, late.name, late.format, {})
    place = member.place(late)
    with pytest.raises(TargetBusy):
        await prepare(place, path)
    await place.abort()
    await member.place(late).abort()
    made, format = member.image(finished, tmp_path)
    assert images.same(made, format, path, "raw")


async def test_removing_what_never_was(member: AnyMember) -> None:
    """It is gone already, which is fine; an old device is not touched for it."""
    await member.shelf.remove(order(), PLACED)
    member.assert_clean(wiped=False)
