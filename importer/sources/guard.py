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
from fnmatch import fnmatchcase
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


_METADATA = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.tencentyun.com",
        "instance-data",
        "instance-data.ec2.internal",
        "rancher-metadata",
    }
)
"""Names that mean what no image comes from, whatever address a resolver gives them."""


@dataclass(frozen=True, slots=True)
class _Rule:
    network: IPv4Network | IPv6Network
    port: int | None

    def covers(self, address: Address, port: int) -> bool:
        return address in self.network and self.port in (None, port)


class Guard:
    """Says no before a socket is made."""

    def __init__(self, settings: Url) -> None:
        self._rules = [_rule(entry, "allow_addresses") for entry in settings.allow_addresses]
        self._refused = [_rule(entry, "deny_addresses") for entry in settings.deny_addresses]
        self._allowed = [_pattern(entry, "allow_hosts") for entry in settings.allow_hosts]
        self._denied = [_pattern(entry, "deny_hosts") for entry in settings.deny_hosts]
        self._schemes = [_scheme(entry) for entry in settings.schemes]
        self._ports = frozenset(settings.ports)

    def check(self, address: str, port: int) -> None:
        """Raise AddressRefused unless *address* (as the socket gets it) and *port* are allowed."""
        found = ip_address(address.partition("%")[0])
        self._check_port(port)
        if any(rule.covers(form, port) for rule in self._refused for form in spellings(found)):
            raise AddressRefused(f"{found} is among [url] deny_addresses")
        if any(rule.covers(form, port) for rule in self._rules for form in spellings(found)):
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
        """Raise AddressRefused where *url* already says too much: scheme, host, port, literal
        address."""
        if url.scheme not in self._schemes:
            raise AddressRefused(
                f"{shown(str(url))}: only {' and '.join(self._schemes)} are fetched ([url] schemes)"
            )
        self._check_host(url.host or "")
        try:
            literal = ip_address((url.host or "").partition("%")[0])
        except ValueError:
            return
        self.check(str(literal), url.port or 0)

    def check_proxied(self, url: URL) -> None:
        """Raise AddressRefused unless *url*'s host was named: a proxy decides on its address."""
        self._check_port(url.port or 0)
        host = _plain(url.host or "")
        if not any(fnmatchcase(host, pattern) for pattern in self._allowed):
            raise AddressRefused(
                f"{host} is asked through a proxy only as one of [url] allow_hosts"
            )

    def _check_port(self, port: int) -> None:
        if self._ports and port not in self._ports:
            raise AddressRefused(f"port {port} is not among [url] ports")

    def _check_host(self, host: str) -> None:
        host = _plain(host)
        named = any(fnmatchcase(host, pattern) for pattern in self._allowed)
        if any(fnmatchcase(host, pattern) for pattern in self._denied):
            raise AddressRefused(f"{host} is among [url] deny_hosts")
        if self._allowed and not named:
            raise AddressRefused(f"{host} is not among [url] allow_hosts")
        if not named and host in _METADATA:
            raise AddressRefused(f"{host} is a cloud's metadata; [url] allow_hosts may allow it")


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


def _rule(entry: str, setting: str) -> _Rule:
    """Return the rule that *entry* means: a network, an address, or an address with a port."""
    found = _WITH_PORT.match(entry)
    try:
        if found and int(found[3]) <= 65535:
            return _Rule(ip_network(ip_address(found[1] or found[2])), int(found[3]))
        return _Rule(ip_network(entry), None)
    except ValueError as exc:
        raise CallerError(
            f"[url] {setting}: {entry!r} is no network, address, ADDRESS:PORT or [IPV6]:PORT"
        ) from exc


def _plain(host: str) -> str:
    return host.rstrip(".").lower()


_HOST_PATTERN = re.compile(r"(\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:.]+)\Z")


def _pattern(entry: str, setting: str) -> str:
    """Return *entry* as hosts are compared with it: a name, ``*.`` and a name, or ``*``."""
    pattern = _plain(entry)
    if not _HOST_PATTERN.match(pattern):
        raise CallerError(f"[url] {setting}: {entry!r} is no host, *.DOMAIN or *")
    return pattern


def _scheme(entry: str) -> str:
    if entry not in ("http", "https"):
        raise CallerError(f"[url] schemes: {entry!r} is neither http nor https")
    return entry
