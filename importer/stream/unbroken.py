"""Work that is waited for, whatever happens to the one who waits.

A request to make something that is given up half-way may be carried out all the same, a moment
after the clean-up has looked and found nothing; a thread goes on writing to a file that is gone.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def unbroken(work: Coroutine[Any, Any, T] | asyncio.Future[T]) -> T:
    """Return what *work* returns; when cancelled meanwhile, let it end before saying so."""
    future = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        if not future.cancelled():
            future.exception()  # looked at, so that asyncio does not report it as lost
        raise
