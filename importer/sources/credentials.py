"""Headers that an import gives to its own server, and to no other.

"Its own" is curl's rule: scheme, host and port are those of the first URL. Where a redirect leads
anywhere else, none of these headers goes along; where it leads back, they do.
Raises CallerError, without the header's value, for one that would change what the request is.
"""

import re
import ssl
from collections.abc import Mapping

from multidict import CIMultiDict
from yarl import URL

from importer.errors import CallerError, ImporterError
from importer.sources.origin import Plain, Request, same_server
from importer.sources.proxy import Proxies

HEADERS = 32
"""Headers of one import at most."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}\Z")  # a token, RFC 9110 section 5.6.2
_VALUE = re.compile(r"[\x20-\x7e]{1,8192}\Z")
_OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)
"""They say what is asked for, how the message is cut, or who is between: not an import's matter."""


def check_headers(headers: Mapping[str, str], url: URL) -> None:
    """Raise CallerError for *headers* that cannot be sent along to *url*."""
    if len(headers) > HEADERS:
        raise CallerError(f"an import has {HEADERS} headers at most, not {len(headers)}")
    lower = [name.lower() for name in headers]
    for name, value in headers.items():
        _check(name, value)
        if lower.count(name.lower()) > 1:
            raise CallerError(f"header {name} is given twice")
    if "authorization" in lower and (url.user or url.password):
        raise CallerError("give a user in the URL or an Authorization header, not both")


class Credentialed:
    """A URL with what its import gave: headers, trust, and the proxy that leads there."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        trust: ssl.SSLContext | None,
        proxies: Proxies,
    ) -> None:
        self._plain = Plain(url)
        self._headers = dict(headers)
        self._trust = trust
        self._proxies = proxies

    @property
    def url(self) -> URL:
        """Where the file is asked for first, without user and password."""
        return self._plain.url

    async def request(self, at: URL, headers: Mapping[str, str]) -> Request:
        """Return what is sent to *at*, which may be where a redirect led."""
        plain = await self._plain.request(at, headers)
        sent = CIMultiDict(self._headers if same_server(at, self.url) else {})
        sent.update(plain.headers)
        return Request(plain.url, sent, self._trust, self._proxies.of(at))

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ImporterError | None:
        """Know no more than the status."""
        return None


def _check(name: str, value: str) -> None:
    if not _NAME.match(name):
        raise CallerError(f"{name[:100]!r} is no header's name")
    if name.lower() in _OURS:
        raise CallerError(f"header {name} is the service's own and cannot be given")
    if not _VALUE.match(value) or value != value.strip():
        raise CallerError(
            f"the value of header {name} is empty, too long, or has line breaks, outer spaces or "
            "characters that are not ASCII"
        )
