"""DataVolumes of CDI: what is made, what the guest sees, and what is told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from importer.errors import (
    CallerError,
    ImporterError,
    TargetBusy,
    TargetTimeout,
    UnsafeImage,
    UnsupportedImage,
    VirtualSizeUnknown,
)
from importer.formats.encode.zstd_frame import zstd_frame
from importer.formats.read import raw
from importer.model import Format, ImageInfo, Wire
from importer.targets import Order
from importer.targets.cdi.upload import Pace
from importer.units import MiB
from tests import images
from tests.servers.kubernetes import Rule, used
from tests.servers.replay import until
from tests.targets.cdi import CdiMember, cdi_member
from tests.targets.conftest import chunks, fill, look, order, prepare
from tests.targets.longhorn import skip

IMMEDIATE = "cdi.kubevirt.io/storage.bind.immediate.requested"


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[CdiMember]:
    """CDI, as it is when all goes well."""
    async with cdi_member(tmp_path) as found:
        yield found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A raw disk."""
    return images.raw(tmp_path / "disk.raw")


def asking(**options: Any) -> Order:
    """Return an order with ``spec.target``."""
    return replace(order(), options=options)


@pytest.mark.parametrize(
    ("upload", "kind"),
    [
        *(
            ("async", kind)
            for kind in ("raw", "qcow2", "qcow2-zstd", "vmdk", "vmdk-stream", "vhdx")
        ),
        *(("sync", kind) for kind in ("raw", "qcow2")),
    ],
)
async def test_guest_sees_what_was_sent(tmp_path: Path, kind: str, upload: str) -> None:
    """The guest's disk is the source's, whenever the proxy answers."""
    path = images.make(kind, tmp_path)
    size = images.virtual_size(path, images.KINDS[kind][0])
    async with cdi_member(tmp_path, settings={"upload": upload}) as member:
        place = member.place(order())
        info = msgspec.structs.replace(await look(path), virtual_size=size)  # a VHDX's lies deep
        await place.prepare(info, "as-is", path.stat().st_size)
        await place.write(chunks(path))
        finished = await place.finish()
        made, format = member.image(finished, tmp_path)
        assert images.same(made, format, path, images.KINDS[kind][0])
        assert (finished.info.virtual_size, finished.placed.name) == (size, "default/disk")
        posts = [one for one in member.cdi.proxy.requests if one.startswith("POST")]
        path_of = "/v1beta1/upload" if upload == "sync" else "/v1beta1/upload-async"
        assert posts == [f"POST {path_of} 200"]


async def test_a_frame_made_on_the_way(member: CdiMember, path: Path, tmp_path: Path) -> None:
    """A disk whose zeros are only told of: few bytes travel, and the guest sees all."""
    size = path.stat().st_size
    place = member.place(order())
    await place.prepare(ImageInfo(format=Format.QCOW2, virtual_size=size), "raw+zstd")
    written = await place.write(zstd_frame(raw.stream(chunks(path)), size))
    finished = await place.finish()
    made, format = member.image(finished, tmp_path)
    assert images.same(made, format, path, "raw")
    assert written.wire < size // 4


async def test_odd_length_is_padded(member: CdiMember, path: Path, tmp_path: Path) -> None:
    """A raw disk is made of sectors: zeros follow, and the volume holds them."""
    path.write_bytes(path.read_bytes() + b"\x55" * 100)
    place = member.place(order())
    info = ImageInfo(format=Format.RAW, virtual_size=8 * MiB + 512)
    await place.prepare(info, "as-is", path.stat().st_size)
    written = await place.write(chunks(path))
    finished = await place.finish()
    made, _ = member.image(finished, tmp_path)
    assert made.read_bytes() == path.read_bytes() + bytes(412)
    assert (written.size, written.wire) == (8 * MiB + 100, 8 * MiB + 512)
    assert member.volumes[0]["spec"]["storage"]["resources"]["requests"]["storage"] == str(9 * MiB)


async def test_what_is_made(member: CdiMember, path: Path) -> None:
    """Marks that find it, no bind annotation where none is needed, modes left to CDI."""
    finished = await fill(member.place(order()), path)
    (volume,) = member.volumes
    meta, spec = volume["metadata"], volume["spec"]
    assert meta["labels"]["image-importer/uid"] == "uid-disk"
    assert meta["annotations"]["image-importer/image"] == "default/disk"
    assert meta["annotations"]["harvesterhci.io/goldenImage"] == "true"
    assert IMMEDIATE not in meta["annotations"]
    assert set(spec["storage"]) == {"storageClassName", "resources"}
    assert finished.placed.kind == "DataVolume"


async def test_a_class_that_waits_for_a_consumer(tmp_path: Path, path: Path) -> None:
    """Nobody uses an image that is being made: its volume is asked for at once."""
    async with cdi_member(tmp_path, name="lvm") as member:
        finished = await fill(member.place(order()), path)
        assert member.volumes[0]["metadata"]["annotations"][IMMEDIATE] == "true"
        made, format = member.image(finished, tmp_path)
        assert images.same(made, format, path, "raw")


async def test_modes_and_preallocation(tmp_path: Path, path: Path) -> None:
    """As asked for: also of a class that CDI knows nothing of."""
    async with cdi_member(tmp_path, name="unknown") as member:
        asked = asking(accessModes=["ReadWriteOnce"], volumeMode="Filesystem", preallocation=True)
        finished = await fill(member.place(asked), path)
        spec = member.volumes[0]["spec"]
        assert spec["preallocation"] is True
        assert spec["storage"]["accessModes"] == ["ReadWriteOnce"]
        assert spec["storage"]["volumeMode"] == "Filesystem"
        made, format = member.image(finished, tmp_path)
        assert images.same(made, format, path, "raw")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"accessMode": "x"}, r"spec\.target\.accessMode: .*accessModes, volumeMode"),
        ({"accessModes": ["RWO"]}, r"spec\.target\.accessModes.*Invalid enum value 'RWO'"),
        ({"volumeMode": "block"}, r"spec\.target\.volumeMode: Invalid enum"),
        ({"preallocation": "yes"}, r"spec\.target\.preallocation: Expected `bool`"),
    ],
)
def test_wrong_options_are_named(member: CdiMember, options: dict[str, Any], words: str) -> None:
    """Before anything is made, the error says which option is wrong and how."""
    with pytest.raises(CallerError, match=words):
        member.shelf.check(asking(**options))


async def test_few_requests_to_the_cluster(member: CdiMember, path: Path) -> None:
    """An import and its end stay far below 40 requests; the token is seconds old when used."""
    finished = await fill(member.place(order()), path)
    assert len(member.fake.calls) < 20
    await member.shelf.remove(order(), finished.placed)
    assert len(member.fake.calls) < 30
    assert [age for age in member.cdi.proxy.token_ages if age > 30] == []
    member.assert_clean()


EVERY = ("get", "list", "watch")
RULES = [
    Rule(("cdi.kubevirt.io",), ("datavolumes",), ("create", "delete", *EVERY)),
    Rule(("",), ("persistentvolumeclaims",), ("delete", *EVERY)),
    Rule(("",), ("pods",), EVERY),
    Rule(("",), ("events",), ("list",)),
    Rule(("upload.cdi.kubevirt.io",), ("uploadtokenrequests",), ("create",)),
    Rule(("cdi.kubevirt.io",), ("cdiconfigs",), ("get",), ("config",)),
    Rule(("storage.k8s.io",), ("storageclasses",), ("get",)),
    Rule(("",), ("configmaps",), ("get",), ("cdi-uploadproxy-signer-bundle",), "cdi"),
]
"""What docs/cdi.md asks to grant."""


async def test_these_rights_are_enough_and_none_too_many(tmp_path: Path, path: Path) -> None:
    """With them an image is made through all that may happen, and every one of them is used."""
    inside = [replace(rule, namespace="default") for rule in RULES[:5]]
    async with cdi_member(tmp_path, rules=[*inside, *RULES[5:]], pace=Pace(quiet=0.01)) as member:
        member.cdi.binding.clear()
        filling = asyncio.create_task(fill(member.place(order()), path))
        await until(lambda: ("", "persistentvolumeclaims", "watch") in used(member.fake.calls))
        member.cdi.binding.set()
        finished = await filling
        labels = member.volumes[0]["metadata"]["labels"]
        member.fake.delete("datavolumes", "default", "disk")
        await member.fake.until_gone("persistentvolumeclaims", "default", "disk")
        outlived = {"name": "disk", "namespace": "default", "labels": labels}
        member.fake.create("persistentvolumeclaims", {"metadata": outlived, "spec": {}})
        await member.shelf.remove(order(), finished.placed)
        member.cdi.scheduling.clear()
        preparing = asyncio.create_task(prepare(member.place(order()), path))
        needed = {("", "events", "list"), ("", "pods", "watch")}
        await until(lambda: needed <= used(member.fake.calls))
        member.cdi.scheduling.set()
        await preparing
        await member.place(order()).abort()
        calls = member.fake.calls
    read = ("storage.k8s.io", "storageclasses", "get")  # before any image
    assert used(calls) | {read} == {
        (rule.groups[0], rule.resources[0], verb) for rule in RULES for verb in rule.verbs
    }


async def test_people_are_told_what_cdi_does(member: CdiMember, tmp_path: Path) -> None:
    """What is waited for is told: the pod, the convert, the rebind."""
    path = images.make("qcow2", tmp_path)
    member.cdi.scheduling.clear()
    place = member.place(order())
    preparing = asyncio.create_task(prepare(place, path))
    await until(lambda: any("ContainerCreating" in told for told in member.told))
    member.cdi.scheduling.set()
    await preparing
    member.cdi.server("default", "disk").converting.clear()
    member.cdi.binding.clear()
    await place.write(chunks(path))
    finishing = asyncio.create_task(place.finish())
    await until(lambda: any("converts" in told for told in member.told))
    member.cdi.server("default", "disk").converting.set()
    await until(lambda: any("to its claim" in told for told in member.told))
    assert not finishing.done()
    member.cdi.binding.set()
    await finishing


# --- what is refused


@pytest.mark.parametrize("wire", ["as-is", "raw+zstd"])
async def test_a_disk_that_is_a_file_of_its_own_is_refused(
    member: CdiMember, tmp_path: Path, wire: Wire
) -> None:
    """CDI guesses formats: a disk that begins as a qcow2 would be opened as one."""
    inner = images.make("qcow2", tmp_path)
    size = inner.stat().st_size
    place = member.place(order())
    await place.prepare(ImageInfo(format=Format.RAW, virtual_size=size), wire)
    sent = chunks(inner) if wire == "as-is" else zstd_frame(raw.stream(chunks(inner)), size)
    with pytest.raises(UnsafeImage, match="begins as a qcow2"):
        await place.write(sent)
    await place.abort()
    member.assert_clean()


async def test_a_fixed_vhd_is_refused(member: CdiMember, tmp_path: Path) -> None:
    """It looks raw until its last 512 bytes, which the guest must not find on its disk."""
    path = images.make("vpc-fixed", tmp_path)
    size = path.stat().st_size
    place = member.place(order())
    await place.prepare(ImageInfo(format=Format.RAW, virtual_size=size), "as-is", size)
    with pytest.raises(UnsupportedImage, match="fixed VHD"):
        await place.write(chunks(path))
    await place.abort()
    member.assert_clean()


async def test_a_disk_of_unknown_size_is_refused(member: CdiMember) -> None:
    """The volume is made first, and nobody guesses."""
    with pytest.raises(VirtualSizeUnknown, match=r"give spec\.virtualSize"):
        await member.place(order()).prepare(ImageInfo(format=Format.RAW))
    member.assert_clean()


async def test_out_of_order(member: CdiMember, path: Path) -> None:
    """Extents, and bytes before `prepare`, are a defect of ours."""

    async def none() -> Any:
        for never in ():
            yield never

    with pytest.raises(ImporterError, match="in order"):
        await member.place(order()).fill(none())
    with pytest.raises(ImporterError, match="not prepared"):
        await member.place(order()).write(chunks(path))


# --- whose is whose


async def test_volumes_of_others_are_left_alone(member: CdiMember, path: Path) -> None:
    """Neither abort nor remove touches what does not carry the image's own mark."""
    await fill(member.place(order("mine")), path)
    await fill(member.place(order("theirs")), path)
    await member.place(order("other")).abort()
    await member.place(order("mine")).abort()
    assert member.files() == ["theirs"]


async def test_a_claim_that_outlived_its_volume(member: CdiMember, path: Path) -> None:
    """It goes with the image; a copy of it, with copies of its marks, is somebody's disk."""
    finished = await fill(member.place(order()), path)
    labels = member.volumes[0]["metadata"]["labels"]
    member.fake.delete("datavolumes", "default", "disk")
    await member.fake.until_gone("persistentvolumeclaims", "default", "disk")
    for name in ("disk", "restored"):
        claim = {"metadata": {"name": name, "namespace": "default", "labels": labels}, "spec": {}}
        member.fake.create("persistentvolumeclaims", claim)
    await member.shelf.remove(order(), finished.placed)
    left = member.fake.all("persistentvolumeclaims")
    assert [one["metadata"]["name"] for one in left] == ["restored"]


async def test_a_claim_of_somebody_else_has_the_name(member: CdiMember, path: Path) -> None:
    """CDI's webhook refuses; the error says what to do, and the claim stays."""
    claim = {"metadata": {"name": "disk", "namespace": "default"}, "spec": {}}
    member.fake.create("persistentvolumeclaims", claim)
    place = member.place(order())
    with pytest.raises(TargetBusy, match="delete that claim, or choose another name"):
        await prepare(place, path)
    await place.abort()
    assert len(member.fake.all("persistentvolumeclaims")) == 1


async def test_two_services_race_for_a_name(member: CdiMember, path: Path) -> None:
    """One wins and makes its image; the other hears it, and harms nothing."""
    places = [member.place(replace(order(), uid=f"uid-{n}")) for n in range(2)]
    ends = await asyncio.gather(*(fill(one, path) for one in places), return_exceptions=True)
    lost = [end for end in ends if isinstance(end, TargetBusy)]
    (won,) = [end for end in ends if not isinstance(end, BaseException)]
    assert len(lost) == 1
    await places[ends.index(lost[0])].abort()
    made, format = member.image(won, path.parent)
    assert images.same(made, format, path, "raw")


async def test_removing_waits_for_the_claim(member: CdiMember, path: Path) -> None:
    """A claim that a VM uses is not gone yet: what holds it is named, and later it goes."""
    finished = await fill(member.place(order()), path)
    claim = ("persistentvolumeclaims", "default", "disk")
    hold = {"metadata": {"finalizers": ["kubernetes.io/pvc-protection"]}}
    member.fake.apply(*claim, hold)
    removing = asyncio.create_task(member.shelf.remove(order(), finished.placed))
    await member.fake.until_gone("datavolumes", "default", "disk")
    await until(lambda: ("", claim[0], "watch") in used(member.fake.calls[-1:]))
    skip(121)
    with pytest.raises(TargetTimeout, match=r"held by kubernetes\.io/pvc"):
        await removing
    member.fake.apply(*claim, {"metadata": {"finalizers": None}})
    await member.shelf.remove(order(), finished.placed)
    member.assert_clean()
