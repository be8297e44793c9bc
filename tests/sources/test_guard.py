"""No URL leads the service where only its own network should get."""

import socket

import pytest

from importer.config import Url
from importer.errors import AddressRefused, CallerError
from importer.sources.guard import Guard
from importer.sources.http import Web
from importer.sources.secrets import has_secrets, parse, shown
from tests.servers.web import WebServer

REFUSED = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.1.2.3
169.254.169.254 169.254.0.1 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.88.99.1
192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
168.63.129.16 :: ::1 ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 ::8.8.8.8
64:ff9b::a00:1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::808:808 100::1 2001::1
2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:db8::1 2002:7f00:1:: 2002:a00:1:: 2002:a9fe:a9fe::
3fff::1 5f00::1 fc00::1 fd00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1
""".split()

PUBLIC = """
1.1.1.1 8.8.8.8 93.184.215.14 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::808:808
2002:808:808::1
""".split()


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused(address: str) -> None:
    """Private, loopback, link-local, metadata and special addresses, in every spelling."""
    with pytest.raises(AddressRefused, match="allow_addresses"):
        Guard(Url()).check(address, 80)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_allowed(address: str) -> None:
    """The guard is no wall: the internet is open."""
    Guard(Url()).check(address, 443)


@pytest.mark.parametrize(
    ("allowed", "address", "port", "passes"),
    [
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", 80, True),
        ("10.0.0.0/8", "192.168.0.1", 80, False),
        ("10.0.0.0/8", "2001:0:a00:1::5601:5601", 80, False),
        ("10.0.0.0/8", "2002:a00:1::", 80, False),
        ("10.0.0.0/8", "64:ff9b::a00:1", 80, False),
        ("64:ff9b::/96", "64:ff9b::a00:1", 80, True),
        ("127.0.0.1:8081", "127.0.0.1", 8081, True),
        ("127.0.0.1:8081", "127.0.0.1", 8082, False),
        ("[::1]:8081", "::1", 8081, True),
        ("[::1]:8081", "::1", 80, False),
        ("fd00::/8", "fd12::1", 80, True),
    ],
)
def test_the_allow_list_opens_what_it_says(
    allowed: str, address: str, port: int, *, passes: bool
) -> None:
    """A network opens all its ports, an address with a port only that."""
    guard = Guard(Url(allow_addresses=(allowed,)))
    if passes:
        guard.check(address, port)
    else:
        with pytest.raises(AddressRefused):
            guard.check(address, port)


@pytest.mark.parametrize(
    "entry",
    [
        *("", "10.0.0.0/33", "localhost", "10.0.0.1:x", "::1:80:", "1.2.3", "10.0.0.0/8:80"),
        *("10.0.0.1:0", "10.0.0.1:99999", "10.0.0.1:-1", "[10.0.0.1:80", "[::1]:"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused(entry: str) -> None:
    """A typing error in the configuration never opens anything silently."""
    with pytest.raises(CallerError, match="allow_addresses"):
        Guard(Url(allow_addresses=(entry,)))


def test_a_port_list_closes_the_others() -> None:
    """With a list of ports no other port is connected to."""
    guard = Guard(Url(ports=(443,)))
    guard.check("8.8.8.8", 443)
    with pytest.raises(AddressRefused, match="port 22"):
        guard.check("8.8.8.8", 22)


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "1.2.3", "127.0.0.1.", "a.5"]
)
def test_addresses_of_lenient_resolvers_are_refused(host: str) -> None:
    """Spellings that only inet_aton reads never get to a resolver."""
    with pytest.raises(CallerError):
        parse(f"http://{host}/x")


@pytest.mark.parametrize(
    "url", ["ftp://h/x", "file:///etc/passwd", "//h/x", "http://", "http://h:99999/", "http://a b/"]
)
def test_what_is_no_web_url_is_refused(url: str) -> None:
    """Only http and https with a host."""
    with pytest.raises(CallerError):
        parse(url)


@pytest.fixture
def listening() -> socket.socket:
    """A loopback port that counts who comes."""
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    yield server
    server.close()


def accepted(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


async def opened(web: Web, url: str) -> None:
    """Open the source and close it again."""
    source = web.source(url)
    try:
        await source.open()
    finally:
        await source.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.0.0.2"])
async def test_no_packet_leaves_for_a_refused_address(host: str, listening: socket.socket) -> None:
    """A refused address is not even connected to."""
    web = Web(Url())
    with pytest.raises(AddressRefused):
        await opened(web, f"http://{host}:{listening.getsockname()[1]}/x")
    assert not accepted(listening)
    await web.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:7f00:1]", "127.1"])
async def test_a_redirect_to_a_refused_address_is_refused(
    host: str, listening: socket.socket
) -> None:
    """Neither does a public server lead there by a redirect."""
    port = listening.getsockname()[1]
    async with WebServer(redirect={"/a": f"http://{host}:{port}/secret"}) as server:
        web = Web(Url(allow_addresses=(f"127.0.0.1:{server.port}",)))
        with pytest.raises(AddressRefused):
            await opened(web, server.url("/a"))
        await web.close()
    assert not accepted(listening)


async def test_a_name_that_changes_its_address_is_refused(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that answers with an allowed address at first and with loopback then gets nowhere."""
    port = listening.getsockname()[1]
    async with WebServer(bytes(16 << 20)) as server:
        real, answers = socket.getaddrinfo, iter([f"127.0.0.1:{server.port}", f"127.0.0.2:{port}"])

        def rebinding(host: object, _: object, *args: object, **kwargs: object) -> object:
            assert host == "rebind.test"
            address, _, to = next(answers).partition(":")
            return real(address, int(to), *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        web = Web(Url(allow_addresses=(f"127.0.0.1:{server.port}",)))
        url = f"http://rebind.test:{server.port}/x"
        await opened(web, url)
        with pytest.raises(AddressRefused, match=r"127\.0\.0\.2"):
            await opened(web, url)
        await web.close()
    assert not accepted(listening)


@pytest.mark.parametrize(
    ("url", "expected", "secret"),
    [
        ("https://h/x.img", "https://h/x.img", False),
        ("https://u:p@h/x.img", "https://h/x.img", True),
        ("https://h/x?X-Amz-Signature=abc&y=1", "https://h/x?X-Amz-Signature=***&y=***", True),
        ("https://h/x#frag", "https://h/x", False),
    ],
)
def test_what_is_shown_of_a_url_has_no_secrets(url: str, expected: str, *, secret: bool) -> None:
    """Users, passwords and the values of a query are never shown."""
    assert shown(url) == expected
    assert has_secrets(url) is secret
