"""Web servers as they are: every byte arrives, or the right error does."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.config import Url
from importer.errors import (
    AddressRefused,
    ImporterError,
    SourceChanged,
    SourceError,
    SourceTruncated,
    SourceUnavailable,
)
from importer.sources.blocks import BLOCK
from importer.sources.http import HEAD, Web
from importer.sources.secrets import Seal
from importer.units import GiB, MiB
from tests.servers.web import WebServer

CONTENT = os.urandom(5 * MiB + 123)


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    """A client that may connect to loopback and is not patient."""
    web = Web(
        Url(allow_addresses=("127.0.0.0/8",), stall=0.3, connect=2, patience=0.5, backoff=0.01)
    )
    yield web
    await web.close()
    await asyncio.sleep(0)


async def read(web: Web, url: str) -> tuple[bytes, int | None]:
    """Return the file and the size that was announced."""
    source = web.source(url)
    try:
        opened = await source.open()
        return b"".join([chunk async for chunk in opened.chunks]), opened.size
    finally:
        await source.close()


@pytest.mark.parametrize("length", [True, False])
async def test_the_whole_file_arrives(web: Web, *, length: bool) -> None:
    """With and without a length, the bytes are the file's."""
    async with WebServer(CONTENT, length=length, ranges=False) as server:
        data, size = await read(web, server.url())
    assert hashlib.sha256(data).digest() == hashlib.sha256(CONTENT).digest()
    assert size == (len(CONTENT) if length else None)


async def test_redirects_are_followed_to_their_end(web: Web) -> None:
    """Relative and absolute redirects lead to the file."""
    async with WebServer(CONTENT, redirect={"/a": "b/c", "/b/c": "/d"}) as server:
        data, _ = await read(web, server.url("/a"))
    assert data == CONTENT


async def test_too_many_redirects_end(web: Web) -> None:
    """A loop of redirects is the source's fault, and ends."""
    async with WebServer(redirect={"/a": "/b", "/b": "/a"}) as server:
        with pytest.raises(SourceError, match="redirects"):
            await read(web, server.url("/a"))
    assert len(server.requests) == 11


async def test_a_redirect_to_another_scheme_is_refused(web: Web) -> None:
    """A server cannot make the service read a file or speak another protocol."""
    async with WebServer(redirect={"/a": "file:///etc/passwd"}) as server:
        with pytest.raises(AddressRefused, match="file"):
            await read(web, server.url("/a"))


async def test_credentials_stay_with_their_host(web: Web) -> None:
    """User and password of a URL are sent to its host, and not to where it redirects."""
    async with WebServer(CONTENT) as other, WebServer() as first:
        first.redirect["/a"] = other.url()
        await read(web, first.url("/a").replace("http://", "http://user:secret@"))
    assert first.requests[0].headers["Authorization"].startswith("Basic ")
    assert "Authorization" not in other.requests[0].headers


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, SourceError),
        (403, SourceError),
        (404, SourceError),
        (429, SourceUnavailable),
        (500, SourceUnavailable),
        (503, SourceUnavailable),
    ],
)
async def test_a_refusal_says_what_the_server_said(
    web: Web, status: int, error: type[ImporterError]
) -> None:
    """What passes is retryable, what does not is not; the URL is shown without its secrets."""
    async with WebServer(CONTENT, statuses=[status]) as server:
        with pytest.raises(error, match=str(status)) as caught:
            await read(web, server.url("/x?token=SECRET"))
    assert type(caught.value) is error
    assert "SECRET" not in str(caught.value)


async def test_a_body_that_ends_early_is_truncated(web: Web) -> None:
    """Fewer bytes than announced are never taken for the file; both numbers are named."""
    async with WebServer(CONTENT, short_after=2 * MiB, ranges=False, etag="") as server:
        with pytest.raises(SourceTruncated, match=f"after {2 * MiB} of {len(CONTENT)}"):
            await read(web, server.url())


async def test_a_server_that_stalls_is_given_up(web: Web) -> None:
    """Silence for longer than the limit is a retryable error, not a hang."""
    async with WebServer(CONTENT, stall_after=MiB, ranges=False, etag="") as server:
        with pytest.raises(SourceUnavailable, match="no byte came in time"):
            await read(web, server.url())


async def test_a_port_where_nobody_listens_is_unavailable(web: Web) -> None:
    """A refused connection is retryable and says which URL."""
    async with WebServer() as server:
        url = server.url()
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1"):
        await read(web, url)


async def test_coded_bytes_are_taken_as_they_travel(web: Web) -> None:
    """A gzip coding is not undone here: lengths and checksums are those of the wire."""
    async with WebServer(CONTENT, headers={"Content-Encoding": "gzip"}) as server:
        source = web.source(server.url())
        opened = await source.open()
        assert opened.encoded
        assert opened.size is None
        assert b"".join([chunk async for chunk in opened.chunks]) == CONTENT
        await source.close()


async def test_leaving_early_closes_the_connection(web: Web) -> None:
    """Who reads only the start does not make the server send the rest."""
    async with WebServer(bytes(64 * MiB)) as server:
        source = web.source(server.url())
        opened = await source.open()
        await anext(opened.chunks)
        await opened.chunks.aclose()
        await source.close()
    assert server.sent < 32 * MiB


@pytest.mark.parametrize("ranges", [True, False])
async def test_a_probe_moves_only_the_head(web: Web, tmp_path: Path, *, ranges: bool) -> None:
    """Of 100 GiB the first MiB is read, whether the server knows ranges or not."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(CONTENT[:MiB])
        file.truncate(100 * GiB)
    async with WebServer(path, ranges=ranges) as server:
        probe = await web.probe(server.url())
        assert probe.size == 100 * GiB
        assert probe.head == CONTENT[:HEAD]
        assert (probe.readable is not None) is ranges
        if probe.readable:
            assert await probe.readable.read_at(100, 50) == CONTENT[100:150]
            assert await probe.readable.read_at(100 * GiB - 512, 600) == bytes(512)
            assert server.sent == HEAD + BLOCK


async def test_an_empty_file_is_seen_as_such(web: Web) -> None:
    """A server answers 416 to a range of an empty file."""
    async with WebServer(b"") as server:
        probe = await web.probe(server.url())
    assert (probe.size, probe.head) == (0, b"")


async def test_a_file_that_changes_while_looked_at_is_no_mixture(web: Web) -> None:
    """A range of another version of the file is refused."""
    async with WebServer(CONTENT) as server:
        probe = await web.probe(server.url())
        server.etag = '"two"'
        assert probe.readable is not None
        with pytest.raises(SourceChanged, match="ETag"):
            await probe.readable.read_at(3 * MiB, 10)


def test_the_seal_keeps_its_key_to_itself(tmp_path: Path) -> None:
    """What is sealed opens after a restart, is not readable, and not with another key."""
    sealed = Seal(tmp_path / "key").seal("https://u:p@h/")
    assert b"u:p" not in sealed
    assert Seal(tmp_path / "key").open(sealed) == "https://u:p@h/"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ImporterError, match="DATA/key"):
        Seal(tmp_path / "other").open(sealed)
