"""Which client a request comes from: the address that limits count by."""

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from aiohttp import web

from importer.errors import CallerError


class Clients:
    """Tells clients apart, behind proxies too."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = [_network(text) for text in trusted]

    def of(self, request: web.Request) -> str:
        """Return the client of *request*."""
        told = request.headers.getall("X-Forwarded-For", [])
        return self.address(request.remote or "", told)

    def address(self, peer: str, forwarded: Sequence[str]) -> str:
        """Return the client behind *peer*: an IPv4 address, or an IPv6 network of 64 bits.

        *forwarded*, the values of ``X-Forwarded-For``, is read from its end, as far as each hop is
        a trusted proxy: what stands before that, anybody may have written.
        """
        hops = [peer, *reversed(",".join(forwarded).split(","))]
        client = peer
        for hop in hops:
            if (address := _address(hop.strip())) is None:
                break
            client = _shown(address)
            if not any(address in network for network in self._trusted):
                break
        return client


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as exc:
        raise CallerError(f"[service] trusted_proxies: {text!r} is no network: {exc}") from exc


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address as proxies write it: alone, in brackets, with a port."""
    host = text.partition("]")[0].lstrip("[") if text.startswith("[") else text
    host = host.partition(":")[0] if host.count(":") == 1 else host
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _shown(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    # One customer has a network of that size, and may use any address in it (RFC 6177).
    return str(ip_network((address.packed[:8] + bytes(8), 64)))
