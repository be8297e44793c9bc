"""Which addresses a URL may lead to: a service inside a network must not become a way into it.

Decided on the address that a socket is about to connect to, after DNS, at every redirect and every
retry; so neither a literal, nor a redirect, nor a name that changes its address gets past. Only
global unicast is allowed unless ``[url] allow_addresses`` says otherwise. IPv4 inside IPv6 is
unpacked first.
"""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, TypeAlias

from yarl import URL

from importer.config import Url
from importer.errors import AddressRefused, CallerError
from importer.sources.secrets import shown

Address: TypeAlias = IPv4Address | IPv6Address

# RFC 6052: NAT64; RFC 4291 section 2.5.5.1: IPv4-compatible.
_NAT64 = IPv6Network("64:ff9b::/96")
_GLOBAL_6 = (IPv6Network("2000::/3"), _NAT64)
"""IANA's IPv6 address space: nothing else is global unicast, but for NAT64's own prefix."""

# IANA's special-purpose registries. Python's is_global is not asked: its answers differ from one
# patch release to the next.
_SPECIAL = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",  # a cloud's metadata lives there
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "168.63.129.16/32",  # Azure's host, reachable from every machine there
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "3fff::/20",
    )
)


@dataclass(frozen=True, slots=True)
class _Rule:
    network: IPv4Network | IPv6Network
    port: int | None

    def allows(self, address: Address, port: int) -> bool:
        return address in self.network and self.port in (None, port)


class Guard:
    """Says no before a socket is made."""

    def __init__(self, settings: Url) -> None:
        self._rules = [_rule(entry) for entry in settings.allow_addresses]
        self._ports = frozenset(settings.ports)

    def check(self, address: str, port: int) -> None:
        """Raise AddressRefused unless *address* (as the socket gets it) and *port* are allowed."""
        found = ip_address(address.partition("%")[0])
        if self._ports and port not in self._ports:
            raise AddressRefused(f"port {port} is not among [url] ports")
        if any(rule.allows(form, port) for rule in self._rules for form in spellings(found)):
            return
        if not is_public(found):
            raise AddressRefused(
                f"{found} is not a public address; [url] allow_addresses may allow it"
            )

    def socket(self, addr_info: Any) -> socket.socket:
        """Make the socket for aiohttp (``TCPConnector(socket_factory=...)``), if it may be."""
        family, kind, protocol, _, address = addr_info
        self.check(address[0], address[1])
        return socket.socket(family, kind, protocol)

    def check_url(self, url: URL) -> None:
        """Raise AddressRefused where *url* already says too much: scheme, port, literal address."""
        if url.scheme not in ("http", "https"):
            raise AddressRefused(f"{shown(str(url))}: only http and https are fetched")
        try:
            literal = ip_address((url.host or "").partition("%")[0])
        except ValueError:
            return
        self.check(str(literal), url.port or 0)


def spellings(address: Address) -> tuple[Address, ...]:
    """Return *address*, and the IPv4 address that the kernel makes of a mapped one.

    Of a tunnel's address (NAT64, 6to4, Teredo) no part may be allowed in place of the whole: who
    wants one allows its IPv6 network.
    """
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (address, mapped) if mapped else (address,)


def is_public(address: Address) -> bool:
    """Say whether *address*, and every IPv4 address inside it, is global unicast."""
    address = spellings(address)[-1]
    if any(address in network for network in _SPECIAL):
        return False
    if isinstance(address, IPv6Address) and not any(address in net for net in _GLOBAL_6):
        return False
    return all(is_public(form) for form in inside(address))


def inside(address: Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that *address* stands for."""
    if not isinstance(address, IPv6Address):
        return
    if address.sixtofour:
        yield address.sixtofour
    if address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)


_WITH_PORT = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([1-9][0-9]{0,4})\Z")


def _rule(entry: str) -> _Rule:
    """Return the rule that *entry* means: a network, an address, or an address with a port."""
    found = _WITH_PORT.match(entry)
    try:
        if found and int(found[3]) <= 65535:
            return _Rule(ip_network(ip_address(found[1] or found[2])), int(found[3]))
        return _Rule(ip_network(entry), None)
    except ValueError as exc:
        raise CallerError(
            f"[url] allow_addresses: {entry!r} is no network, address, ADDRESS:PORT or [IPV6]:PORT"
        ) from exc
