"""How pieces are cut pays: over slow connections, and over far ones."""

import pytest

from importer.units import GiB, MiB
from tests.servers.link import Link, rate

MB = 1e6


def test_four_connections_are_worth_almost_four() -> None:
    """A server that gives each connection 40 MB/s gives four of them 3.5 times that and more."""
    one, four = (
        rate(Link(connection=40 * MB, latency=0.001), 512 * MiB, connections)
        for connections in (1, 4)
    )
    assert four > 3.5 * one


@pytest.mark.parametrize("fast", [200 * MB, 800 * MB])
def test_latency_costs_little(fast: float) -> None:
    """With 100 ms for each answer the rate stays above 85 % of what it is without."""
    near, far = (rate(Link(all=fast, latency=latency), 3 * GiB, 4) for latency in (0, 0.1))
    assert far > 0.85 * near


def test_slow_and_far_is_still_better_than_one() -> None:
    """Where each connection is slow, pieces do not grow so long that one waits for another."""
    link = {"connection": 40 * MB, "latency": 0.1}
    one, four = (rate(Link(**link), 512 * MiB, connections) for connections in (1, 4))
    assert four > 3.5 * one


def test_pieces_stay_short_where_that_is_enough() -> None:
    """A bucket's usual speed: pieces that grew here would leave three connections waiting."""
    assert rate(Link(connection=90 * MB, latency=0.03), GiB, 4) > 2.5 * 90 * MB
