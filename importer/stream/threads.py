"""Threads that are waited for, whatever happens to the one who waits.

A thread cannot be stopped. Were it left alone when its caller is cancelled, it would go on writing
to a file that the clean-up has closed or removed already.
"""

import asyncio
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from importer.stream.unbroken import unbroken

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what *work* returns; when cancelled meanwhile, let it end before saying so."""
    # Not asyncio.to_thread: its task and its copy of the context double the price of a hop.
    call = functools.partial(work, *args, **kwargs)
    return await unbroken(asyncio.get_running_loop().run_in_executor(None, call))
