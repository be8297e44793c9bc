"""The service is no way into its own network: by address, by name, by redirect, by rebinding."""

import asyncio
import dataclasses
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest
from yarl import URL

from importer.config import Url
from importer.errors import AddressRefused, CallerError, SourceUnavailable
from importer.sources.guard import Guard
from importer.sources.http import Web
from importer.units import MiB
from tests.servers.dns import Names, connections
from tests.servers.faults import Fault, FaultServer
from tests.sources.reading import SETTINGS, client, read

CONTENT = bytes(9 * MiB)  # more than one connection is worth

ADDRESSES = """
0.0.0.0 0.0.0.1 10.0.0.1 10.96.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.254
127.0.0.2 127.8.8.8 127.255.255.254 169.254.0.1 169.254.169.254 169.254.170.2 169.254.169.123
172.16.0.1 172.31.255.254 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.254
198.18.0.1 198.19.255.254 198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.250 240.0.0.1
255.255.255.255 168.63.129.16 :: ::1 ::2 ::ffff:10.0.0.1 ::ffff:127.0.0.2 ::ffff:169.254.169.254
::ffff:192.168.1.1 ::ffff:0:10.0.0.1 ::10.0.0.1 ::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::127.0.0.1
64:ff9b::169.254.169.254 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:a00:1:: 2002:7f00:1::
2002:a9fe:a9fe:: 2002:c0a8:101:: 3fff::1 4000::1 5f00::1 fc00::1 fd00::1 fd00:ec2::254
fd20:ce::254 fe80::1 fe80::a9fe:a9fe fec0::1 ff02::1 ff05::2
""".split()

SPELLINGS = """
127.1 127.0.1 0 0x7f000001 0x7f.1 0x7f.0.0.1 0177.0.0.1 017700000001 2130706433 0xa9fea9fe
2852039166 0251.0376.0251.0376 169.254.43518 10.1 0xa.0.0.1 127.0.0.1. 10.0.0.1. 127.1.
0x7f000001. %31%32%37.1 \uff11\uff12\uff17.1 \u2460\u24ea.\u24ea.\u24ea.\u2460
127\u30020\u30020\u30022
""".split()
"""What lenient resolvers, and whoever normalises names, take for such addresses."""

NAMES = """
metadata metadata.google.internal metadata.google.internal. METADATA.google.internal
metadata.goog metadata.tencentyun.com instance-data instance-data.ec2.internal
""".split()


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server that may be asked, alone of all."""
    async with FaultServer(CONTENT) as server:
        yield server


@pytest.fixture
async def web(server: FaultServer) -> AsyncIterator[Web]:
    """A client that may ask it and the public."""
    allowed = (f"127.0.0.1:{server.port}",)
    web = client(dataclasses.replace(SETTINGS, allow_addresses=allowed))
    yield web
    await web.close()


def literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def test_the_table_is_long() -> None:
    """No line of it got lost."""
    assert len({*ADDRESSES, *SPELLINGS, *NAMES}) >= 90


@pytest.mark.parametrize("target", [*map(literal, ADDRESSES), *SPELLINGS, *NAMES])
async def test_no_url_and_no_redirect_leads_there(
    web: Web, server: FaultServer, target: str
) -> None:
    """Refused by name, and nobody is connected to but the server that redirects."""
    server.redirects["/to"] = f"http://{target}:{server.port}/secret"
    with connections() as tried:
        with pytest.raises((AddressRefused, CallerError)) as refused:
            await read(web, server.redirects["/to"])
        assert refused.value.slug in ("address-refused", "bad-request")
        assert tried == []
        with pytest.raises(AddressRefused):
            await read(web, server.url("/to"))
        assert {address[:2] for address in tried} == {("127.0.0.1", server.port)}
    assert [asked.path for asked in server.asked] == ["/to"]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_no_name_leads_there(web: Web, server: FaultServer, address: str) -> None:
    """Neither one that means the address, nor one that does so from its second answer on."""
    answers = {"bad.test": [address], "rebind.test": ["127.0.0.1", address]}
    with Names(answers).answering() as names, connections() as tried:
        with pytest.raises(AddressRefused):
            await read(web, f"http://bad.test:{server.port}/")
        assert tried == []
        with pytest.raises(AddressRefused):  # the ranges need connections of their own
            await read(web, f"http://rebind.test:{server.port}/")
        assert {seen[:2] for seen in tried} == {("127.0.0.1", server.port)}
        assert names.asked.count("rebind.test") > 1


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.2", "::1", "fd00::1"])
async def test_no_retry_leads_there(server: FaultServer, address: str) -> None:
    """A connection that broke is not made again to another address."""
    settings = dataclasses.replace(
        SETTINGS, allow_addresses=(f"127.0.0.1:{server.port}",), connections=1
    )
    web = client(settings)
    server.faults = [Fault("reset", 3 * MiB // 2)]
    answers = {"rebind.test": ["127.0.0.1", address]}
    with Names(answers).answering(), connections() as tried:
        with pytest.raises(AddressRefused):
            await read(web, f"http://rebind.test:{server.port}/")
        assert {seen[:2] for seen in tried} == {("127.0.0.1", server.port)}
    await web.close()


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_allowed_passes(address: str) -> None:
    """Each of them can be allowed, as itself, with a port, and not by allowing another."""
    host = f"[{address}]" if ":" in address else address
    for entry in (address, f"{host}:8080"):
        Guard(Url(allow_addresses=(entry,))).check(address, 8080)
    other = "10.0.0.2" if ip_address(address).version == 4 else "fd00::2"
    with pytest.raises(AddressRefused):
        Guard(Url(allow_addresses=(other,))).check(address, 8080)


async def test_an_allowed_name_and_address_are_fetched(web: Web, server: FaultServer) -> None:
    """The guard lets through what it should, by name and by redirect."""
    server.redirects["/to"] = f"http://good.test:{server.port}/file"
    with Names({"good.test": ["127.0.0.1"]}).answering():
        assert await read(web, server.url("/to")) == server.content


async def test_a_name_that_is_not_known_is_the_sources_fault(web: Web) -> None:
    """It may be known later: retryable, not refused."""
    with Names().answering(), pytest.raises(SourceUnavailable, match=r"gone\.test is not known"):
        await read(web, "http://gone.test/")


async def test_a_name_that_is_lost_for_a_while_is_waited_for(server: FaultServer) -> None:
    """In the middle of a transfer DNS may fail and come back."""
    settings = dataclasses.replace(SETTINGS, connections=1)
    web = client(settings)
    server.faults = [Fault("reset", 3 * MiB // 2)]
    answers = {"name.test": ["127.0.0.1", "", "", "127.0.0.1"]}
    with Names(answers).answering():
        assert await read(web, f"http://name.test:{server.port}/") == server.content
    await web.close()


@pytest.mark.parametrize(
    ("settings", "url", "passes"),
    [
        (Url(deny_addresses=("8.8.8.0/24",)), "http://8.8.8.8/", False),
        (Url(deny_addresses=("8.8.8.0/24",)), "http://[::ffff:8.8.8.8]/", False),
        (Url(deny_addresses=("8.8.8.8:80",)), "http://8.8.8.8/", False),
        (Url(deny_addresses=("8.8.8.8:80",)), "https://8.8.8.8/", True),
        (Url(allow_addresses=("10.0.0.0/8",)), "http://10.1.1.1/", True),
        (
            Url(allow_addresses=("10.0.0.0/8",), deny_addresses=("10.1.0.0/16",)),
            "http://10.1.1.1/",
            False,
        ),
        (Url(allow_hosts=("images.test",)), "http://images.test/", True),
        (Url(allow_hosts=("images.test",)), "http://IMAGES.test./", True),
        (Url(allow_hosts=("images.test",)), "http://other.test/", False),
        (Url(allow_hosts=("images.test",)), "http://a.images.test/", False),
        (Url(allow_hosts=("*.images.test",)), "http://a.b.images.test/", True),
        (Url(allow_hosts=("*.images.test",)), "http://images.test/", False),
        (Url(allow_hosts=("*.images.test",)), "http://evilimages.test/", False),
        (Url(allow_hosts=("*.images.test",)), "http://images.test.evil/", False),
        (Url(deny_hosts=("*.internal",)), "http://a.internal/", False),
        (Url(deny_hosts=("*.internal",)), "http://a.internal./", False),
        (Url(deny_hosts=("*.internal",), allow_hosts=("a.internal",)), "http://a.internal/", False),
        (Url(allow_hosts=("metadata",)), "http://metadata/", True),
        (Url(schemes=("https",)), "http://images.test/", False),
        (Url(schemes=("https",)), "https://images.test/", True),
        (Url(ports=(443,)), "http://8.8.8.8/", False),
        (Url(ports=(443,)), "https://8.8.8.8/", True),
    ],
)
def test_lists_decide(settings: Url, url: str, *, passes: bool) -> None:
    """By network, host, scheme and port; what is denied stays denied."""
    if passes:
        Guard(settings).check_url(URL(url))
    else:
        with pytest.raises(AddressRefused, match=r"\[url\]"):
            Guard(settings).check_url(URL(url))


@pytest.mark.parametrize(
    "settings",
    [
        Url(allow_hosts=("http://h/",)),
        Url(deny_hosts=("a*b",)),
        Url(deny_hosts=("",)),
        Url(deny_addresses=("10.0.0.0/99",)),
        Url(schemes=("ftp",)),
    ],
)
def test_lists_that_cannot_be_read_are_refused(settings: Url) -> None:
    """A typing error opens nothing silently."""
    with pytest.raises(CallerError, match=r"\[url\]"):
        Guard(settings)


async def test_behind_a_proxy_only_named_hosts_are_asked() -> None:
    """The proxy decides on addresses, so the names are listed."""
    with pytest.raises(AddressRefused, match="allow_hosts"):
        Guard(Url()).check_proxied(URL("http://images.test/"))
    Guard(Url(allow_hosts=("*.test",))).check_proxied(URL("http://images.test/"))


async def test_nobody_who_listens_there_is_reached(web: Web, server: FaultServer) -> None:
    """A socket that listens on loopback sees no connection, whatever leads to it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0.0.0.0"):
            server.redirects["/to"] = f"http://{host}:{port}/"
            for url in (server.redirects["/to"], server.url("/to")):
                with pytest.raises(AddressRefused):
                    await read(web, url)
        await asyncio.sleep(0)
        with pytest.raises(BlockingIOError):
            listening.accept()
