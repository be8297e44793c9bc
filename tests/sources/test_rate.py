"""Rates hold over any time, whoever takes."""

import asyncio

import pytest

from importer.sources.rate import Bucket
from importer.units import MiB
from tests.sources.clock import seconds


@pytest.mark.parametrize("takers", [1, 4])
def test_a_rate_is_kept(takers: int) -> None:
    """100 MiB at 10 MiB/s take ten seconds, by one or by four; a quarter of one may be ahead."""

    async def taking() -> None:
        bucket = Bucket(10 * MiB)

        async def taker() -> None:
            for _ in range(400 // takers):
                await bucket.take(MiB // 4)

        await asyncio.gather(*(taker() for _ in range(takers)))

    assert 9.7 < seconds(taking()) < 10.001


def test_idle_time_is_not_saved_up() -> None:
    """After a minute of silence the rate is what it was."""

    async def taking() -> None:
        bucket = Bucket(10 * MiB)
        await asyncio.sleep(60)
        for _ in range(400):
            await bucket.take(MiB // 4)

    assert 69.7 < seconds(taking()) < 70.001


def test_no_rate_is_no_wait() -> None:
    """Zero is no limit."""

    async def taking() -> None:
        await Bucket(0).take(1 << 60)

    assert seconds(taking()) == 0
