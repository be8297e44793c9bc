"""A remote file read anywhere, as tables are: small reads are few requests, large ones exact."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from importer.errors import SourceChanged
from importer.model import Readable
from importer.sources.blocks import BLOCK
from importer.sources.http import HEAD, Web
from importer.units import MiB
from tests.servers.faults import Fault, FaultServer
from tests.sources.reading import client

CONTENT = random.Random(6).randbytes(8 * MiB + 77)
SIZE = len(CONTENT)


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server that sends ranges."""
    async with FaultServer(CONTENT) as server:
        yield server


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A client."""
    web = client()
    yield web
    await web.close()


@pytest.fixture
async def readable(web: Web, server: FaultServer) -> Readable:
    """Its file, whose head was looked at."""
    readable = (await web.probe(server.url())).readable
    assert readable is not None
    return readable


async def test_any_read_is_right(readable: Readable, server: FaultServer) -> None:
    """In the head, across blocks, over the end, large and small, at the same time."""
    chance = random.Random(7)
    spots = [(chance.randrange(SIZE + 9), chance.choice([1, 512, BLOCK, MiB])) for _ in range(200)]
    spots += [(HEAD - 1, 2), (BLOCK * 40 - 1, 2), (SIZE - 1, 512), (SIZE, 1), (SIZE + 5, 1), (5, 0)]
    found = await asyncio.gather(*(readable.read_at(*spot) for spot in spots))
    assert server.accepted <= 4
    assert found == [CONTENT[offset : offset + length] for offset, length in spots]


async def test_a_table_is_read_by_blocks(readable: Readable, server: FaultServer) -> None:
    """512 entries of 8 bytes, one after the other, are one request; the head is none."""
    for offset in range(0, 4096, 8):
        await readable.read_at(offset, 8)
    assert len(server.asked) == 1
    for offset in range(5 * MiB, 5 * MiB + 4096, 8):
        await readable.read_at(offset, 8)
    assert len(server.asked) == 2
    assert server.sent == HEAD + BLOCK


async def test_readers_of_one_block_share_its_request(
    readable: Readable, server: FaultServer
) -> None:
    """Twenty at once are one request, and the first may go away without harm to the others."""
    reads = [asyncio.create_task(readable.read_at(5 * MiB + n, 1)) for n in range(20)]
    await asyncio.sleep(0)
    reads[0].cancel()
    found = await asyncio.gather(*reads[1:])
    assert b"".join(found) == CONTENT[5 * MiB + 1 : 5 * MiB + 20]
    assert len(server.asked) <= 3


async def test_a_large_read_is_no_more_than_it_is(readable: Readable, server: FaultServer) -> None:
    """A cluster's bytes are fetched, and none beside."""
    assert await readable.read_at(3 * MiB + 7, MiB) == CONTENT[3 * MiB + 7 : 4 * MiB + 7]
    assert server.sent == HEAD + MiB


@pytest.mark.parametrize("kind", ["reset", "short", "stall", "status", "drop"])
async def test_a_read_survives_a_fault(readable: Readable, server: FaultServer, kind: str) -> None:
    """It goes on at the next byte."""
    server.faults = [Fault(kind, 4 * MiB)]
    assert await readable.read_at(3 * MiB, 3 * MiB) == CONTENT[3 * MiB : 6 * MiB]
    assert server.faults == []


async def test_a_file_that_changes_is_no_mixture(readable: Readable, server: FaultServer) -> None:
    """What was looked at and what is read are of one version."""
    server.etag = '"two"'
    with pytest.raises(SourceChanged, match="ETag"):
        await readable.read_at(3 * MiB, 10)


async def test_a_source_is_read_anywhere_from_its_head_on(web: Web, server: FaultServer) -> None:
    """An import that has seen the head goes on wherever it wants; no byte comes twice."""
    source = web.source(server.url())
    opened = await source.open()
    head = b""
    while len(head) < HEAD:
        head += await anext(opened.chunks)
    assert opened.readable is not None
    readable = opened.readable(head)
    assert await readable.read_at(0, HEAD) == head == CONTENT[:HEAD]
    assert await readable.read_at(5 * MiB, MiB) == CONTENT[5 * MiB : 6 * MiB]
    assert server.sent == 2 * MiB
    await opened.chunks.aclose()
    await source.close()
    await server.closed()
