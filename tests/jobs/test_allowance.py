"""Shares of clients: rates that hold, and nothing that is remembered of those who left."""

import asyncio

import pytest

from importer.config import Upload
from importer.errors import TooManyUploads, UploadIncomplete
from importer.jobs.allowance import Allowance
from importer.sources.upload import Flow
from importer.units import KiB, MiB
from tests.sources.clock import seconds


async def send(allowance: Allowance, client: str, size: int) -> None:
    """Take *size* bytes as they are allowed."""
    with allowance.share(client, size) as share:
        for at in range(0, size, MiB // 4):
            await share.passed(at, MiB // 4)


def test_the_rate_of_a_client_is_that_of_all_its_uploads() -> None:
    """Four uploads of one client take as long as one of their size; another's are not delayed."""

    async def sending() -> None:
        allowance = Allowance(Upload(client_rate=10 * MiB))
        others = asyncio.get_running_loop().create_task(send(allowance, "b", 100 * MiB))
        await asyncio.gather(*(send(allowance, "a", 25 * MiB) for _ in range(4)), others)
        assert allowance.shares == set()

    assert 9.7 < seconds(sending()) < 10.001


def test_the_rate_of_all_clients() -> None:
    """Whoever sends, and however many."""

    async def sending() -> None:
        allowance = Allowance(Upload(rate=10 * MiB, client_rate=100 * MiB))
        await asyncio.gather(*(send(allowance, client, 25 * MiB) for client in "abcd"))

    assert 9.7 < seconds(sending()) < 10.001


def test_a_share_is_left_once() -> None:
    """An upload that ends in two ways at once gives back what it had, not what another has."""
    allowance = Allowance(Upload(per_client=2))
    first, second = allowance.enter("a", 1), allowance.enter("a", 1)
    first.leave()
    first.leave()
    allowance.enter("a", 1)
    with pytest.raises(TooManyUploads, match="3 uploads of a"):
        allowance.enter("a", 1)
    assert second in allowance.shares


@pytest.mark.parametrize(
    ("pause", "part", "is_refused"),
    [(60.0, 1, True), (119.0, 1, True), (60.0, 70 * KiB, False), (1.0, KiB, False)],
)
def test_a_least_rate(pause: float, part: int, is_refused: bool) -> None:
    """A byte a minute ends after two; a slow line that brings what is asked for goes on for ever.

    What passes between two waits, as a slow target's time, is not the client's.
    """

    async def reading() -> None:
        flow = Flow(120.0, 1024)
        for _ in range(400):
            flow.waits()
            await asyncio.sleep(pause)
            flow.came(part)
            await asyncio.sleep(300)  # the target

    if is_refused:
        with pytest.raises(UploadIncomplete, match="least_rate"):
            seconds(reading())
    else:
        assert seconds(reading()) == pytest.approx(400 * (pause + 300))
