"""A stream that is never silent: what is held back, and what comes of it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from importer.errors import CorruptImage, SourceUnavailable
from importer.stream.pipe import Chunks, Pipe
from importer.stream.trickle import HELD, PIECE, Silence, trickled
from importer.units import KiB
from tests import images

LOUD = Silence(first=60.0, pause=60.0, last=60.0)
"""Longer than any test."""


async def stream(content: bytes, step: int) -> AsyncIterator[bytes]:
    """Yield *content* in pieces of *step* bytes."""
    for start in range(0, len(content), step):
        yield content[start : start + step]


async def through(chunks: Chunks, allowed: Silence) -> list[bytes]:
    """Return what comes out."""
    async with Pipe(chunks) as path:
        path.through(trickled(allowed))
        return [chunk async for chunk in path.chunks]


@pytest.mark.parametrize("step", [1000, PIECE, 300 * KiB, HELD, 3 * HELD])
@pytest.mark.parametrize("size", [0, 1, HELD, 4 * HELD + 5])
async def test_nothing_is_lost(size: int, step: int) -> None:
    """What comes out is what went in, in order, in no empty piece."""
    content = images.numbers(0, size)
    pieces = await through(stream(content, step), LOUD)
    assert b"".join(pieces) == content
    assert all(pieces)


async def test_silence_is_broken_by_what_was_held() -> None:
    """While nothing comes, a little is passed on each time; the rest follows, whole."""
    content, rest = images.numbers(0, 2 * HELD), asyncio.Event()

    async def halting() -> AsyncIterator[bytes]:
        yield content[:HELD]
        await rest.wait()
        yield content[HELD:]

    seen: list[bytes] = []
    async with Pipe(halting()) as path:
        path.through(trickled(Silence(pause=0.001)))
        async for piece in path.chunks:
            seen.append(piece)
            if len(seen) == 5:
                rest.set()
    assert [len(piece) for piece in seen[:5]] == [PIECE] * 5
    assert b"".join(seen) == content


@pytest.mark.parametrize(("before", "passed"), [(0, 0), (3 * PIECE, 3)])
async def test_silence_for_good_is_the_sources_fault(before: int, passed: int) -> None:
    """When nothing is left to be passed on, the source is named; nothing is made up."""

    async def ending() -> AsyncIterator[bytes]:
        if before:
            yield bytes(before)
        await asyncio.Event().wait()

    seen: list[bytes] = []
    async with Pipe(ending()) as path:
        path.through(trickled(Silence(first=0.01, pause=0.001, last=0.01)))
        with pytest.raises(SourceUnavailable, match=r"after 0\.01 s without a byte"):
            seen.extend([piece async for piece in path.chunks])
    assert len(seen) <= passed


async def test_an_error_of_the_source_comes_out() -> None:
    """It is not dressed up, and comes before what is held back is mistaken for the end."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise CorruptImage("half-way")

    with pytest.raises(CorruptImage, match="half-way"):
        await through(broken(), LOUD)


async def test_closed_early_it_stops_reading() -> None:
    """Whoever leaves half-way leaves no reader behind."""
    closed = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(HELD)
        finally:
            closed.append(True)

    async with Pipe(endless()) as path:
        path.through(trickled(LOUD))
        assert await anext(path.chunks)
    assert closed == [True]
