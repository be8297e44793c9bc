"""Work on several things at once, its results in the order of the things."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def in_order(
    things: AsyncIterator[T], work: Callable[[T], Awaitable[R]], most: int
) -> AsyncGenerator[R, None]:
    """Yield ``await work(thing)`` for all of *things*, *most* of them under way at a time.

    What is done already is yielded before another thing is asked for, which may be long in coming.
    Left early, it lets what has begun come to its end before it returns.
    """
    waiting: deque[asyncio.Future[R]] = deque()
    try:
        async for thing in things:
            waiting.append(asyncio.ensure_future(work(thing)))
            if len(waiting) >= most or waiting[0].done():
                yield await waiting.popleft()
        while waiting:
            yield await waiting.popleft()
    finally:
        for future in waiting:
            future.cancel()
        for future in waiting:
            with suppress(asyncio.CancelledError, Exception):
                await future
