"""Which server's words a request is answered in, and who authorises it."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import structlog
from aiohttp import web

from importer.api.compat import cdi, harvester, longhorn
from importer.api.problems import Handler
from importer.config import Compat
from importer.errors import CallerError, ImporterError

log = structlog.get_logger()

Worded = Callable[[ImporterError], web.Response]

_BELOW: Mapping[str, Worded] = {
    longhorn.PREFIX: longhorn.worded,
    harvester.PREFIX: harvester.worded,
}


def _words(path: str) -> Worded | None:
    """Return what words errors at *path*, None where they are worded as everywhere."""
    if path in cdi.PATHS:
        return cdi.worded
    return next((words for prefix, words in _BELOW.items() if path.startswith(prefix)), None)


@web.middleware
async def worded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Word errors as the server does whose path this is."""
    words = _words(request.path)
    if words is None:
        return await handler(request)
    try:
        return await handler(request)
    except ImporterError as exc:
        return words(exc)
    except web.HTTPException:
        raise
    except Exception as exc:
        log.exception("a request broke", method=request.method, path=request.path)
        return words(ImporterError(f"{type(exc).__name__}; the service's log says more"))


def authorised_elsewhere(settings: Compat) -> Callable[[web.Request], bool]:
    """Return what says of a request that somebody else than our token authorises it.

    CDI's paths: CDI. Harvester's and Longhorn's: a proxy of `[compat] authorised_proxies`. Raises
    CallerError for networks that are none.
    """
    try:
        networks = [ip_network(text) for text in settings.authorised_proxies]
    except ValueError as exc:
        raise CallerError(f"[compat] authorised_proxies: {exc}") from exc

    def is_so(request: web.Request) -> bool:
        if request.path in cdi.PATHS:
            return True
        if not networks or _words(request.path) is None:
            return False
        peer = request.get_extra_info("peername")
        return bool(peer) and any(_address(str(peer[0])) in network for network in networks)

    return is_so


def _address(text: str) -> IPv4Address | IPv6Address:
    found = ip_address(text.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
