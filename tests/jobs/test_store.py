"""The store keeps what was acknowledged, and lets nobody move an image twice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.errors import Conflict, NameTaken, NotFound
from importer.jobs.rates import DEFAULTS
from importer.jobs.store import Store
from importer.model import NEXT, Image, Phase, Rates, Spec, Status, UrlSource, now


def an_image(name: str = "disk", phase: Phase = Phase.PENDING, uid: str = "u1") -> Image:
    spec = Spec(source=UrlSource(url="http://example.test/disk"))
    status = Status(phase=phase)
    return Image(name=name, uid=uid, created_at=now(), spec=spec, status=status)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "importer.db")
    await store.open()
    yield store
    await store.close()


async def test_what_was_added_is_there_after_a_restart(tmp_path: Path) -> None:
    """An image and its sealed secret survive the process."""
    for expected in (0, 1):
        store = Store(tmp_path / "db")
        await store.open()
        assert len(await store.all()) == expected
        if not expected:
            await store.add(an_image(), b"sealed")
        await store.close()
    store = Store(tmp_path / "db")
    await store.open()
    record = await store.get("default", "disk")
    assert (record.image.name, record.secret, record.deleting) == ("disk", b"sealed", False)
    await store.close()


async def test_rates_are_kept(tmp_path: Path) -> None:
    """What was learnt of one class survives the process; of another there is nothing."""
    learnt = Rates(receive=1.5e9, write=1e8, zero=2e10, scratch=1e6, hash=1 / 3 * 1e9)
    for rates in (DEFAULTS["cdi"], learnt):
        store = Store(tmp_path / "db")
        await store.open()
        await store.keep_rates("fast", rates)
        await store.close()
    store = Store(tmp_path / "db")
    await store.open()
    assert await store.rates("fast") == learnt
    assert await store.rates("slow") is None
    await store.close()


async def test_a_name_is_taken_once(store: Store) -> None:
    """Two images of one namespace cannot share a name; another namespace may have it."""
    await store.add(an_image())
    with pytest.raises(NameTaken, match="disk"):
        await store.add(an_image(uid="u2"))
    assert len(await store.all()) == 1


async def test_one_of_two_movers_wins(store: Store) -> None:
    """Of two that move the same image from the same phase one gets a Conflict."""
    image = an_image()
    await store.add(image)
    results = await asyncio.gather(
        store.move(image, Phase.INSPECTING, image.status),
        store.move(image, Phase.CANCELLED, image.status),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "Image"]


@pytest.mark.parametrize("frm", list(Phase))
@pytest.mark.parametrize("to", list(Phase))
async def test_only_the_table_of_moves_is_possible(store: Store, frm: Phase, to: Phase) -> None:
    """The store refuses every move that the table does not have, and keeps the phase."""
    image = an_image(phase=frm)
    await store.add(image)
    if to in NEXT[frm]:
        assert (await store.move(image, to, image.status)).phase is to
    else:
        with pytest.raises(Conflict):
            await store.move(image, to, image.status)
    kept = (await store.get("default", "disk")).image.phase
    assert kept is (to if to in NEXT[frm] else frm)


async def test_a_doomed_image_is_known_as_such(store: Store) -> None:
    """A delete that was begun is remembered until the image is gone."""
    image = an_image()
    await store.add(image)
    await store.doom(image)
    assert (await store.get("default", "disk")).deleting
    with pytest.raises(NotFound):  # one of two that delete at once does it
        await store.doom(image)
    await store.remove(image)
    await store.remove(image)
    with pytest.raises(NotFound):
        await store.get("default", "disk")


async def test_a_cancelled_write_happens_or_not_but_never_half(store: Store) -> None:
    """Whoever is cancelled while writing finds a whole row afterwards, and the store works."""
    task = asyncio.create_task(store.add(an_image()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(await store.all()) in (0, 1)
    await store.add(an_image(name="other", uid="u2"))
