"""Turns are bounded, first come first served in a lane, and lanes take turns."""

import asyncio

import pytest

from importer.jobs.queue import FairQueue


async def test_lanes_take_turns() -> None:
    """A hundred images of one lane do not keep a later one of another lane waiting."""
    queue, order, gate = FairQueue(1), [], asyncio.Event()

    async def run(lane: str, name: str) -> None:
        async with queue.turn(lane):
            order.append(name)
            await gate.wait()

    tasks = [asyncio.create_task(run("urls", f"url-{number}")) for number in range(4)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(run("uploads", "upload")))
    await asyncio.sleep(0)
    assert queue.waiting == 4
    gate.set()
    await asyncio.gather(*tasks)
    assert order == ["url-0", "url-1", "upload", "url-2", "url-3"]


async def test_at_most_as_many_as_workers() -> None:
    """No more than the workers run at once, and all get their turn."""
    queue, running, most = FairQueue(3), 0, 0

    async def run(number: int) -> None:
        nonlocal running, most
        async with queue.turn(number % 4):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(run(number) for number in range(40)))
    assert most == 3
    assert queue.waiting == 0


async def test_who_gives_up_loses_no_turn() -> None:
    """A cancelled waiter frees its place; cancelled at the moment of its turn, it hands it on."""
    queue = FairQueue(1)
    done = []

    async def run(name: str) -> None:
        async with queue.turn("lane"):
            done.append(name)

    async with queue.turn("lane"):
        first, second, third = (asyncio.create_task(run(name)) for name in "abc")
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
    second.cancel()  # its turn came just now
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert done == ["c"]
    async with asyncio.timeout(1), queue.turn("lane"):
        pass


async def test_a_worker_that_is_lent() -> None:
    """Others use it meanwhile; who lent it is the next to get one, and does not wait for a lane."""
    queue, order = FairQueue(1), []

    async def run(name: str) -> None:
        async with queue.turn(name):
            order.append(name)

    async with queue.turn("away") as turn:
        tasks = [asyncio.create_task(run(name)) for name in "ab"]
        await asyncio.sleep(0)
        assert order == []
        turn.lend()
        turn.lend()  # there is only one to lend
        await asyncio.gather(*tasks)
        gate = queue.turn("later")
        async with gate:
            tasks = [asyncio.create_task(run("c")), asyncio.create_task(turn.take_back())]
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(run("d")))
            await asyncio.sleep(0)
        await tasks[1]
        assert (order, queue.waiting) == (["a", "b"], 2)
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c", "d"]


@pytest.mark.parametrize("at_its_turn", [False, True])
async def test_who_lent_a_worker_and_gives_up_loses_none(at_its_turn: bool) -> None:
    """Cancelled while it waits to get it back, or in the moment of getting it."""
    queue = FairQueue(1)

    async def away() -> None:
        async with queue.turn("away") as turn:
            turn.lend()
            await asyncio.sleep(0)
            await turn.take_back()

    waiting = asyncio.create_task(away())
    await asyncio.sleep(0)
    async with queue.turn("other"):
        await asyncio.sleep(0)
        assert queue.waiting == 1
        if not at_its_turn:
            waiting.cancel()
            await asyncio.sleep(0)
    if at_its_turn:
        waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert queue.waiting == 0
    async with asyncio.timeout(1), queue.turn("next"):
        pass
