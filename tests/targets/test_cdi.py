"""DataVolumes of CDI: what is made, what the guest sees, and what is told."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests import images
from tests.targets.cdi import CdiMember, cdi_member
from tests.targets.conftest import chunks, look, order


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[CdiMember]:
    """CDI, as it is when all goes well."""
    async with cdi_member(tmp_path) as found:
        yield found


@pytest.mark.parametrize("kind", ["raw", "qcow2", "qcow2-zstd", "vmdk", "vdi", "vhdx"])
async def test_guest_sees_what_was_sent(member: CdiMember, tmp_path: Path, kind: str) -> None:
    """The guest's disk is the source's."""
    path = images.make(kind, tmp_path)
    size = images.virtual_size(path, images.KINDS[kind][0])
    place = member.place(order())
    info = msgspec.structs.replace(await look(path), virtual_size=size)  # a VHDX's lies deep in it
    await place.prepare(info, "as-is", path.stat().st_size)
    await place.write(chunks(path))
    finished = await place.finish()
    made, format = member.image(finished, tmp_path)
    assert images.same(made, format, path, images.KINDS[kind][0])
    assert finished.info.virtual_size == size
    assert finished.placed.name == "default/disk"
