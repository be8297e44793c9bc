"""Servers that send ranges, and fail meanwhile: the bytes are the file's, each fetched once."""

import asyncio
import dataclasses
import hashlib
import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.errors import SourceChanged, SourceError, SourceUnavailable
from importer.sources.http import Web
from importer.sources.ranged import ROOM
from importer.units import GiB, MiB
from tests.servers.faults import Fault, FaultServer
from tests.sources.reading import SETTINGS, client, read

CONTENT = random.Random(4).randbytes(30 * MiB + 123)


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A client."""
    web = client()
    yield web
    await web.close()


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
    web = client(dataclasses.replace(SETTINGS, connections=connections))
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


async def test_a_server_that_stalls_for_good_is_given_up(web: Web) -> None:
    """After patience the error names the reason and the tries; nothing stays open."""
    async with FaultServer(CONTENT, faults=[Fault("stall", 9 * MiB)] * 99) as server:
        with pytest.raises(SourceUnavailable, match=r"\d tries \(\[url\] patience\)"):
            await read(web, server.url())
        await server.closed()


@pytest.mark.parametrize("offset", [2 * MiB, 20 * MiB])
async def test_a_file_that_changes_is_never_mixed(web: Web, offset: int) -> None:
    """Another ETag in a later range ends the transfer for good, and names both."""
    async with FaultServer(CONTENT, changes_at=offset) as server:
        with pytest.raises(SourceChanged, match='ETag was "one" and is "two"'):
            await read(web, server.url())
        await server.closed()


async def test_a_file_that_grows_is_never_mixed(web: Web) -> None:
    """So does another size, although nothing else tells the versions apart."""
    async with FaultServer(CONTENT, etag="") as server:
        source = web.source(server.url())
        opened = await source.open()
        server.announced = len(CONTENT) + 1
        with pytest.raises(SourceChanged, match=f"size was {len(CONTENT)}"):
            async for _ in opened.chunks:
                pass
        await source.close()


async def test_a_file_that_is_shorter_than_announced_is_no_file(web: Web) -> None:
    """A server whose ranges promise more than there is does not keep the transfer for ever."""
    async with FaultServer(CONTENT, announced=len(CONTENT) + 10) as server:
        with pytest.raises(SourceError):
            await read(web, server.url())
        await server.closed()


async def test_a_range_that_was_not_asked_for_is_refused(web: Web) -> None:
    """Bytes of another place than asked for are never taken."""
    async with FaultServer(CONTENT, faults=[Fault("shift", 9 * MiB)]) as server:
        with pytest.raises(SourceError, match="was asked for bytes from"):
            await read(web, server.url())
        await server.closed()


async def test_signed_addresses_are_asked_for_anew(web: Web) -> None:
    """Where a redirect led is used until it expires, then the first URL is asked again, once."""
    async with FaultServer(CONTENT, expires=3) as server:
        assert await read(web, server.url("/first")) == CONTENT
        assert server.sent == len(CONTENT)
        paths = [asked.path for asked in server.asked]
        assert 1 < paths.count("/first") <= len(paths) // 2


async def test_a_signed_address_that_nobody_renews_ends(web: Web) -> None:
    """When the first URL says no as well, that is the answer."""
    async with FaultServer(CONTENT, expires=3) as server:
        source = web.source(server.url("/first"))
        opened = await source.open()
        server.expires, server.redirects["/first"] = 0, "/signed/0"
        with pytest.raises(SourceError, match="answers 403"):
            async for _ in opened.chunks:
                pass
        await source.close()


async def test_a_busy_server_gets_the_time_it_asks_for(web: Web) -> None:
    """Retry-After is waited for, before the first byte as well."""
    busy = {"Retry-After": "0"}
    faults = [Fault("status", at, status, busy) for at in (0, 8 * MiB) for status in (503, 429)]
    async with FaultServer(CONTENT, faults=faults) as server:
        assert await read(web, server.url()) == CONTENT
        assert [asked.status for asked in server.asked][:3] == [503, 429, 206]
        assert server.sent == len(CONTENT)


async def test_a_cancelled_import_leaves_nothing(web: Web) -> None:
    """In the middle of a transfer: no task, and no connection at the server."""
    async with FaultServer(CONTENT, rate=4e6) as server:
        before = asyncio.all_tasks()
        reading = asyncio.create_task(read(web, server.url()))
        while server.sent < 2 * MiB:
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await server.closed()
        assert asyncio.all_tasks() == before


async def test_what_nobody_takes_is_not_fetched(web: Web) -> None:
    """A reader that stops holds the server back: memory stays bounded."""
    large = CONTENT * 8
    async with FaultServer(large) as server:
        source = web.source(server.url())
        opened = await source.open()
        while len(await anext(opened.chunks)) < MiB or server.sent <= MiB:
            pass
        sent = -1
        while sent != server.sent:  # until the server can send no more
            sent = server.sent
            await asyncio.sleep(0.2)
        assert sent < 64 * MiB + MiB  # of 240; half of it is in the kernel's buffers
        await opened.chunks.aclose()
        await source.close()


async def test_every_connection_is_within_the_rate(web: Web) -> None:
    """An import that has a rate takes no longer way: the bytes are the same."""
    async with FaultServer(CONTENT) as server:
        source = web.source(server.url(), rate=200 * MiB)
        opened = await source.open()
        assert b"".join([chunk async for chunk in opened.chunks]) == CONTENT
        await source.close()


async def test_imports_from_one_host_wait_for_their_turn() -> None:
    """With one turn the second import asks for nothing before the first is closed."""
    web = client(dataclasses.replace(SETTINGS, per_host=1))
    async with FaultServer(CONTENT) as server:
        first, second = web.source(server.url("/1")), web.source(server.url("/2"))
        opened = await first.open()
        waiting = asyncio.create_task(second.open())
        assert b"".join([chunk async for chunk in opened.chunks]) == CONTENT
        assert {asked.path for asked in server.asked} == {"/1"}
        await first.close()
        await waiting
        assert server.asked[-1].path == "/2"
        await second.close()
    await web.close()


def seeded(size: int, count: int) -> list[Fault]:
    """Return *count* faults of all kinds all over the file; the same ones each time."""
    chance = random.Random(size)
    return [
        Fault(kind, chance.randrange(2 * MiB, size), headers={"Retry-After": "0"})
        for kind, _ in zip(itertools.cycle(KINDS), range(count))
    ]


@pytest.mark.parametrize(
    ("size", "count"),
    [(256 * MiB, 5), pytest.param(2 * GiB, 20, marks=[pytest.mark.soak, pytest.mark.timeout(900)])],
)
async def test_faults_all_over_a_large_file(
    web: Web, tmp_path: Path, size: int, count: int
) -> None:
    """The bytes are identical, and less than a tenth of the size is fetched twice."""
    path, expected = tmp_path / "large", hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, MiB):
            block = start.to_bytes(8, "big") + CONTENT[8:MiB]
            expected.update(block)
            file.write(block)
    async with FaultServer(path, faults=seeded(size, count)) as server:
        source, found = web.source(server.url()), hashlib.sha256()
        opened = await source.open()
        async for chunk in opened.chunks:
            found.update(chunk)
        await source.close()
        assert found.digest() == expected.digest()
        assert server.faults == []
        assert server.sent < 1.1 * size
        await server.closed()
