"""Requests that are waited for, whatever happens to the one who waits."""

import asyncio

import pytest

from importer.errors import TargetBusy
from importer.stream.unbroken import unbroken


async def test_what_it_returns() -> None:
    """Nothing is different while nobody cancels."""

    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await unbroken(work()) == 7


@pytest.mark.parametrize("error", [None, TargetBusy("taken")])
async def test_cancelled_it_ends_first(error: Exception | None) -> None:
    """Cancelled twice, the one who waits goes on only when the work is over, however it ends."""
    go, done = asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        done.append(True)
        if error:
            raise error

    waiting = asyncio.ensure_future(unbroken(work()))
    for _ in range(2):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done == [True]


async def test_its_error_comes_out() -> None:
    """What the work raises is raised as it is."""

    async def work() -> None:
        raise TargetBusy("taken")

    with pytest.raises(TargetBusy, match="taken"):
        await unbroken(work())
