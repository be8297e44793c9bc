"""What goes wrong with BackingImages: each fault has its name, and nothing half-made stays."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from importer.errors import (
    CallerError,
    ClusterUnavailable,
    NotInstalled,
    ObjectGone,
    SizeMismatch,
    SourceUnavailable,
    TargetBusy,
    TargetError,
    TargetTimeout,
    TargetUnavailable,
)
from importer.model import Format, ImageInfo
from importer.stream.trickle import HELD, PIECE, Silence
from importer.targets import Place
from importer.targets.backingimage.shelf import BackingImageShelf
from importer.targets.backingimage.upload import Pace
from importer.units import MiB
from tests import images
from tests.servers.clock import HandClock
from tests.servers.kubernetes import Fault
from tests.servers.page import Page
from tests.servers.replay import until
from tests.targets.conftest import chunks, fill, look, order, prepare
from tests.targets.longhorn import SPACE, LonghornMember, longhorn_member, skip


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[LonghornMember]:
    """Longhorn, until something goes wrong."""
    async with longhorn_member(tmp_path) as found:
        yield found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A raw disk."""
    return images.raw(tmp_path / "disk.raw")


async def assert_again(member: LonghornMember, place: Place, path: Path) -> None:
    """See that nothing is left of the try at *place*, and that a new one makes the image."""
    await place.abort()
    member.assert_clean()
    made, format = member.image(await fill(member.place(order()), path), path.parent)
    assert images.same(made, format, path, "raw")


class Halting:
    """The bytes of a file, of which some come only when they are let."""

    def __init__(self, path: Path, after: int) -> None:
        self.content = path.read_bytes()
        self.after = after
        self.rest = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.content[: self.after]
        await self.rest.wait()
        yield self.content[self.after :]


async def halted(member: LonghornMember, place: Place, path: Path) -> "asyncio.Task[Any]":
    """Prepare, send the first 3 MiB, and stay there."""
    await prepare(place, path)
    source = Halting(path, 3 * MiB)
    task = asyncio.create_task(place.write(source.chunks()))
    await until(lambda: member.longhorn.source(member.name).received > MiB)
    return task


async def start(place: Place, path: Path) -> None:
    """Prepare and send."""
    await prepare(place, path)
    await place.write(chunks(path))


# Sends 2 of its 3 MiB as it gets them, and a little of the last one each hundredth of a second.
CHATTY = Pace(silence=Silence(pause=0.01), told=30.0)


# --- Longhorn fails


async def test_data_source_fails_amid_the_upload(tmp_path: Path, path: Path) -> None:
    """Longhorn's own reason comes out, and the next try makes the image."""
    async with longhorn_member(tmp_path, tries=[{"fail_after": 2 * MiB}]) as member:
        place = member.place(order())
        await prepare(place, path)
        with pytest.raises(TargetUnavailable, match="input/output error"):
            await place.write(chunks(path))
        await assert_again(member, place, path)


async def test_data_source_fails_before_it_takes_bytes(tmp_path: Path, path: Path) -> None:
    """It is not waited for any longer: its message is the error's."""
    async with longhorn_member(tmp_path, tries=[{"start_limit": 0.0}]) as member:
        place = member.place(order())
        with pytest.raises(TargetUnavailable, match="timeout waiting for the datasource"):
            await start(place, path)
        await assert_again(member, place, path)


async def test_data_source_fails_after_the_last_byte(member: LonghornMember, path: Path) -> None:
    """A 200 is no promise: what fails in the hash is a failure here."""
    place = member.place(order())
    await prepare(place, path)
    source = member.longhorn.source(member.name)
    source.hashing.clear()
    await place.write(chunks(path))
    finishing = asyncio.create_task(place.finish())
    await member.fake.watched()
    member.longhorn.fail(member.name, "disk is gone")
    with pytest.raises(TargetUnavailable, match="disk is gone"):
        await finishing
    await assert_again(member, place, path)


async def test_pod_is_killed_amid_the_upload(tmp_path: Path, path: Path) -> None:
    """Longhorn makes no other pod for an upload: this try is over, and says why."""
    async with longhorn_member(tmp_path, pace=CHATTY) as member:
        place = member.place(order())
        writing = await halted(member, place, path)
        await member.longhorn.kill_pod(member.name)
        with pytest.raises(TargetUnavailable, match="cannot find the pod"):
            await writing
        await assert_again(member, place, path)


async def test_pod_is_killed_before_the_upload(tmp_path: Path, path: Path) -> None:
    """The image says pending for ever; the manager's answer tells."""
    async with longhorn_member(tmp_path, pace=Pace(told=0.01)) as member:
        place = member.place(order())
        await prepare(place, path)
        await member.longhorn.kill_pod(member.name)
        with pytest.raises(TargetUnavailable, match="cannot find pod for backing image"):
            await place.write(chunks(path))
        await assert_again(member, place, path)


async def test_checksum_differs(member: LonghornMember, path: Path) -> None:
    """What Longhorn has on its disk is not what was sent: never Ready."""
    place = member.place(order())
    await prepare(place, path)
    source = member.longhorn.source(member.name)
    source.hashing.clear()
    await place.write(chunks(path))
    with source.path.open("r+b") as file:
        file.write(b"rot")
    source.hashing.set()
    with pytest.raises(TargetError, match=r"sha512 is .*damaged on the way or on its disk"):
        await place.finish()
    await assert_again(member, place, path)


async def test_longhorn_compares_the_checksum_it_was_told(
    member: LonghornMember, path: Path
) -> None:
    """The same, found by Longhorn itself, with both values in its words."""
    place = member.shelf.place(order())
    await place.prepare(await look(path), "as-is", path.stat().st_size, "f" * 128)
    await place.write(chunks(path))
    with pytest.raises(TargetUnavailable, match=r"expected checksum ffff.* doesn't match"):
        await place.finish()
    await assert_again(member, place, path)


async def test_longhorn_sees_another_disk(member: LonghornMember, tmp_path: Path) -> None:
    """What it takes for a disk of another size is no image."""
    path = images.make("qcow2", tmp_path)
    size = path.stat().st_size
    place = member.place(order())
    await place.prepare(ImageInfo(format=Format.QCOW2, virtual_size=16 * MiB), "as-is", size)
    await place.write(chunks(path))
    with pytest.raises(TargetError, match=f"a disk of {8 * MiB} bytes, it has {16 * MiB}"):
        await place.finish()
    await assert_again(member, place, tmp_path / "disk.raw")


async def test_longhorn_cannot_read_the_file(tmp_path: Path, path: Path) -> None:
    """A virtual size of zero means that its qemu-img failed."""
    async with longhorn_member(tmp_path, pace=Pace(told=0.01)) as member:
        cut = tmp_path / "cut.qcow2"
        cut.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(504))
        place = member.place(order())
        await place.prepare(ImageInfo(format=Format.QCOW2, virtual_size=MiB), "as-is", 512)
        await place.write(chunks(cut))
        with pytest.raises(TargetError, match="cannot tell the disk's size"):
            await place.finish()
        await assert_again(member, place, path)


async def test_hash_takes_for_ever(tmp_path: Path, path: Path) -> None:
    """Longhorn's own work has its limit, which grows with the file."""
    settings = {"finish": -path.stat().st_size / (20 * MiB) + 0.05}
    async with longhorn_member(tmp_path, settings=settings) as member:
        place = member.place(order())
        await prepare(place, path)
        member.longhorn.source(member.name).hashing.clear()
        await place.write(chunks(path))
        with pytest.raises(TargetTimeout, match="for its first copy to be ready"):
            await place.finish()
        await place.abort()
        member.assert_clean()


# --- the pod does not come


async def test_unschedulable(tmp_path: Path, path: Path) -> None:
    """The scheduler's words are the error's, after the time that the settings give it."""
    words = "0/3 nodes are available: 3 Insufficient cpu."
    async with longhorn_member(tmp_path, unschedulable=words) as member:
        member.longhorn.scheduling.clear()
        place = member.place(order())
        preparing = asyncio.create_task(prepare(place, path))
        await until(lambda: any(words in told for told in member.told))
        skip(301)
        with pytest.raises(TargetTimeout, match=r"takes no bytes after 300 s: .*Insufficient cpu"):
            await preparing
        member.longhorn.scheduling.set()
        await assert_again(member, place, path)


async def test_longhorn_is_not_installed(member: LonghornMember, path: Path) -> None:
    """The error says what is missing; there is nothing to clean up."""
    member.fake.uninstall("longhorn.io")
    place = member.place(order())
    with pytest.raises(NotInstalled, match="is Longhorn installed"):
        await prepare(place, path)
    await place.abort()


# --- somebody deletes it


async def test_deleted_while_it_is_prepared(member: LonghornMember, path: Path) -> None:
    """It is not waited for to the end of its time."""
    member.longhorn.scheduling.clear()
    place = member.place(order())
    preparing = asyncio.create_task(prepare(place, path))
    await member.fake.watched(2)
    member.fake.delete("backingimages", SPACE, member.name)
    with pytest.raises(ObjectGone, match="somebody deleted"):
        await preparing
    member.longhorn.scheduling.set()
    await place.abort()
    member.assert_clean()


async def test_deleted_amid_the_upload(tmp_path: Path, path: Path) -> None:
    """The connection breaks, and the reason is told."""
    async with longhorn_member(tmp_path, pace=CHATTY) as member:
        place = member.place(order())
        writing = await halted(member, place, path)
        member.fake.delete("backingimages", SPACE, member.name)
        with pytest.raises(ObjectGone, match="somebody"):
            await writing
        await place.abort()
        member.assert_clean()


@pytest.mark.parametrize("held", [False, True])
async def test_deleted_while_longhorn_works(member: LonghornMember, path: Path, held: bool) -> None:
    """Gone, or held by its finalizer only: it will never be ready."""
    place = member.place(order())
    await prepare(place, path)
    member.longhorn.source(member.name).hashing.clear()
    await place.write(chunks(path))
    finishing = asyncio.create_task(place.finish())
    await member.fake.watched()
    if held:
        member.longhorn.removing.clear()
    member.fake.delete("backingimages", SPACE, member.name)
    with pytest.raises(ObjectGone, match="somebody"):
        await finishing
    member.longhorn.removing.set()
    await place.abort()
    member.assert_clean()


async def test_another_image_takes_its_place(member: LonghornMember, path: Path) -> None:
    """Deleted and made anew by somebody else under the same name, it is not ours."""
    place = member.place(order())
    await prepare(place, path)
    name = member.name
    member.longhorn.source(name).hashing.clear()
    await place.write(chunks(path))
    member.fake.delete("backingimages", SPACE, name)
    await member.fake.until_gone("backingimages", SPACE, name)
    theirs = {"metadata": {"name": name, "namespace": SPACE}, "spec": {"sourceType": "upload"}}
    member.longhorn.create(theirs)
    with pytest.raises(ObjectGone, match="somebody deleted it"):
        await place.finish()
    await place.abort()
    assert member.files() == [name]


# --- the connection


@dataclass
class Cut(Page):
    """A connection that breaks, in place of an answer."""

    status: int = 0

    async def answer(
        self,
        request: web.Request,
        behind: Callable[[web.Request], Awaitable[web.Response]],
    ) -> web.Response:
        await self._read(request)
        assert request.transport
        request.transport.abort()
        return web.Response()


@pytest.mark.parametrize("after", [1, 5 * MiB])
async def test_connection_breaks(tmp_path: Path, path: Path, after: int) -> None:
    """At the start or amid the body: a new try may do better."""
    async with longhorn_member(tmp_path, pace=Pace(told=0.01)) as member:
        member.longhorn.manager.pages.append(Cut(after=after))
        place = member.place(order())
        await prepare(place, path)
        with pytest.raises(TargetUnavailable, match="Longhorn at http://"):
            await place.write(chunks(path))
        await assert_again(member, place, path)


async def test_nothing_listens(tmp_path: Path, path: Path) -> None:
    """The error says where it was looked for."""
    settings = {"url": "http://127.0.0.1:9"}
    async with longhorn_member(tmp_path, pace=Pace(told=0.01), settings=settings) as member:
        place = member.place(order())
        await prepare(place, path)
        with pytest.raises(TargetUnavailable, match=r"Longhorn at http://127\.0\.0\.1:9: "):
            await place.write(chunks(path))
        await place.abort()
        member.assert_clean()


@pytest.mark.parametrize(
    ("page", "error", "words"),
    [
        (Page(413), TargetError, "413 .*a proxy before Longhorn takes no body of this size"),
        (Page(413, after=3 * MiB), TargetError, "413 .*a proxy before Longhorn"),
        (Page(502, after=None), TargetUnavailable, "502 Bad Gateway"),
        (Page(504, reaches=True), TargetUnavailable, "504 Gateway Time-out|504 Gateway Timeout"),
        (Page(404), TargetError, r"404 .*is \[longhorn\] url Longhorn's manager"),
    ],
)
async def test_a_proxy_answers_with_a_page(
    tmp_path: Path, path: Path, page: Page, error: type[TargetError], words: str
) -> None:
    """Its status says which hop it was and what to do; what may pass is tried again."""
    async with longhorn_member(tmp_path, pace=Pace(told=0.01)) as member:
        member.longhorn.manager.pages.append(page)
        place = member.place(order())
        await prepare(place, path)
        with pytest.raises(error, match=words) as raised:
            await place.write(chunks(path))
        assert raised.value.retryable == (error is TargetUnavailable)
        await assert_again(member, place, path)


@pytest.mark.parametrize("url", ["longhorn-backend:9500", "http://[bad", "http://", ""])
async def test_address_that_is_none(member: LonghornMember, url: str) -> None:
    """It is refused before any image is made."""
    settings = replace(member.settings, url=url)
    with pytest.raises(CallerError, match=r"\[longhorn\] url"):
        BackingImageShelf(member.cluster, member.shelf._class, settings, lambda head: None)


# --- the source


@pytest.mark.parametrize("change", [-1, -MiB, 1, MiB])
async def test_more_or_fewer_bytes_than_announced(
    member: LonghornMember, path: Path, change: int
) -> None:
    """Longhorn is sent exactly what it was told of: anything else is an error with both values."""
    size = path.stat().st_size
    place = member.place(order())
    await place.prepare(await look(path), "as-is", size - change)
    with pytest.raises(SizeMismatch, match=f"expected {size - change}"):
        await place.write(chunks(path))
    await assert_again(member, place, path)


async def never() -> AsyncIterator[bytes]:
    """A source without a first byte."""
    await asyncio.Event().wait()
    yield b""


async def test_first_byte_is_late(tmp_path: Path, path: Path) -> None:
    """Longhorn waits 60 seconds for an upload to begin; ours does not begin without bytes."""
    pace = Pace(silence=Silence(first=0.05))
    async with longhorn_member(tmp_path, pace=pace) as member:
        place = member.place(order())
        await prepare(place, path)
        with pytest.raises(SourceUnavailable, match="the source sends nothing"):
            await place.write(never())
        assert member.longhorn.manager.requests == []
        await assert_again(member, place, path)


async def test_upload_begins_too_late_for_longhorn(tmp_path: Path, path: Path) -> None:
    """The same by Longhorn's clock: its words come out, and a new try begins in time."""
    async with longhorn_member(tmp_path, clock=HandClock()) as member:
        place = member.place(order())
        await prepare(place, path)
        member.longhorn.clock.advance(61)
        with pytest.raises(TargetUnavailable, match="timeout waiting for the datasource"):
            await place.write(chunks(path))
        await assert_again(member, place, path)


async def test_source_is_silent_for_minutes(tmp_path: Path, path: Path) -> None:
    """Longhorn gives up after 30 seconds of silence; it hears a little every 10."""
    async with longhorn_member(tmp_path, pace=CHATTY, clock=HandClock()) as member:
        place = member.place(order())
        await prepare(place, path)
        halting = Halting(path, 3 * MiB)
        writing = asyncio.create_task(place.write(halting.chunks()))
        source = member.longhorn.source(member.name)
        for _ in range(10):
            heard = source.received
            await until(lambda heard=heard: source.received >= heard + PIECE)
            member.longhorn.clock.advance(10)
        assert source.received < 3 * MiB
        halting.rest.set()
        await writing
        made, format = member.image(await place.finish(), tmp_path)
        assert images.same(made, format, path, "raw")


async def test_source_is_silent_for_good(tmp_path: Path, path: Path) -> None:
    """When nothing is left to be passed on, the error is the source's, not the target's."""
    pace = Pace(silence=Silence(pause=0.001, last=0.01))
    async with longhorn_member(tmp_path, pace=pace) as member:
        place = member.place(order())
        await prepare(place, path)
        with pytest.raises(SourceUnavailable, match="nothing left that was held back"):
            await place.write(Halting(path, HELD).chunks())
        await assert_again(member, place, path)


# --- the cluster's API


TROUBLE = [
    {"status": 500, "times": 2},
    {"status": 429, "retry_after": 0, "times": 2},
    {"status": 503, "times": 2, "skip": 3},
    {"do": "close", "times": 2},
    {"do": "lose", "verb": "create"},
    {"do": "garbage", "times": 1},
    {"status": 409, "verb": "delete", "times": 1},
]


@pytest.mark.parametrize("fault", TROUBLE, ids=str)
async def test_api_server_is_in_trouble(
    member: LonghornMember, path: Path, fault: dict[str, Any]
) -> None:
    """What passes is lived through, with one image made, and few requests."""
    member.fake.faults.append(Fault(**fault))
    finished = await fill(member.place(order()), path)
    assert len(member.images) == 1
    await member.shelf.remove(order(), finished.placed)
    assert len(member.fake.calls) < 40
    member.assert_clean()


@pytest.mark.parametrize("trouble", ["cut_watches", "expire_watches", "end_watches"])
async def test_watches_break_while_it_waits(
    member: LonghornMember, path: Path, trouble: str
) -> None:
    """A restart, 410 Gone, and a watch at its end: nothing is missed, in no phase."""
    member.longhorn.scheduling.clear()
    place = member.place(order())
    preparing = asyncio.create_task(prepare(place, path))
    await member.fake.watched(2)
    getattr(member.fake, trouble)()
    member.longhorn.scheduling.set()
    await preparing
    await member.fake.unwatched()
    member.longhorn.source(member.name).hashing.clear()
    await place.write(chunks(path))
    finishing = asyncio.create_task(place.finish())
    await member.fake.watched()
    getattr(member.fake, trouble)()
    member.longhorn.source(member.name).hashing.set()
    made, format = member.image(await finishing, path.parent)
    assert images.same(made, format, path, "raw")
    assert len(member.fake.calls) < 40


async def test_api_server_stays_away(tmp_path: Path, path: Path) -> None:
    """After its patience the error says so, and may be tried again."""
    async with longhorn_member(tmp_path, patience=0.05) as member:
        fault = member.fake.fail(status=503, times=1000)
        place = member.place(order())
        with pytest.raises(ClusterUnavailable):
            await prepare(place, path)
        fault.times = 0
        await assert_again(member, place, path)


async def test_cancelled_while_it_is_made(member: LonghornMember, path: Path) -> None:
    """A create whose answer was lost is followed to its end: then abort finds what it made."""
    created = member.fake.fail(do="lose", verb="create")
    place = member.place(order())
    preparing = asyncio.create_task(prepare(place, path))
    await created.met.wait()
    preparing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await preparing
    await assert_again(member, place, path)


# --- others, and ourselves before a crash


async def test_two_services_want_one_name(member: LonghornMember, path: Path) -> None:
    """One makes the image, the other is told who has it; its clean-up harms nothing."""
    rival = replace(order(), uid="uid-rival")
    places = [member.place(order()), member.place(rival)]
    done = await asyncio.gather(*(fill(place, path) for place in places), return_exceptions=True)
    (lost,) = [index for index, end in enumerate(done) if isinstance(end, BaseException)]
    assert isinstance(done[lost], TargetBusy)
    assert "of another service" in str(done[lost])
    await places[lost].abort()
    made, format = member.image(done[1 - lost], path.parent)
    assert images.same(made, format, path, "raw")


@pytest.mark.parametrize("upload", [False, True])
async def test_what_an_earlier_try_left_gives_way(
    member: LonghornMember, path: Path, upload: bool
) -> None:
    """A crash whose clean-up failed too is made good by the next try of the same image."""
    place = member.place(order())
    await prepare(place, path)
    if upload:
        await place.write(chunks(path))
    old = member.images[0]["metadata"]["uid"]
    made, format = member.image(await fill(member.place(order()), path), path.parent)
    assert images.same(made, format, path, "raw")
    assert [one["metadata"]["uid"] != old for one in member.images] == [True]


async def test_a_lost_answer_is_no_earlier_try(member: LonghornMember, path: Path) -> None:
    """What is left of an earlier try is not taken for what the lost create has made."""
    await prepare(member.place(order()), path)
    old = member.images[0]["metadata"]["uid"]
    member.fake.fail(do="close", verb="create")
    await fill(member.place(order()), path)
    assert [one["metadata"]["uid"] != old for one in member.images] == [True]


async def test_an_image_on_its_way_out_is_waited_for(member: LonghornMember, path: Path) -> None:
    """A name that is being freed just now is no name that is taken."""
    before = replace(order(), uid="uid-before")
    await fill(member.place(before), path)
    member.longhorn.removing.clear()
    member.fake.delete("backingimages", SPACE, member.name)
    filling = asyncio.create_task(fill(member.place(order()), path))
    await member.fake.watched()
    member.longhorn.removing.set()
    made, format = member.image(await filling, path.parent)
    assert images.same(made, format, path, "raw")
