"""Proxies: which URL goes through which, by settings and by the variables all programs know."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from yarl import URL

from importer import config
from importer.config import Config, Url, apply, load
from importer.errors import AddressRefused, CallerError, SourceError, SourceUnavailable
from importer.model import UrlSource
from importer.sources.http import Web
from importer.sources.origins import Origins
from importer.sources.proxy import Proxies
from tests.servers.web import WebServer
from tests.sources.test_trust import TlsServer, made

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ((), "http://a.example/", False),
        (("*",), "http://a.example/", True),
        (("a.example",), "http://a.example/", True),
        (("a.example",), "http://A.EXAMPLE./", True),
        (("a.example",), "http://sub.a.example/", True),
        ((".a.example",), "http://sub.a.example/", True),
        (("*.a.example",), "http://sub.a.example/", True),
        (("a.example",), "http://nota.example/", False),
        (("a.example:80",), "http://a.example/", True),
        (("a.example:81",), "http://a.example/", False),
        (("10.0.0.0/8",), "http://10.1.2.3/", True),
        (("10.0.0.0/8",), "http://11.1.2.3/", False),
        (("10.0.0.1",), "http://10.0.0.1/", True),
        (("10.0.0.1:8080",), "http://10.0.0.1:8080/", True),
        (("10.0.0.1:8080",), "http://10.0.0.1/", False),
        (("fd00::/8",), "http://[fd00::1]/", True),
        (("::1",), "http://[::1]/", True),
        (("[::1]:80",), "http://[::1]/", True),
        (("b.example", "a.example"), "http://a.example/", True),
        (("10.0.0.0/8",), "http://a.example/", False),
    ],
)
def test_who_is_asked_directly(no_proxy: tuple[str, ...], url: str, *, direct: bool) -> None:
    """By host and all below it, by network, by port, or everybody."""
    proxies = Proxies(Url(http_proxy=PROXY, no_proxy=no_proxy))
    assert proxies.of(URL(url)) == (None if direct else URL(PROXY))


def test_each_scheme_has_its_own() -> None:
    """What is said for http says nothing for https; a bare HOST:PORT will do."""
    proxies = Proxies(Url(http_proxy="proxy.example:3128"))
    assert proxies.of(URL("http://a.example")) == URL(PROXY)
    assert proxies.of(URL("https://a.example")) is None


@pytest.mark.parametrize(
    "setting", ["socks5://a.example:1080", "http://", "http://a.example:99999", "http://:80"]
)
def test_what_is_no_proxy_is_refused(setting: str) -> None:
    """The service does not start with a proxy that it cannot use."""
    with pytest.raises(CallerError, match="http_proxy"):
        Proxies(Url(http_proxy=setting))


def test_the_variables_of_all_programs_are_read() -> None:
    """In both cases, lower before upper; the service's own variables win."""
    lower = {"http_proxy": "http://low:1", "HTTP_PROXY": "http://up:1", "NO_PROXY": "a, b"}
    settings = load(None, lower).url
    assert (settings.http_proxy, settings.no_proxy) == ("http://low:1", ("a", "b"))
    assert load(None, {"HTTPS_PROXY": "http://up:1"}).url.https_proxy == "http://up:1"
    both = {**lower, "IMPORTER_URL_HTTP_PROXY": "http://own:1"}
    assert load(None, both).url.http_proxy == "http://own:1"
    assert load(None, {"http_proxy": "", "HTTP_PROXY": "http://up:1"}).url.http_proxy == ""


def test_a_proxy_is_shown_without_its_password() -> None:
    """`importer config` says which proxy is used, not what opens it."""
    for setting in ("http://me:SECRET@proxy.example:3128", "me:SECRET@proxy.example:3128"):
        shown = config.shown(load(None, {"http_proxy": setting}))["url"]["http_proxy"]
        assert "SECRET" not in shown
        assert shown.endswith("***@proxy.example:3128")


@dataclass
class ProxyServer:
    """An HTTP proxy: plain requests and CONNECT, whatever host they name."""

    lead_to: int
    """Port of this machine where every request ends."""

    heads: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://me:SECRET@127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_writer = None
        try:
            there, there_writer = await asyncio.open_connection("127.0.0.1", self.lead_to)
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            if head.startswith(b"CONNECT"):
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                there_writer.write(head)
            await asyncio.gather(self._copy(reader, there_writer, plain=True), _pass(there, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for each in (writer, there_writer):
                if each:
                    each.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, plain: bool
    ) -> None:
        while data := await reader.read(65536):
            if data.startswith(b"GET"):
                self.heads.append(data.decode(errors="replace"))
            writer.write(data)
            await writer.drain()
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncIterator[ProxyServer]:
    proxy = ProxyServer(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy


def behind(proxy: str, *hosts: str) -> Config:
    """Return settings with a proxy and nothing allowed but *hosts*."""
    return apply(Config(), {"url": {"http_proxy": proxy, "allow_hosts": list(hosts)}})


async def fetched(url: str, settings: Config, ca: str | None = None) -> bytes:
    web = Web(settings.url)
    try:
        source = web.source(await Origins(settings).of(UrlSource(url=url, ca=ca)))
        try:
            opened = await source.open()
            return b"".join([chunk async for chunk in opened.chunks])
        finally:
            await source.close()
    finally:
        await web.close()


async def test_a_file_comes_through_the_proxy() -> None:
    """The proxy is asked with its password on every request; its own address needs no leave."""
    content = bytes(range(256)) * (9 << 12)
    async with WebServer(content) as server, proxy_to(server.port) as proxy:
        url = "http://images.example/disk.img"
        assert await fetched(url, behind(proxy.url, "images.example")) == content
    login = "Basic " + base64.b64encode(b"me:SECRET").decode()
    assert len(proxy.heads) >= 2
    for head in proxy.heads:
        assert head.startswith("GET http://images.example/disk.img HTTP/1.1\r\n")
        assert f"Proxy-Authorization: {login}" in head


async def test_tls_goes_through_the_proxy_unread(tmp_path: Path) -> None:
    """The proxy is asked to connect, and the server's certificate is checked all the same."""
    authority = made(tmp_path)
    async with TlsServer(authority) as url, proxy_to(URL(url).port or 0) as proxy:
        told = f"https://127.0.0.1:{URL(url).port}"
        url_settings = {
            "https_proxy": proxy.url,
            "allow_hosts": ["127.0.0.1"],
            "allow_addresses": ["127.0.0.0/8"],
        }
        settings = apply(Config(), {"url": url_settings})
        assert await fetched(told, settings, ca=authority.pem) == b"image"
        with pytest.raises(SourceError, match="not trusted"):
            await fetched(told, settings)
    assert proxy.heads
    for head in proxy.heads:
        assert head.startswith(f"CONNECT 127.0.0.1:{URL(url).port} HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic" in head


async def test_ports_hold_behind_a_proxy() -> None:
    """Where no address can be checked, the port still is."""
    async with proxy_to(1) as proxy:
        settings = apply(behind(proxy.url, "images.example"), {"url": {"ports": [443]}})
        with pytest.raises(AddressRefused, match="port 8080"):
            await fetched("http://images.example:8080/", settings)


async def test_a_host_that_is_not_listed_is_not_asked_through_a_proxy() -> None:
    """Nobody here sees where a proxy connects to, so it is asked for named hosts only."""
    async with WebServer(b"x") as server, proxy_to(server.port) as proxy:
        for hosts in ((), ("other.example",)):
            with pytest.raises(AddressRefused, match="allow_hosts"):
                await fetched("http://images.example/", behind(proxy.url, *hosts))
        with pytest.raises(AddressRefused):
            await fetched("http://169.254.169.254/", behind(proxy.url, "*"))
    assert proxy.heads == []


async def test_a_proxy_that_does_not_answer_is_named() -> None:
    """The error says that it is the proxy, and not its password."""
    async with proxy_to(1) as proxy:
        pass
    with pytest.raises(SourceUnavailable) as caught:
        await fetched("http://images.example/", behind(proxy.url, "images.example"))
    assert "SECRET" not in str(caught.value)
    assert str(proxy.port) in str(caught.value)
