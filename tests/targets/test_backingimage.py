"""BackingImages of Longhorn v1: what is made, what the guest sees, and what is told."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from importer.errors import CallerError, ImporterError, TargetBusy, UnsafeImage
from importer.formats.encode.qcow2 import qcow2, qcow2_size
from importer.formats.read import raw
from importer.model import Format, ImageInfo
from importer.targets import Order
from importer.targets.backingimage.objects import LONGEST, name_of
from importer.units import MiB
from tests import images
from tests.servers.kubernetes import Rule, used
from tests.servers.replay import until
from tests.targets.conftest import chunks, fill, look, order, prepare
from tests.targets.longhorn import SPACE, LonghornMember, longhorn_member

READ_RIGHT = ["raw", "qcow2", "qcow2-v2", "qcow2-zlib", "qcow2-small"]


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[LonghornMember]:
    """Longhorn, as it is when all goes well."""
    async with longhorn_member(tmp_path) as found:
        yield found


def asking(**options: Any) -> Order:
    """Return an order with ``spec.target``."""
    return replace(order(), options=options)


@pytest.mark.parametrize("kind", READ_RIGHT)
async def test_guest_sees_what_was_sent(member: LonghornMember, tmp_path: Path, kind: str) -> None:
    """The guest's disk is the source's, and Longhorn's file is the file, byte by byte."""
    path = images.make(kind, tmp_path)
    finished = await fill(member.place(order()), path)
    made, format = member.image(finished, tmp_path)
    assert images.same(made, format, path, images.KINDS[kind][0])
    assert made.read_bytes()[: path.stat().st_size] == path.read_bytes()
    assert finished.info.virtual_size == images.virtual_size(path, images.KINDS[kind][0])


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
async def test_odd_length_is_padded(member: LonghornMember, tmp_path: Path, kind: str) -> None:
    """Longhorn takes whole sectors only: zeros follow, and the guest's disk stays what it was."""
    path = images.make(kind, tmp_path)
    if kind == "raw":
        path.write_bytes(path.read_bytes() + b"\x55" * 100)
    else:
        path.write_bytes(path.read_bytes() + bytes(100))
    place = member.place(order())
    await prepare(place, path)
    written = await place.write(chunks(path))
    finished = await place.finish()
    made, _ = member.image(finished, tmp_path)
    size = path.stat().st_size
    assert made.stat().st_size == size + 412
    assert (written.size, finished.info.size) == (size, size)
    assert images.same(made, kind, path, kind)
    assert finished.info.virtual_size == images.virtual_size(path, kind)


async def test_a_qcow2_made_on_the_way(member: LonghornMember, tmp_path: Path) -> None:
    """What our encoder makes of a disk is the same disk at Longhorn, with less on the wire."""
    path = images.raw(tmp_path / "disk.raw")
    runs, size = await raw.runs(path), path.stat().st_size
    info, wire_size = await look(path), qcow2_size(runs, size)
    place = member.place(order())
    await place.prepare(info, "qcow2", wire_size)
    written = await place.write(qcow2(runs, raw.extents(path), size))
    finished = await place.finish()
    made, format = member.image(finished, tmp_path)
    assert format == "qcow2"
    assert images.same(made, "qcow2", path, "raw")
    assert (finished.info.size, finished.info.virtual_size) == (size, size)
    assert wire_size < written.wire < wire_size + 1000 < size / 4


async def test_guest_data_as_a_raw_disk(member: LonghornMember, tmp_path: Path) -> None:
    """A qcow2 whose disk is sent as it is to a guest becomes a raw image."""
    disk, file = images.raw(tmp_path / "disk.raw"), tmp_path / "outer.qcow2"
    images.convert(disk, file, "qcow2")
    place = member.place(order())
    await place.prepare(await look(file), "raw", disk.stat().st_size)
    written = await place.write(chunks(disk))
    finished = await place.finish()
    made, format = member.image(finished, tmp_path)
    assert (format, written.data) == ("raw", MiB + 4096)
    assert images.same(made, "raw", disk, "raw")


async def test_a_disk_that_is_a_file_of_its_own_is_refused(
    member: LonghornMember, tmp_path: Path
) -> None:
    """Longhorn guesses formats: a disk that begins as a qcow2 would be opened as one."""
    inner = images.make("qcow2", tmp_path)
    place = member.place(order())
    size = inner.stat().st_size
    await place.prepare(ImageInfo(format=Format.QCOW2, virtual_size=size), "raw", size)
    with pytest.raises(UnsafeImage, match="qcow2"):
        await place.write(chunks(inner))
    await place.abort()
    member.assert_clean()


async def test_sha512_is_compared_by_longhorn_too(member: LonghornMember, tmp_path: Path) -> None:
    """What is known of exactly the bytes that are sent stands in the BackingImage."""
    path = images.make("qcow2", tmp_path)
    sha512 = hashlib.sha512(path.read_bytes()).hexdigest()
    place = member.shelf.place(order())
    await place.prepare(await look(path), "as-is", path.stat().st_size, sha512)
    assert member.images[0]["spec"]["checksum"] == sha512
    await place.write(chunks(path))
    await place.finish()
    assert member.images[0]["status"]["checksum"] == sha512


async def test_people_are_told_what_is_waited_for(tmp_path: Path) -> None:
    """The scheduler's words while the pod waits, then what Longhorn does with the file."""
    words = "0/3 nodes are available: 3 Insufficient cpu."
    async with longhorn_member(tmp_path, unschedulable=words) as member:
        member.longhorn.scheduling.clear()
        path = images.raw(tmp_path / "disk.raw")
        place = member.place(order())
        preparing = asyncio.create_task(prepare(place, path))
        await until(lambda: any(words in told for told in member.told))
        member.longhorn.scheduling.set()
        await preparing
        member.longhorn.source(member.name).hashing.clear()
        await place.write(chunks(path))
        finishing = asyncio.create_task(place.finish())
        await until(lambda: any("checksum" in told for told in member.told))
        member.longhorn.transferring.clear()
        member.longhorn.source(member.name).hashing.set()
        await until(lambda: any("hands the file" in told for told in member.told))
        member.longhorn.transferring.set()
        await finishing
    assert len(member.told) == len(set(member.told))


async def test_few_requests_to_the_cluster(member: LonghornMember, tmp_path: Path) -> None:
    """An import and its end cost the API server a dozen requests, however long they take."""
    path = images.raw(tmp_path / "disk.raw")
    member.longhorn.scheduling.clear()
    place = member.place(asking(storageClass=True))
    preparing = asyncio.create_task(prepare(place, path))
    await member.fake.watched(2)
    member.longhorn.scheduling.set()
    await preparing
    await place.write(chunks(path))
    finished = await place.finish()
    await place.settle()
    assert len(member.fake.calls) <= 8
    await member.shelf.remove(order(), finished.placed)
    assert len(member.fake.calls) <= 14
    member.assert_clean()


RULES = [
    Rule(("longhorn.io",), ("backingimages",), ("create", "get", "list", "watch", "delete")),
    Rule(("longhorn.io",), ("backingimagedatasources",), ("list", "watch")),
    Rule(("",), ("pods",), ("list", "watch")),
    Rule(("storage.k8s.io",), ("storageclasses",), ("create", "get", "list", "delete")),
]
"""What docs/longhorn.md asks to grant."""


async def test_these_rights_are_enough_and_none_too_many(tmp_path: Path) -> None:
    """With them an image is made through all that may happen, and every one of them is used."""
    path = images.raw(tmp_path / "disk.raw")
    inside = [replace(rule, namespace=SPACE) for rule in RULES[:3]]
    async with longhorn_member(tmp_path, rules=[*inside, RULES[3]]) as member:
        await fill(member.place(asking(storageClass=True)), path)
        member.longhorn.scheduling.clear()
        preparing = asyncio.create_task(prepare(member.place(asking(storageClass=True)), path))
        await member.fake.watched(2)
        member.longhorn.scheduling.set()
        await preparing
        await member.place(order()).abort()
        calls = member.fake.calls
    read = ("storage.k8s.io", "storageclasses", "get")  # before any image
    assert used(calls) | {read} == {
        (rule.groups[0], rule.resources[0], verb) for rule in RULES for verb in rule.verbs
    }


# --- names


@pytest.mark.parametrize(
    ("namespace", "name"),
    [("default", "debian-12"), ("a" * 63, "b" * 63), ("a" * 28, "b"), ("x", "y")],
)
def test_names_are_no_longer_than_longhorn_keeps_them(namespace: str, name: str) -> None:
    """Longhorn changes names of more than 40 characters; ours are never that long."""
    made = name_of(order(name, namespace=namespace))
    assert len(made) <= LONGEST
    assert made == made.lower()
    assert "--" not in made


def test_names_are_of_one_image_alone() -> None:
    """Names that are cut, or joined alike, differ all the same, and one image keeps its own."""
    pairs = [("a-b", "c"), ("a", "b-c"), ("d", "n" * 62 + "1"), ("d", "n" * 62 + "2")]
    names = {name_of(order(name, namespace=space)) for space, name in pairs}
    assert len(names) == len(pairs)
    first = name_of(replace(order("c", namespace="a-b"), uid="another"))
    assert first in names


async def test_a_long_name_is_in_the_annotations(member: LonghornMember, tmp_path: Path) -> None:
    """The whole name is there to be read, and the image is found by its marks."""
    name, path = "n" * 63, images.raw(tmp_path / "disk.raw")
    finished = await fill(member.place(order(name, namespace="team")), path)
    (image,) = member.images
    assert image["metadata"]["annotations"]["image-importer/image"] == f"team/{name}"
    assert finished.placed.name == f"{SPACE}/{image['metadata']['name']}"
    await member.shelf.remove(order(name, namespace="team"), finished.placed)
    member.assert_clean()


# --- options


async def test_copies_and_selectors(member: LonghornMember, tmp_path: Path) -> None:
    """They are as asked for; what is not asked for is as the storage class says."""
    place = member.place(asking(copies=3, nodeSelector=["storage"]))
    finished = await fill(place, images.raw(tmp_path / "disk.raw"))
    spec = member.images[0]["spec"]
    assert (spec["minNumberOfCopies"], spec["nodeSelector"]) == (3, ["storage"])
    assert spec["diskSelector"] == ["ssd", "nvme"]
    assert finished.placed.kind == "BackingImage"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"copys": 2}, r"spec\.target\.copys: .*copies, diskSelector"),
        ({"copies": 0}, r"spec\.target\.copies: .*>= 1"),
        ({"copies": "two"}, r"spec\.target\.copies: Expected `int"),
        ({"diskSelector": "ssd"}, r"spec\.target\.diskSelector: Expected `array"),
        ({"storageClass": "yes"}, r"spec\.target\.storageClass: Expected `bool`"),
    ],
)
async def test_wrong_options_are_named(
    member: LonghornMember, options: dict[str, Any], words: str
) -> None:
    """Before anything is made, the error says which option is wrong and how."""
    with pytest.raises(CallerError, match=words):
        member.shelf.check(asking(**options))


async def test_a_storage_class_is_made_and_goes(member: LonghornMember, tmp_path: Path) -> None:
    """Volumes of it begin as the image; it is removed with it."""
    path = images.raw(tmp_path / "disk.raw")
    place = member.place(asking(storageClass=True))
    finished = await fill(place, path)
    (made,) = [one for one in member.fake.all("storageclasses") if "labels" in one["metadata"]]
    assert made["provisioner"] == "driver.longhorn.io"
    assert made["parameters"]["backingImage"] == member.name
    assert made["parameters"]["numberOfReplicas"] == "2"
    await member.shelf.remove(order(), finished.placed)
    member.assert_clean()


# --- whose is whose


async def test_images_of_others_are_left_alone(member: LonghornMember, tmp_path: Path) -> None:
    """Neither abort nor remove touches what does not carry the image's own mark."""
    path = images.raw(tmp_path / "disk.raw")
    await fill(member.place(order("mine")), path)
    theirs = {"metadata": {"name": "theirs", "namespace": SPACE}, "spec": {"sourceType": "upload"}}
    member.longhorn.create(theirs)
    await member.place(order("other")).abort()
    assert len(member.images) == 2
    await member.place(order("mine")).abort()
    assert member.files() == ["theirs"]


async def test_an_image_of_somebody_else_has_the_name(
    member: LonghornMember, tmp_path: Path
) -> None:
    """It is not ours to remove: the error names it."""
    taken = {"metadata": {"name": name_of(order()), "namespace": SPACE}}
    member.longhorn.create({**taken, "spec": {"sourceType": "upload"}})
    with pytest.raises(TargetBusy, match=r"is there already, made for somebody else; delete it"):
        await prepare(member.place(order()), images.raw(tmp_path / "disk.raw"))
    assert len(member.images) == 1


async def test_an_image_that_is_used_is_not_removed(member: LonghornMember, tmp_path: Path) -> None:
    """While volumes are made of it, all of it stays."""
    place = member.place(asking(storageClass=True))
    finished = await fill(place, images.raw(tmp_path / "disk.raw"))
    labels = {"longhorn.io/backing-image": member.name}
    replica = {"metadata": {"name": "r", "namespace": SPACE, "labels": labels}}
    member.fake.create("replicas", replica)
    with pytest.raises(TargetBusy, match=r"replicas using it.*; delete these volumes first"):
        await member.shelf.remove(order(), finished.placed)
    assert (len(member.images), len(member.fake.all("storageclasses"))) == (1, 2)


async def test_removing_waits_for_the_end(member: LonghornMember, tmp_path: Path) -> None:
    """An image that Longhorn still holds is not gone yet."""
    finished = await fill(member.place(order()), images.raw(tmp_path / "disk.raw"))
    member.longhorn.removing.clear()
    removing = asyncio.create_task(member.shelf.remove(order(), finished.placed))
    await until(lambda: "deletionTimestamp" in member.images[0]["metadata"])
    await member.fake.watched()
    assert not removing.done()
    member.longhorn.removing.set()
    await removing
    member.assert_clean()


async def test_it_must_know_how_much_will_come(member: LonghornMember, tmp_path: Path) -> None:
    """A place that is not told the size makes nothing."""
    info = await look(images.raw(tmp_path / "disk.raw"))
    with pytest.raises(ImporterError, match="how many bytes"):
        await member.place(order()).prepare(info)
    member.assert_clean()


async def test_options_of_an_older_version_do_not_stop_clean_up(member: LonghornMember) -> None:
    """What cannot be understood any more can still be taken away."""
    await member.place(asking(replicas=3)).abort()
    member.assert_clean()
