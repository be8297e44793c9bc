"""What goes wrong with CDI: each fault has its name, and nothing half-made stays."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from importer.errors import (
    CallerError,
    ClusterUnavailable,
    CorruptImage,
    NoSpace,
    NotInstalled,
    ObjectGone,
    SizeMismatch,
    SourceUnavailable,
    TargetError,
    TargetTimeout,
    TargetUnavailable,
)
from importer.model import Format, ImageInfo
from importer.targets import Place
from importer.targets.cdi import proxy
from importer.targets.cdi.shelf import CdiShelf
from importer.targets.cdi.upload import Pace
from importer.units import MiB
from tests import images
from tests.servers.certificates import Authority
from tests.servers.page import Page
from tests.servers.replay import until
from tests.targets.cdi import CdiMember, cdi_member
from tests.targets.conftest import chunks, fill, look, order, prepare
from tests.targets.longhorn import skip

WHERE = ("default", "disk")


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[CdiMember]:
    """CDI, until something goes wrong."""
    async with cdi_member(tmp_path) as found:
        yield found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A raw disk."""
    return images.raw(tmp_path / "disk.raw")


@pytest.fixture
def qcow2(tmp_path: Path) -> Path:
    """A disk that CDI converts."""
    return images.make("qcow2", tmp_path)


async def assert_again(member: CdiMember, place: Place, path: Path) -> None:
    """See that nothing is left of the try at *place*, and that a new one makes the image."""
    await place.abort()
    member.assert_clean()
    made, format = member.image(await fill(member.place(order()), path), path.parent)
    assert images.same(made, format, path, "qcow2" if path.suffix == ".qcow2" else "raw")


class Halting:
    """The bytes of a file, of which some come only when they are let."""

    def __init__(self, path: Path, after: int) -> None:
        self.content = path.read_bytes()
        self.after = after
        self.rest = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        for at in range(0, self.after, MiB):
            yield self.content[at : at + MiB]
        await self.rest.wait()
        yield self.content[self.after :]


async def halted(member: CdiMember, place: Place, path: Path) -> "asyncio.Task[Any]":
    """Prepare, send the first 4 MiB, and stay there."""
    await prepare(place, path)
    source = Halting(path, 4 * MiB)
    task = asyncio.create_task(place.write(source.chunks()))
    await until(lambda: member.cdi.server(*WHERE).received > MiB)
    return task


async def sent(place: Place, path: Path) -> None:
    """Prepare and send."""
    await prepare(place, path)
    await place.write(chunks(path))


# --- the pod


async def test_pod_is_killed_amid_the_upload(tmp_path: Path, path: Path) -> None:
    """What it had got is lost: a new try may do better, and does."""
    async with cdi_member(tmp_path, tries=[{"kill_after": 3 * MiB}]) as member:
        place = member.place(order())
        with pytest.raises(TargetUnavailable, match="upload into default/disk"):
            await sent(place, path)
        await assert_again(member, place, path)


async def test_pod_is_killed_before_the_upload(member: CdiMember, path: Path) -> None:
    """CDI makes another, and not a byte of the source was spent on the first."""
    place = member.place(order())
    await prepare(place, path)
    await member.cdi.kill_pod(*WHERE)
    written = await place.write(chunks(path))
    finished = await place.finish()
    made, format = member.image(finished, path.parent)
    assert images.same(made, format, path, "raw")
    assert written.size == path.stat().st_size


@pytest.mark.parametrize("how", ["killed", "failed"])
async def test_pod_is_lost_while_it_converts(member: CdiMember, qcow2: Path, how: str) -> None:
    """The bytes are gone, whatever the next pod says: never Ready."""
    place = member.place(order())
    await prepare(place, qcow2)
    member.cdi.server(*WHERE).converting.clear()
    await place.write(chunks(qcow2))
    finishing = asyncio.create_task(place.finish())
    await until(lambda: any("converts" in told for told in member.told))
    lose = member.cdi.kill_pod if how == "killed" else member.cdi.fail_pod
    await lose(*WHERE)
    with pytest.raises(TargetError, match=r"lost with what it had got|the node went"):
        await finishing
    await assert_again(member, place, qcow2)


async def test_convert_fails_after_the_200(tmp_path: Path, qcow2: Path) -> None:
    """The 200 of upload-async is no promise: the pod's last words are the error's."""
    words = "qemu-img: error while reading at byte 0: Invalid argument"
    tries: list[dict[str, Any]] = [{"convert_error": words}]
    async with cdi_member(tmp_path, tries=tries) as member:
        place = member.place(order())
        await sent(place, qcow2)
        with pytest.raises(CorruptImage, match="error while reading at byte 0"):
            await place.finish()
        await assert_again(member, place, qcow2)


async def test_convert_fails_before_finish_looks(tmp_path: Path, qcow2: Path) -> None:
    """A container that was started again by then says UploadReady: its count of restarts tells."""
    tries: list[dict[str, Any]] = [{"convert_error": "qemu-img: no"}]
    async with cdi_member(tmp_path, tries=tries) as member:
        place = member.place(order())
        await sent(place, qcow2)
        await member.fake.until(
            "datavolumes",
            *WHERE,
            lambda one: (
                one["status"].get("restartCount") and one["status"]["phase"] == "UploadReady"
            ),
        )
        with pytest.raises(CorruptImage, match="qemu-img: no"):
            await place.finish()
        await assert_again(member, place, qcow2)


async def test_convert_fails_in_the_answer(tmp_path: Path, qcow2: Path) -> None:
    """The synchronous path says it at once."""
    tries: list[dict[str, Any]] = [{"convert_error": "qemu-img: no"}]
    async with cdi_member(tmp_path, tries=tries, settings={"upload": "sync"}) as member:
        place = member.place(order())
        with pytest.raises(CorruptImage, match=r"does not read the image: .*qemu-img: no"):
            await sent(place, qcow2)
        await assert_again(member, place, qcow2)


# --- what CDI says


async def test_the_volume_is_too_small(member: CdiMember, qcow2: Path) -> None:
    """An image that is larger than it said: both numbers, not CDI's advice."""
    place = member.place(order())
    info = msgspec.structs.replace(await look(qcow2), virtual_size=MiB)
    await place.prepare(info, "as-is", qcow2.stat().st_size)
    with pytest.raises(NoSpace, match=rf"the disk has {8 * MiB} bytes, the volume has room for \d"):
        await place.write(chunks(qcow2))
    await assert_again(member, place, qcow2)


async def test_what_is_called_too_large_and_is_not(member: CdiMember, tmp_path: Path) -> None:
    """CDI calls every complaint of qemu-img's one of size: the tail is the reason."""
    bad = tmp_path / "bad.qcow2"
    bad.write_bytes(b"QFI\xfb\0\0\0\x09" + bytes(1016))
    place = member.place(order())
    await place.prepare(ImageInfo(format=Format.QCOW2, virtual_size=MiB), "as-is", 1024)
    with pytest.raises(CorruptImage, match="does not read the image") as caught:
        await place.write(chunks(bad))
    assert "larger than" not in str(caught.value)
    await place.abort()
    member.assert_clean()


async def test_no_space_amid_the_upload(tmp_path: Path, path: Path) -> None:
    """The volume's file system is full."""
    async with cdi_member(tmp_path, tries=[{"no_space_after": 2 * MiB}]) as member:
        place = member.place(order())
        with pytest.raises(NoSpace, match="no space left on device"):
            await sent(place, path)
        await assert_again(member, place, path)


async def test_token_has_expired(member: CdiMember, path: Path) -> None:
    """Another is asked for, once, and the source is not touched for it."""
    member.cdi.proxy.unauthorized = 1
    finished = await fill(member.place(order()), path)
    made, format = member.image(finished, path.parent)
    assert images.same(made, format, path, "raw")
    assert [one[-3:] for one in member.cdi.proxy.requests] == ["401", "200"]


@pytest.mark.parametrize("skew", [-300.0, 330.0])
async def test_clocks_differ_by_minutes(member: CdiMember, path: Path, skew: float) -> None:
    """No token will do: the error says what is wrong in the cluster."""
    member.cdi.proxy.skew = skew
    place = member.place(order())
    with pytest.raises(TargetError, match="are the clocks of CDI's apiserver and uploadproxy"):
        await sent(place, path)
    assert len(member.cdi.proxy.requests) == 2
    member.cdi.proxy.skew = 0.0
    await assert_again(member, place, path)


async def test_our_own_clock_does_not_matter(member: CdiMember, path: Path) -> None:
    """The cluster's clocks agree and are five minutes ahead of ours."""
    member.fake.store.skew, member.cdi.proxy.skew = timedelta(seconds=300), 300.0
    finished = await fill(member.place(order()), path)
    made, format = member.image(finished, path.parent)
    assert images.same(made, format, path, "raw")
    assert [age for age in member.cdi.proxy.token_ages if age > 30] == []


async def test_proxy_is_busy(member: CdiMember, path: Path) -> None:
    """Another upload is running: it is waited for, and people are told."""
    place = member.place(order())
    await prepare(place, path)
    server = member.cdi.server(*WHERE)
    server.uploading = True
    writing = asyncio.create_task(place.write(chunks(path)))
    await until(lambda: any("503" in told for told in member.told))
    server.uploading = False
    assert (await writing).size == path.stat().st_size
    await place.finish()


async def test_proxy_stays_busy(tmp_path: Path, path: Path) -> None:
    """Not for ever."""
    async with cdi_member(tmp_path, pace=Pace(busy=0.2)) as member:
        place = member.place(order())
        await prepare(place, path)
        member.cdi.server(*WHERE).uploading = True
        with pytest.raises(TargetUnavailable, match="answers 503"):
            await place.write(chunks(path))
        await assert_again(member, place, path)


async def test_volume_was_filled_by_somebody_else(member: CdiMember, path: Path) -> None:
    """Whose bytes these are nobody knows: not ours."""
    place = member.place(order())
    await prepare(place, path)
    member.cdi.server(*WHERE).done = True
    with pytest.raises(TargetError, match=r"answers 409 .*filled already, by somebody else"):
        await place.write(chunks(path))
    await assert_again(member, place, path)


@pytest.mark.parametrize("after", [0, 3 * MiB, None])
@pytest.mark.parametrize("status", [413, 502, 503, 504])
async def test_an_ingress_answers(
    member: CdiMember, path: Path, status: int, after: int | None
) -> None:
    """A page is no word of CDI's: the error says so, and what can be done."""
    member.cdi.proxy.pages.append(Page(status, after))
    place = member.place(order())
    kind = TargetError if status == 413 else TargetUnavailable
    with pytest.raises(kind, match=f"something in front of it answered {status}") as caught:
        await sent(place, path)
    assert type(caught.value) is kind
    await assert_again(member, place, path)


@dataclass
class Buffering(Page):
    """A proxy that takes the whole body before it asks CDI, which finds the token too old."""

    status: int = 401
    after: int | None = None

    async def answer(
        self,
        request: web.Request,
        behind: Callable[[web.Request], Awaitable[web.Response]],
    ) -> web.Response:
        await self._read(request)
        return web.Response(status=401)


async def test_a_proxy_that_buffers(member: CdiMember, path: Path) -> None:
    """A new token would grow as old: the error says what to turn off."""
    member.cdi.proxy.pages.append(Buffering())
    place = member.place(order())
    with pytest.raises(TargetError, match="kept the body until the token was too old"):
        await sent(place, path)
    await assert_again(member, place, path)


# --- the source


@pytest.mark.parametrize("change", [-MiB, MiB])
async def test_another_length_than_announced(member: CdiMember, path: Path, change: int) -> None:
    """CDI compares with nothing: we do, and it never gets the end of a short body."""
    place = member.place(order())
    size = path.stat().st_size
    await place.prepare(await look(path), "as-is", size - change)
    with pytest.raises(SizeMismatch):
        await place.write(chunks(path))
    await assert_again(member, place, path)


async def test_nothing_comes(member: CdiMember) -> None:
    """An image without a byte, of unknown length, is none."""

    async def nothing() -> AsyncIterator[bytes]:
        for never in ():
            yield never

    place = member.place(order())
    await place.prepare(ImageInfo(format=Format.QCOW2, virtual_size=MiB))
    with pytest.raises(CorruptImage, match="not a byte came"):
        await place.write(nothing())
    await place.abort()
    member.assert_clean()


async def test_source_breaks(member: CdiMember, path: Path) -> None:
    """Its error comes out as it is."""

    async def breaking() -> AsyncIterator[bytes]:
        yield path.read_bytes()[: 3 * MiB]
        raise SourceUnavailable("gone")

    place = member.place(order())
    await prepare(place, path)
    with pytest.raises(SourceUnavailable, match="gone"):
        await place.write(breaking())
    await assert_again(member, place, path)


# --- it does not get ready

STUCK: list[tuple[dict[str, Any], str]] = [
    ({"unprovisionable": {"lh2": "no disk has room"}}, "no disk has room"),
    ({"exceeded_quota": "exceeded quota: small, requested: 8Mi"}, "exceeded quota: small"),
    ({"unschedulable": "0/3 nodes are available: 3 Insufficient cpu."}, "Insufficient cpu"),
    ({"no_scratch": "scratch class makes nothing"}, "scratch class makes nothing"),
    ({"pod_waits": ("ImagePullBackOff", "Back-off pulling image")}, "ImagePull"),
]


@pytest.mark.parametrize(("fields", "words"), STUCK, ids=[next(iter(one)) for one, _ in STUCK])
async def test_stuck(
    tmp_path: Path,
    path: Path,
    fields: dict[str, Any],
    words: str,
) -> None:
    """The cluster's own reason is told while it is waited for, and is the error's at the end."""
    async with cdi_member(tmp_path, pace=Pace(quiet=0.05), **fields) as member:
        place = member.place(order())
        preparing = asyncio.create_task(prepare(place, path))
        await until(lambda: any(words in told for told in member.told))
        skip(301)
        with pytest.raises(TargetTimeout, match=rf"takes no bytes after 300 s: .*{words}"):
            await preparing
        assert len(member.fake.calls) < 40
        member.cdi.scheduling.set()
        await place.abort()
        member.assert_clean()


async def test_no_claim_can_be_made(tmp_path: Path, path: Path) -> None:
    """A class that CDI knows nothing of: nothing will change by waiting, so nobody waits."""
    async with cdi_member(tmp_path, name="unknown") as member:
        place = member.place(order())
        with pytest.raises(TargetError, match=r"no accessMode.*give spec\.target\.accessModes"):
            await prepare(place, path)
        await place.abort()
        member.assert_clean()


async def test_cdi_is_not_installed(member: CdiMember, path: Path) -> None:
    """The error says what is missing; there is nothing to clean up."""
    member.fake.uninstall("cdi.kubevirt.io")
    place = member.place(order())
    with pytest.raises(NotInstalled, match="is CDI installed"):
        await prepare(place, path)
    await place.abort()


# --- somebody deletes it


async def test_deleted_while_it_is_prepared(member: CdiMember, path: Path) -> None:
    """It is not waited for to the end of its time."""
    member.cdi.scheduling.clear()
    place = member.place(order())
    preparing = asyncio.create_task(prepare(place, path))
    await member.fake.watched(2)
    member.fake.delete("datavolumes", *WHERE)
    with pytest.raises(ObjectGone, match="somebody deleted"):
        await preparing
    await place.abort()
    member.assert_clean()


async def test_deleted_amid_the_upload(member: CdiMember, path: Path) -> None:
    """The connection breaks, and the reason is told."""
    place = member.place(order())
    writing = await halted(member, place, path)
    member.fake.delete("datavolumes", *WHERE)
    with pytest.raises(ObjectGone, match="somebody deleted"):
        await writing
    await place.abort()
    member.assert_clean()


async def test_deleted_while_cdi_works(member: CdiMember, qcow2: Path) -> None:
    """It will never be there."""
    place = member.place(order())
    await prepare(place, qcow2)
    member.cdi.server(*WHERE).converting.clear()
    await place.write(chunks(qcow2))
    finishing = asyncio.create_task(place.finish())
    await until(lambda: any("converts" in told for told in member.told))
    member.fake.delete("datavolumes", *WHERE)
    with pytest.raises(ObjectGone, match="somebody deleted"):
        await finishing
    await place.abort()
    member.assert_clean()


async def test_another_volume_takes_its_place(member: CdiMember, path: Path) -> None:
    """Deleted and made anew by another service under the same name, it is not ours."""
    place = member.place(order())
    await prepare(place, path)
    member.fake.delete("datavolumes", *WHERE)
    await member.fake.until_gone("datavolumes", *WHERE)
    late = member.place(replace(order(), uid="uid-late"))
    await prepare(late, path)
    with pytest.raises(ObjectGone, match="somebody deleted it"):
        await place.write(chunks(path))
    assert member.cdi.server(*WHERE).uploads == 0
    await place.abort()
    assert member.files() == ["disk"]


async def test_claim_loses_its_volume(member: CdiMember, qcow2: Path) -> None:
    """The one way to the phase Failed."""
    place = member.place(order())
    await prepare(place, qcow2)
    member.cdi.server(*WHERE).converting.clear()
    await place.write(chunks(qcow2))
    finishing = asyncio.create_task(place.finish())
    await until(lambda: any("converts" in told for told in member.told))
    member.cdi.lose_claim(*WHERE)
    with pytest.raises(TargetError, match=r"has failed|Claim Lost"):
        await finishing
    await place.abort()
    member.assert_clean()


async def test_convert_takes_for_ever(member: CdiMember, qcow2: Path) -> None:
    """CDI's own work has its limit, which grows with the disk."""
    place = member.place(order())
    await prepare(place, qcow2)
    member.cdi.server(*WHERE).converting.clear()
    await place.write(chunks(qcow2))
    finishing = asyncio.create_task(place.finish())
    await until(lambda: any("converts" in told for told in member.told))
    skip(601)
    with pytest.raises(TargetTimeout, match=r"not done 600\.4 s after its last byte"):
        await finishing
    await place.abort()
    member.assert_clean()


# --- the API server

TROUBLE: list[dict[str, Any]] = [
    {"status": 500, "times": 2},
    {"status": 409, "verb": "create", "resource": "datavolumes", "message": "quota"},
    {"status": 429, "retry_after": 0},
    {"do": "close", "times": 2},
    {"do": "lose", "verb": "create", "resource": "datavolumes"},
    {"do": "garbage", "resource": "uploadtokenrequests"},
]


@pytest.mark.parametrize("fault", TROUBLE, ids=lambda one: "-".join(map(str, one.values())))
async def test_api_server_has_trouble(member: CdiMember, path: Path, fault: dict[str, Any]) -> None:
    """It passes, and the image is made."""
    struck = member.fake.fail(**fault)
    finished = await fill(member.place(order()), path)
    assert struck.met.is_set()
    made, format = member.image(finished, path.parent)
    assert images.same(made, format, path, "raw")


@pytest.mark.parametrize("fault", [{"status": 410}, {"do": "end"}, {"do": "close"}])
async def test_watches_have_trouble(member: CdiMember, path: Path, fault: dict[str, Any]) -> None:
    """They are taken up again, and the image is made."""
    member.cdi.scheduling.clear()
    struck = member.fake.fail(verb="watch", resource="datavolumes", **fault)
    filling = asyncio.create_task(fill(member.place(order()), path))
    await struck.met.wait()
    member.cdi.scheduling.set()
    made, format = member.image(await filling, path.parent)
    assert images.same(made, format, path, "raw")


async def test_api_server_restarts_while_cdi_works(member: CdiMember, qcow2: Path) -> None:
    """Watches break, and the history is forgotten: the end is seen all the same."""
    place = member.place(order())
    await prepare(place, qcow2)
    server = member.cdi.server(*WHERE)
    server.converting.clear()
    await place.write(chunks(qcow2))
    finishing = asyncio.create_task(place.finish())
    await until(lambda: any("converts" in told for told in member.told))
    await member.fake.watched()
    member.fake.expire_watches()
    member.fake.cut_watches()
    server.converting.set()
    finished = await finishing
    made, format = member.image(finished, qcow2.parent)
    assert images.same(made, format, qcow2, "qcow2")


async def test_api_server_is_away(tmp_path: Path, path: Path) -> None:
    """For longer than its patience: the error is one that may pass."""
    async with cdi_member(tmp_path, patience=0.2) as member:
        member.fake.fail(status=503, times=1000)
        with pytest.raises(ClusterUnavailable):
            await prepare(member.place(order()), path)


# --- TLS and settings


async def test_ca_of_somebody_else(tmp_path: Path, path: Path) -> None:
    """What shows another certificate than `ca` signs gets nothing."""
    other = Authority(tmp_path / "other")
    async with cdi_member(tmp_path, settings={"ca": str(other.file)}) as member:
        place = member.place(order())
        with pytest.raises(TargetError, match="certificate verify failed") as caught:
            await sent(place, path)
        assert not caught.value.retryable
        await place.abort()
        member.assert_clean()


async def test_ca_from_a_file(tmp_path: Path, path: Path) -> None:
    """The one of `ca` is enough: CDI's own ConfigMap is not asked for."""
    async with cdi_member(tmp_path, settings={"ca": str(tmp_path / "ca" / "ca.crt")}) as member:
        await fill(member.place(order()), path)
        assert [one for one in member.fake.calls if one.resource == "configmaps"] == []


@pytest.mark.parametrize("pem", ["", "-----BEGIN CERTIFICATE-----\nAA==\n"])
async def test_no_ca_of_cdi(member: CdiMember, path: Path, pem: str) -> None:
    """Without it only the system's hold, which know nothing of this proxy."""
    bundle = {"data": {"ca-bundle.crt": pem}}
    member.fake.apply("configmaps", "cdi", "cdi-uploadproxy-signer-bundle", bundle)
    place = member.place(order())
    with pytest.raises(TargetError, match="certificate"):
        await sent(place, path)
    await place.abort()
    member.assert_clean()


async def test_rights_that_are_not_needed(tmp_path: Path, path: Path) -> None:
    """With the proxy and its CA in the settings, nothing of CDI's is read."""
    async with cdi_member(tmp_path) as member:
        for name in ("cdiconfigs", "configmaps"):
            words = f'User "importer" cannot get resource "{name}"'
            member.fake.fail(status=403, resource=name, message=words, times=9)
        ca = str(tmp_path / "ca" / "ca.crt")
        settings = replace(member.settings, url=member.cdi.url, ca=ca)
        place = CdiShelf(member.cluster, member.shelf._class, settings).place(order())
        await fill(place, path)
        found = await proxy.find(member.cluster, member.settings)
        assert str(found.url) == "https://cdi-uploadproxy.cdi.svc"


async def test_insecure_is_loud(tmp_path: Path, path: Path) -> None:
    """It works, and every import says so."""
    settings = {"insecure": True}
    async with cdi_member(tmp_path, settings=settings) as member:
        member.fake.delete("configmaps", "cdi", "cdi-uploadproxy-signer-bundle")
        await fill(member.place(order()), path)
        assert any("TLS is not verified" in told for told in member.told)


async def test_without_any_url_it_is_the_service(member: CdiMember) -> None:
    """CDI says nothing where no ingress leads in: its service is in its namespace."""
    member.fake.apply("cdiconfigs", "", "config", {"status": {"uploadProxyURL": None}})
    settings = replace(member.settings, namespace="harvester-system")
    found = await proxy.find(member.cluster, settings)
    assert str(found.url) == "https://cdi-uploadproxy.harvester-system.svc"


async def test_url_from_settings_comes_first(member: CdiMember, path: Path) -> None:
    """CDI's own word is not asked for where a setting gives one."""
    url = member.cdi.url
    member.fake.apply("cdiconfigs", "", "config", {"status": {"uploadProxyURL": "nowhere.example"}})
    settings = replace(member.settings, url=url)
    place = CdiShelf(member.cluster, member.shelf._class, settings).place(order())
    await fill(place, path)


@pytest.mark.parametrize("settings", [{"url": "http://proxy"}, {"upload": "later"}])
async def test_settings_that_cannot_be(member: CdiMember, settings: dict[str, str]) -> None:
    """They are refused by name when the class is offered."""
    wrong = replace(member.settings, **settings)
    with pytest.raises(CallerError, match=rf"\[cdi\] {next(iter(settings))}: "):
        CdiShelf(member.cluster, member.shelf._class, wrong)
