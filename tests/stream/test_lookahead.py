"""importer/stream/lookahead.py."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from importer.stream.lookahead import in_order


async def numbers(count: int) -> AsyncGenerator[int, None]:
    for number in range(count):
        yield number


async def test_results_keep_the_order_of_the_things() -> None:
    """What is done last may come first all the same."""
    done: list[int] = []
    gates = [asyncio.Event() for _ in range(4)]

    async def work(number: int) -> int:
        if number < 3:
            await gates[number + 1].wait()
        gates[number].set()
        done.append(number)
        return number

    assert [each async for each in in_order(numbers(4), work, 4)] == [0, 1, 2, 3]
    assert done == [3, 2, 1, 0]


async def test_no_more_than_allowed_is_under_way() -> None:
    """However many things there are."""
    busy = most = 0

    async def work(number: int) -> int:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1
        return number

    assert [each async for each in in_order(numbers(50), work, 3)] == list(range(50))
    assert 1 < most <= 3


async def test_left_early_nothing_goes_on() -> None:
    """What had begun has ended when the generator is closed."""
    ended: list[int] = []

    async def work(number: int) -> int:
        try:
            if number:
                await asyncio.Event().wait()
        finally:
            ended.append(number)
        return number

    async with aclosing(in_order(numbers(9), work, 3)) as found:
        assert await anext(found) == 0
        await asyncio.sleep(0)
    assert sorted(ended) == [0, 1, 2]


async def test_what_is_done_does_not_wait_for_more_things() -> None:
    """The next thing may be long in coming."""
    asked: list[int] = []

    async def things() -> AsyncGenerator[int, None]:
        for number in range(3):
            asked.append(number)
            yield number

    def work(number: int) -> asyncio.Future[int]:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        done.set_result(number)
        return done

    async with aclosing(in_order(things(), work, 3)) as found:
        assert await anext(found) == 0
        assert asked == [0]
        assert [each async for each in found] == [1, 2]


async def test_an_error_comes_in_its_turn() -> None:
    """What was before it is delivered first."""

    async def work(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    async with aclosing(in_order(numbers(9), work, 4)) as found:
        assert [await anext(found), await anext(found)] == [0, 1]
        with pytest.raises(ValueError, match="two"):
            await anext(found)
