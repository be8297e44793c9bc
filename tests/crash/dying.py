"""Services in processes of their own, which die where they are told to."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import TypeAlias

import aiohttp

Mortal: TypeAlias = tuple[asyncio.subprocess.Process, aiohttp.ClientSession, str]
"""The process, a client with its token, and its address."""


@contextlib.asynccontextmanager
async def dying(module: str, *words: str) -> AsyncIterator[Mortal]:
    """Run *module* with *words*; it prints its address and token once it listens."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *words),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    base, token = (await process.stdout.readline()).decode().split()
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with aiohttp.ClientSession(headers=headers) as http:
            yield process, http, base
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
