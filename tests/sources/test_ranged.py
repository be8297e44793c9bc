"""Servers that send ranges, and fail meanwhile: the bytes are the file's, each fetched once."""

import dataclasses
import random
from collections.abc import AsyncIterator

import pytest

from importer.config import Url
from importer.sources.http import Web
from importer.sources.ranged import ROOM
from importer.units import MiB
from tests.servers.faults import Fault, FaultServer

CONTENT = random.Random(4).randbytes(30 * MiB + 123)

SETTINGS = Url(
    allow_addresses=("127.0.0.0/8", "::1"), stall=0.3, connect=2, patience=2, backoff=0.01
)


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A client that may connect to loopback, and waits without chance."""
    web = Web(SETTINGS, jitter=lambda: 0.5)
    yield web
    await web.close()


async def read(web: Web, url: str) -> bytes:
    """Return the file; nothing of it stays open."""
    source = web.source(url)
    try:
        opened = await source.open()
        return b"".join([chunk async for chunk in opened.chunks])
    finally:
        await source.close()


async def test_four_connections_bring_the_file_once(web: Web) -> None:
    """Every byte comes, in order, over four connections and no more; none comes twice."""
    async with FaultServer(CONTENT) as server:
        assert await read(web, server.url()) == CONTENT
        assert server.sent == len(CONTENT)
        assert server.accepted == 4
        await server.closed()


@pytest.mark.parametrize("connections", [1, 2, 9])
@pytest.mark.parametrize("size", [0, 1, MiB, MiB + 1, 7 * MiB, 7 * MiB + 1])
async def test_any_size_over_any_number_of_connections(size: int, connections: int) -> None:
    """The last byte comes whatever the file's size is to that of a range."""
    web = Web(dataclasses.replace(SETTINGS, connections=connections))
    async with FaultServer(CONTENT[:size]) as server:
        assert await read(web, server.url()) == CONTENT[:size]
        assert server.sent == size
        assert server.accepted <= connections
    await web.close()


KINDS = ("reset", "short", "stall", "status", "drop", "whole")


@pytest.mark.parametrize("at", [0, 100, MiB, 9 * MiB, len(CONTENT) - 1])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_costs_less_than_a_range(web: Web, kind: str, at: int) -> None:
    """Whatever breaks, wherever: the transfer goes on at the next byte."""
    if at <= 100 and kind in ("status", "drop", "whole"):
        return
    async with FaultServer(CONTENT, faults=[Fault(kind, at)]) as server:
        assert await read(web, server.url()) == CONTENT
        assert not server.faults
        assert server.sent <= len(CONTENT) + ROOM
        await server.closed()
