"""Servers as they are: without ranges, without lengths, wrong. Right bytes or a named error."""

import gzip
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from importer.errors import SourceChanged, SourceError, SourceTruncated, SourceUnavailable
from importer.sources.http import Web
from importer.units import MiB
from tests.servers.faults import Fault, FaultServer
from tests.sources.reading import client, read, read_sized

CONTENT = random.Random(5).randbytes(8 * MiB + 77)
SIZE = len(CONTENT)
DATE = "Mon, 23 Nov 2026 12:00:00 GMT"


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A client."""
    web = client()
    yield web
    await web.close()


SERVERS: dict[str, tuple[dict[str, Any], int | None]] = {
    "ranges": ({}, SIZE),
    "ranges without any validator": ({"etag": ""}, SIZE),
    "ranges with a weak ETag": ({"etag": 'W/"one"'}, SIZE),
    "ranges with a date": ({"etag": "", "modified": DATE}, SIZE),
    "ranges in chunked coding": ({"length": "chunked"}, SIZE),
    "ranges that end by hanging up": ({"length": "close"}, SIZE),
    "ranges over HTTP/1.0": ({"protocol": "HTTP/1.0"}, SIZE),
    "ranges shorter than asked for": ({"most": 700_000}, SIZE),
    "ranges of a file of unknown size": ({"total": False}, SIZE),
    "ranges of unknown size, chunked": ({"total": False, "length": "chunked"}, None),
    "no ranges": ({"ranges": False}, SIZE),
    "no ranges, no length": ({"ranges": False, "length": "chunked"}, None),
    "no ranges, the end by hanging up": ({"ranges": False, "length": "close"}, None),
    "HTTP/1.0": ({"ranges": False, "protocol": "HTTP/1.0"}, SIZE),
    "HTTP/1.0 without length": (
        {"ranges": False, "protocol": "HTTP/1.0", "length": "close"},
        None,
    ),
    "the length in a header of Google's": (
        {
            "ranges": False,
            "length": "chunked",
            "headers": {"x-goog-stored-content-length": str(SIZE)},
        },
        SIZE,
    ),
    "a gzip undone on the way": (
        {
            "ranges": False,
            "length": "chunked",
            "headers": {
                "x-goog-stored-content-length": "5",
                "x-goog-stored-content-encoding": "gzip",
            },
        },
        None,
    ),
    "IPv6": ({"host": "::1"}, SIZE),
    "a redirect": ({"redirects": {"/disk.img": "/there"}}, SIZE),
}


@pytest.mark.parametrize("kind", SERVERS)
async def test_the_file_comes_whole_and_once(web: Web, kind: str) -> None:
    """Whatever a server tells or leaves out, every byte comes, and none twice."""
    fields, size = SERVERS[kind]
    async with FaultServer(CONTENT, **fields) as server:
        assert await read_sized(web, server.url()) == (CONTENT, size)
        # Of a range without a size the answer is thrown away: 1 MiB at most.
        assert server.sent <= SIZE + (0 if fields.get("total", True) else MiB)
        await server.closed()


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_coded_file_is_taken_as_it_travels(web: Web, *, ranges: bool) -> None:
    """Of a body that is gzip for the road no range is used, and no size is believed."""
    coded = gzip.compress(CONTENT, 1)
    headers = {"Content-Encoding": "gzip"}
    async with FaultServer(coded, ranges=ranges, headers=headers) as server:
        source = web.source(server.url())
        opened = await source.open()
        assert (opened.size, opened.encoded) == (None, True)
        assert b"".join([chunk async for chunk in opened.chunks]) == coded
        await source.close()
        assert server.asked[-1].status == 200


@pytest.mark.parametrize("at", [0, 1, MiB, 5 * MiB, SIZE - 1])
@pytest.mark.parametrize("kind", ["reset", "short", "stall"])
@pytest.mark.parametrize("proof", [{"etag": '"one"'}, {"etag": "", "modified": DATE}])
async def test_without_ranges_it_is_read_again_and_skipped(
    web: Web, kind: Any, at: int, proof: dict[str, str]
) -> None:
    """A server that proves its file the same may send it again; nothing is delivered twice."""
    async with FaultServer(CONTENT, ranges=False, faults=[Fault(kind, at)], **proof) as server:
        assert await read(web, server.url()) == CONTENT
        assert server.sent <= SIZE + at
        assert len(server.asked) == 2
        await server.closed()


@pytest.mark.parametrize(
    ("kind", "error"), [("short", SourceTruncated), ("stall", SourceUnavailable)]
)
@pytest.mark.parametrize("etag", ["", 'W/"one"'])
async def test_without_proof_the_fault_stands(
    web: Web, kind: Any, error: type[SourceError], etag: str
) -> None:
    """A file that cannot be proved the same is never patched together."""
    faults = [Fault(kind, 5 * MiB)]
    async with FaultServer(CONTENT, ranges=False, etag=etag, faults=faults) as server:
        with pytest.raises(error):
            await read(web, server.url())
        assert len(server.asked) == 1
        await server.closed()


async def test_another_file_the_second_time_is_no_continuation(web: Web) -> None:
    """When the server has another version by then, the transfer ends for good."""
    faults = [Fault("reset", 5 * MiB)]
    async with FaultServer(CONTENT, ranges=False, faults=faults) as server:
        source = web.source(server.url())
        opened = await source.open()
        server.etag = '"two"'
        with pytest.raises(SourceChanged, match='"one" and is "two"'):
            async for _ in opened.chunks:
                pass
        await source.close()
        await server.closed()


@pytest.mark.parametrize("more", [1, 5 * MiB])
async def test_a_length_that_is_never_reached_ends(web: Web, more: int) -> None:
    """A Content-Length that is too large is an error, with and without proof."""
    for etag in ('"one"', ""):
        async with FaultServer(CONTENT, ranges=False, announced=SIZE + more, etag=etag) as server:
            with pytest.raises((SourceTruncated, SourceUnavailable), match=f"{SIZE + more} bytes"):
                await read(web, server.url())


async def test_a_user_in_the_url_is_sent_to_its_host(web: Web) -> None:
    """With every range, as Basic; a server that redirects elsewhere does not hand it on."""
    users = "Basic dTpww6Q="  # u:pä
    async with (
        FaultServer(CONTENT, users=users) as server,
        FaultServer(redirects={"/disk.img": server.url()}) as first,
    ):
        url = server.url().replace("//", "//u:p%C3%A4@")
        assert await read(web, url) == CONTENT
        with pytest.raises(SourceError, match="answers 401"):
            await read(web, first.url().replace("//", "//u:p%C3%A4@"))
        assert first.asked[0].headers["authorization"] == users
        assert "authorization" not in server.asked[-1].headers


async def test_a_server_that_is_gone_in_the_middle_is_waited_for(web: Web) -> None:
    """Nobody listening is a fault like others: the transfer goes on when it is back."""
    async with FaultServer(CONTENT, rate=8e6) as server:
        source = web.source(server.url())
        opened = await source.open()
        data = await anext(opened.chunks)
        port = server.port
    async with FaultServer(CONTENT, port=port) as server:
        data += b"".join([chunk async for chunk in opened.chunks])
        await source.close()
    assert data == CONTENT


@pytest.mark.parametrize("kind", ["reset", "stall"])
async def test_a_file_of_unknown_size_is_read_again(web: Web, kind: Any) -> None:
    """Of such a file no part is asked for: a part could end anywhere."""
    fields: dict[str, Any] = {"length": "chunked", "total": False, "most": 3 * MiB}
    async with FaultServer(CONTENT, faults=[Fault(kind, 5 * MiB)], **fields) as server:
        assert await read(web, server.url()) == CONTENT
        assert [asked.status for asked in server.asked] == [206, 200, 200]


async def test_a_mirror_that_is_gone_is_left(web: Web) -> None:
    """When nobody answers any more where a redirect led, the first URL is asked again."""
    async with FaultServer(CONTENT, rate=8e6) as other:
        async with (
            FaultServer(CONTENT, rate=8e6) as mirror,
            FaultServer(redirects={"/disk.img": mirror.url()}) as first,
        ):
            source = web.source(first.url())
            opened = await source.open()
            data = await anext(opened.chunks)
            first.redirects["/disk.img"] = other.url()
            await mirror.__aexit__()
            data += b"".join([chunk async for chunk in opened.chunks])
        await source.close()
        assert other.sent > 0
    assert data == CONTENT


async def test_the_servers_name_for_the_file_is_told(web: Web) -> None:
    """Content-Disposition names the file, never a directory."""
    headers = {"Content-Disposition": 'attachment; filename="../../etc/debian 12.qcow2"'}
    async with FaultServer(CONTENT, headers=headers) as server:
        assert (await web.probe(server.url())).name == "debian 12.qcow2"
