"""What passes a meter is counted as it passes, and so is the waiting for either side."""

import asyncio
import time
from collections.abc import AsyncGenerator

import pytest

from importer.errors import SourceUnavailable
from importer.stream.extent import Data, Layout, Located, Zero
from importer.stream.meter import Meter
from importer.stream.pipe import Chunks

HELD = 0.05
"""Seconds that a side takes; what is counted is at least nearly that, however busy."""


class Heard:
    """What somebody was told meanwhile."""

    def __init__(self) -> None:
        self.size = 0
        self.awaited = 0.0
        self.held = 0.0

    def meter(self) -> Meter:
        return Meter(self._passed, self._awaited, self._held)

    def _passed(self, size: int) -> None:
        self.size += size

    def _awaited(self, seconds: float) -> None:
        self.awaited += seconds

    def _held(self, seconds: float) -> None:
        self.held += seconds


async def chunks(number: int, pause: float = 0.0, error: Exception | None = None) -> Chunks:
    for _ in range(number):
        await asyncio.sleep(pause)
        yield b"x" * 1000
    await asyncio.sleep(pause)
    if error:
        raise error


async def drained(passing: AsyncGenerator[object, None], pause: float = 0.0) -> int:
    number = 0
    async for _ in passing:
        number += 1
        await asyncio.sleep(pause)
    return number


@pytest.mark.parametrize("slow", ["source", "target"])
async def test_seconds_are_those_of_the_slow_side(slow: str) -> None:
    """Four times the pause at least, and no second is counted for both sides."""
    heard, began = Heard(), time.monotonic()
    meter = heard.meter()
    source = chunks(4, HELD if slow == "source" else 0.0)
    assert await drained(meter.metered(source), HELD if slow == "target" else 0.0) == 4
    assert heard.size == meter.size == 4000
    assert heard.awaited == pytest.approx(meter.upstream)
    assert heard.held == pytest.approx(meter.downstream)
    of = {"source": meter.upstream, "target": meter.downstream}
    assert of[slow] >= 4 * HELD * 0.9
    assert sum(of.values()) <= time.monotonic() - began


async def test_a_source_that_fails_was_waited_for() -> None:
    """The wait that ends in an error is as long as any other."""
    heard = Heard()
    meter = heard.meter()
    with pytest.raises(SourceUnavailable):
        await drained(meter.metered(chunks(0, HELD, SourceUnavailable("gone"))))
    assert heard.awaited >= HELD * 0.9


async def test_a_target_that_fails_was_waited_for() -> None:
    """A path that is closed in the middle: until then its last chunk was with the target."""
    heard = Heard()
    passing, began = heard.meter().metered(chunks(4)), time.monotonic()
    await anext(passing)
    await asyncio.sleep(HELD)
    await passing.aclose()
    assert heard.held >= HELD * 0.9
    assert heard.awaited + heard.held <= time.monotonic() - began


async def test_what_a_target_does_after_the_last_byte() -> None:
    """The time from the end until somebody says that it is through is the target's."""
    heard = Heard()
    meter = heard.meter()
    await drained(meter.metered(chunks(1)))
    await asyncio.sleep(HELD)
    meter.left()
    assert heard.held >= HELD * 0.9


async def test_zeros_of_a_layout_are_no_bytes() -> None:
    """A disk that is laid out: its data is counted, and every extent passes."""

    async def layout() -> Layout:
        yield Located(0, Data(b"x" * 1000))
        yield Located(1000, Zero(1 << 40))
        yield Located(1000 + (1 << 40), Data(b"x" * 24))

    heard = Heard()
    meter = heard.meter()
    assert await drained(meter.laid(layout()), HELD) == 3
    assert heard.size == meter.size == 1024
    assert heard.held >= 3 * HELD * 0.9
