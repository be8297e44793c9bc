"""BackingImages of Longhorn v1: what a user gets, and what becomes of every fault."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.targets import Finished, Order, Place
from tests import images
from tests.targets.conftest import chunks, look, order
from tests.targets.longhorn import LonghornMember, longhorn_member


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[LonghornMember]:
    """Longhorn, as it is when all goes well."""
    async with longhorn_member(tmp_path) as found:
        yield found


async def send(place: Place, path: Path) -> Finished:
    """Import *path* as it is."""
    await place.prepare(await look(path), "as-is", path.stat().st_size)
    await place.write(chunks(path))
    return await place.finish()


@pytest.mark.parametrize("kind", ["raw", "qcow2", "qcow2-v2", "qcow2-zlib"])
async def test_guest_sees_what_was_sent(member: LonghornMember, tmp_path: Path, kind: str) -> None:
    """The file lies at Longhorn as it was sent, with what the source knew of it."""
    path = images.make(kind, tmp_path)
    finished = await send(member.place(order()), path)
    made, format = member.image(finished, tmp_path)
    assert images.same(made, format, path, images.KINDS[kind][0])
    assert finished.info.size == path.stat().st_size
    assert finished.info.virtual_size == images.virtual_size(path, images.KINDS[kind][0])
