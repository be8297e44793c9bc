"""How often and how long a broken transfer is tried again."""

import asyncio
import itertools
from collections.abc import Callable

import pytest

from importer.config import Url
from importer.errors import SourceUnavailable
from importer.sources.patience import Patience
from tests.sources.clock import seconds

SETTINGS = Url(patience=100, backoff=1, backoff_most=8)


def until_over(
    fault: SourceUnavailable, jitter: Callable[[], float], taken: float = 0.0
) -> list[float]:
    """Return the waits of a transfer whose every try fails after *taken* seconds."""
    waits: list[float] = []

    async def trying() -> None:
        loop = asyncio.get_running_loop()
        patience = Patience(SETTINGS, jitter)
        for tries in itertools.count(1):
            since = loop.time()
            await asyncio.sleep(taken)
            before = loop.time()
            await patience.again(fault, tries, since)
            waits.append(round(loop.time() - before, 6))

    with pytest.raises(SourceUnavailable, match=r"\[url\] patience") as over:
        seconds(trying())
    assert over.value.__cause__ is fault
    return waits


def test_waits_double_up_to_the_most_and_fill_patience_exactly() -> None:
    """The last wait ends with patience, and one try follows it."""
    waits = until_over(SourceUnavailable("no"), lambda: 1.0)
    assert waits[:5] == [1, 2, 4, 8, 8]
    assert sum(waits) == 100


@pytest.mark.parametrize(("jitter", "first"), [(0.0, 0.5), (0.5, 0.75), (0.999, 0.9995)])
def test_jitter_takes_up_to_half(jitter: float, first: float) -> None:
    """Clients of one server do not come back in the same moment."""
    assert until_over(SourceUnavailable("no"), lambda: jitter)[0] == first


def test_the_server_may_ask_for_more_time() -> None:
    """Retry-After is longer than the wait would be, and no longer than patience."""
    assert until_over(SourceUnavailable("no", 30), lambda: 1.0) == [30, 30, 30, 10]
    assert until_over(SourceUnavailable("no", 1e9), lambda: 1.0) == [100]


def test_time_spent_in_tries_counts() -> None:
    """A server that stalls for long is not waited for many times longer."""
    waits = until_over(SourceUnavailable("stalled"), lambda: 1.0, taken=40)
    assert waits == [1, 2]


def test_every_byte_begins_patience_anew() -> None:
    """A transfer that moves at all goes on, however often it breaks."""

    async def moving() -> None:
        patience = Patience(SETTINGS, lambda: 1.0)
        for _ in range(1000):
            await patience.again(SourceUnavailable("no"), 1, asyncio.get_running_loop().time())
            patience.progress()
        assert patience.faults == 1000

    assert seconds(moving()) == 1000
