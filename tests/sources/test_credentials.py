"""An import's headers reach its own server and no other, whole or not at all."""

from collections.abc import AsyncIterator

import pytest
from yarl import URL

from importer.config import Config, Url
from importer.errors import CallerError
from importer.model import UrlSource
from importer.sources.credentials import Credentialed, check_headers
from importer.sources.http import Web
from importer.sources.origins import Origins
from importer.sources.proxy import Proxies
from tests.servers.web import WebServer

GIVEN = {"Authorization": "Bearer SECRET", "X-Key": "SECRET"}


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    web = Web(Url(allow_addresses=("127.0.0.0/8",)))
    yield web
    await web.close()


async def read(web: Web, url: str, headers: dict[str, str] = GIVEN) -> bytes:
    source = web.source(Credentialed(url, headers, None, Proxies(Url())))
    try:
        opened = await source.open()
        return b"".join([chunk async for chunk in opened.chunks])
    finally:
        await source.close()


async def test_headers_go_to_their_own_server(web: Web) -> None:
    """On the first request, and again where a redirect stays on the same server."""
    async with WebServer(b"image", redirect={"/a": "/b"}) as server:
        assert await read(web, server.url("/a")) == b"image"
    assert len(server.requests) >= 2
    for request in server.requests:
        assert request.headers["Authorization"] == "Bearer SECRET"
        assert request.headers["X-Key"] == "SECRET"


async def test_headers_go_to_no_other_server(web: Web) -> None:
    """Another port is another server, and gets none; the first one gets them again."""
    async with WebServer(b"image") as first, WebServer() as second:
        first.redirect["/a"] = second.url("/b")
        second.redirect["/b"] = first.url("/c")
        assert await read(web, first.url("/a")) == b"image"
    assert second.requests
    for request in second.requests:
        assert "SECRET" not in str(request.headers)
    assert all("SECRET" in str(request.headers) for request in first.requests)


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://images.example/other", True),
        ("https://images.example:443/other", True),
        ("https://IMAGES.example/other", True),
        ("http://images.example/other", False),
        ("https://images.example:8443/other", False),
        ("https://sub.images.example/other", False),
        ("https://images.example.evil.example/other", False),
    ],
)
async def test_the_same_server_is_scheme_host_and_port(url: str, *, same: bool) -> None:
    """As for curl: a change of any of the three is another server."""
    origin = Credentialed("https://images.example/disk", GIVEN, None, Proxies(Url()))
    request = await origin.request(URL(url), {"Range": "bytes=0-1"})
    assert ("Authorization" in request.headers) is same
    assert request.headers["Range"] == "bytes=0-1"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "one\r\nHost: evil"},
        {"X-A": "one\ntwo"},
        {"X-A": "nul\0"},
        {"X-A": "ümlaut"},
        {"X-A": ""},
        {"X-A": " outer"},
        {"X-A": "x" * 8193},
        {"X A": "one"},
        {"X-A:": "one"},
        {"": "one"},
        {"X-A\r\nHost": "evil"},
        {"x-a": "one", "X-A": "two"},
        {f"X-{number}": "one" for number in range(33)},
        *({name: "one"} for name in ("Host", "content-LENGTH", "Transfer-Encoding", "Range")),
        *({name: "one"} for name in ("If-Range", "Connection", "TE", "Upgrade", "Expect")),
        *({name: "one"} for name in ("Accept-Encoding", "Proxy-Authorization", "Trailer")),
    ],
)
def test_a_header_that_changes_the_request_is_refused(headers: dict[str, str]) -> None:
    """Neither name nor value can end a line, name another host, or cut the message anew."""
    with pytest.raises(CallerError) as caught:
        check_headers(headers, URL("https://images.example/"))
    assert "evil" not in str(caught.value).replace("'X-A\\r\\nHost'", "")


def test_one_way_to_log_in_is_enough() -> None:
    """A user in the URL and an Authorization header contradict each other."""
    with pytest.raises(CallerError, match="not both"):
        check_headers({"authorization": "Basic eA=="}, URL("https://u:p@images.example/"))


def test_what_a_source_says_is_checked_as_one() -> None:
    """A source with bad headers or bad authorities is refused before anything is asked."""
    origins = Origins(Config())
    url = "https://images.example/disk"
    origins.check(UrlSource(url=url, headers=GIVEN, insecure=True))
    for source in (
        UrlSource(url=url, headers={"Host": "other"}),
        UrlSource(url=url, ca="no certificate"),
        UrlSource(url="ftp://images.example/"),
    ):
        with pytest.raises(CallerError):
            origins.check(source)
