"""Copies that CDI makes of an image: when they are over, how they were made, what fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from importer.errors import ObjectGone, TargetError, TargetTimeout
from importer.model import Format, ImageInfo, Placed
from importer.stream.pipe import Chunks
from importer.targets import Order
from importer.targets.cloning import Cloned
from tests.targets.cdi import CdiMember, cdi_member
from tests.targets.test_cdi import RULES

MiB = 1 << 20
SIZE = 8 * MiB
IMAGE = Order("1" * 8, "default", "disk", None, {})
COPY = Order("2" * 8, "default", "disk-copy", None, {})


async def half_zeros() -> Chunks:
    for number in range(4):
        yield bytes([number + 1]) * MiB
    for _ in range(4):
        yield bytes(MiB)


@asynccontextmanager
async def imported(root: Path, **fields: Any) -> AsyncIterator[tuple[CdiMember, Placed]]:
    """Run CDI with an image of 8 MiB, 4 of them data."""
    async with cdi_member(root, **fields) as member:
        place = member.place(IMAGE)
        info = ImageInfo(format=Format.RAW, virtual_size=SIZE, size=SIZE)
        await place.prepare(info, "as-is", SIZE)
        await place.write(half_zeros())
        finished = await place.finish()
        await place.settle()
        yield member, finished.placed


async def clone(member: CdiMember, placed: Placed) -> Cloned:
    return await member.shelf.clone(placed, COPY, SIZE, member.hear)


async def test_the_copy_is_the_image(tmp_path: Path) -> None:
    """Byte for byte, in a volume of its own, marked as ours; removing it leaves the image."""
    async with imported(tmp_path) as (member, placed):
        cloned = await clone(member, placed)
        volume = member.cdi.volume("default", "disk-copy").read_bytes()
        assert volume == member.cdi.volume("default", "disk").read_bytes()
        assert (cloned.strategy, cloned.basis) == ("csi-clone", "inferred")
        assert cloned.bytes == 4 * MiB, "Longhorn copies what its source takes"
        await member.shelf.unclone(COPY)
        assert member.files() == ["disk"]
        await member.shelf.unclone(COPY)


async def test_it_is_over_when_longhorn_has_copied(tmp_path: Path) -> None:
    """CDI says Succeeded before: a volume that could not be attached yet is no copy."""
    async with imported(tmp_path) as (member, placed):
        member.cdi.deep_copying.clear()
        work = asyncio.create_task(clone(member, placed))
        while "Longhorn copies" not in member.told:
            await asyncio.sleep(0.01)
        found = member.fake.get("datavolumes", "default", "disk-copy")
        assert found["status"]["phase"] == "Succeeded"
        assert not work.done()
        member.cdi.deep_copying.set()
        assert (await work).strategy == "csi-clone"


@pytest.mark.parametrize(
    ("kind", "strategy"),
    [("copy", "host-assisted"), ("snapshot", "snapshot"), ("csi-clone", "csi-clone")],
)
async def test_strategies(tmp_path: Path, kind: str, strategy: str) -> None:
    """The claim says how; why it is not another way is told too."""
    why = "No VolumeSnapshotClass"
    fields = {"clone_type": kind, "clone_fallback": why}
    async with imported(tmp_path, name="lvm", **fields) as (member, placed):
        cloned = await clone(member, placed)
        assert (cloned.strategy, cloned.why, cloned.bytes) == (strategy, why, SIZE)


async def test_who_may_not_look_at_longhorn_says_so(tmp_path: Path) -> None:
    """The copy is there all the same; its seconds end with CDI's, and its bytes are the disk's."""
    async with imported(tmp_path, rules=RULES) as (member, placed):
        cloned = await clone(member, placed)
        assert "is not seen" in cloned.why
        assert cloned.bytes == SIZE


async def test_what_goes_wrong_is_told(tmp_path: Path) -> None:
    """A copy that fails says why in CDI's words, and is removed like any other."""
    fields = {"clone_error": "clone source shrank", "clone_fails": True}
    async with imported(tmp_path, **fields) as (member, placed):
        with pytest.raises(TargetError, match="disk-copy has failed: clone source shrank"):
            await clone(member, placed)
        await member.shelf.unclone(COPY)
        assert member.files() == ["disk"]


async def test_one_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    """After the time for CDI's own work, with the last that was said of it."""
    fields = {"clone_error": "no node for the source pod", "settings": {"finish": 0.3}}
    async with imported(tmp_path, **fields) as (member, placed):
        member.cdi.cloning.clear()
        with pytest.raises(TargetTimeout, match="no node for the source pod"):
            await clone(member, placed)


async def test_an_image_whose_claim_is_gone(tmp_path: Path) -> None:
    """There is nothing to copy, and it is said of what."""
    async with imported(tmp_path) as (member, placed):
        await member.shelf.remove(IMAGE, placed)
        with pytest.raises(ObjectGone, match="PersistentVolumeClaim default/disk"):
            await clone(member, placed)
