"""The HTTP proxy on the way to a URL, where there is one.

``[url] http_proxy``, ``https_proxy`` and ``no_proxy``; what they leave out is read from the
variables of the same names, as curl does: lower case before upper case (`config.load`).
A proxy's own address needs no leave of the guard: the configuration named it. What lies behind it
the guard cannot see, so only ``[url] allow_hosts`` are asked for through one.
Raises CallerError for a setting that is no proxy.
"""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from yarl import URL

from importer.config import Url
from importer.errors import CallerError

_Exempt = Callable[[str, int], bool]


class Proxies:
    """Which proxy leads where."""

    def __init__(self, settings: Url) -> None:
        self._by_scheme = {
            "http": _proxy(settings.http_proxy, "http_proxy"),
            "https": _proxy(settings.https_proxy, "https_proxy"),
        }
        self._exempt = [_exempt(entry) for entry in settings.no_proxy]

    def of(self, url: URL) -> URL | None:
        """Return the proxy that *url* is asked through. None: it is asked directly."""
        proxy = self._by_scheme.get(url.scheme)
        if proxy is None:
            return None
        host, port = _plain(url.host or ""), url.port or 0
        return None if any(exempt(host, port) for exempt in self._exempt) else proxy


def _proxy(setting: str, name: str) -> URL | None:
    if not setting:
        return None
    try:
        # curl and most others take a bare HOST:PORT as well.
        url = URL(setting if "://" in setting else f"http://{setting}")
        port = url.port
    except ValueError as exc:
        raise CallerError(f"[url] {name} is no URL of a proxy") from exc
    if url.scheme not in ("http", "https") or not url.host or not port:
        raise CallerError(f"[url] {name}: only http://HOST:PORT and https://HOST:PORT are possible")
    return url


def _exempt(entry: str) -> _Exempt:
    """Return what *entry* of ``no_proxy`` means: ``*``, a host and all below it, or a network.

    A port may follow (``example.org:8443``, ``[::1]:80``).
    """
    if entry == "*":
        return lambda host, port: True
    network = _network(entry)
    name, wanted = (entry, None) if network else _with_port(entry)
    if found := network or _network(name):
        return lambda host, port: wanted in (None, port) and _is_in(host, found)
    name = _plain(name.removeprefix("*")).removeprefix(".")
    if not name:
        raise CallerError(f"[url] no_proxy: {entry!r} is no host, network or *")
    return lambda host, port: wanted in (None, port) and f".{host}".endswith(f".{name}")


def _with_port(entry: str) -> tuple[str, int | None]:
    name, colon, port = entry.rpartition(":")
    if colon and port.isascii() and port.isdigit():
        return name, int(port)
    return entry, None


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _is_in(host: str, network: IPv4Network | IPv6Network) -> bool:
    try:
        return ip_address(host.partition("%")[0]) in network
    except ValueError:
        return False


def _plain(host: str) -> str:
    return host.rstrip(".").lower()
