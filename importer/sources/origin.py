"""Where a file is asked for, and what goes along: said anew for every request and every redirect.

A plain URL is one kind (`Plain`); whoever has credentials, a proxy or a signature makes another.
"""

import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from yarl import URL

from importer.errors import ImporterError
from importer.sources.secrets import parse


@dataclass(frozen=True, slots=True)
class Request:
    """One GET as it is sent. The guard sees it first."""

    url: URL
    """Without user and password."""

    headers: Mapping[str, str]

    trust: ssl.SSLContext | None = None
    """What is trusted. None: the system's authorities and ``[url] ca_bundle``."""

    proxy: URL | None = None
    """The HTTP proxy to go through; then the host must be among ``[url] allow_hosts``."""


class Origin(Protocol):
    """A file by its address."""

    @property
    def url(self) -> URL:
        """Where the file is asked for first, without user and password."""

    async def request(self, at: URL, headers: Mapping[str, str]) -> Request:
        """Return what is sent to *at*: `url`, or where that led by redirects.

        What was given for `url`'s host is added for no other. A signature is made anew each time.
        Raises SourceError, CallerError.
        """

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ImporterError | None:
        """Return what an answer without the file means; *body* is its beginning.

        None: no more than its status says.
        """


class Plain:
    """A URL and nothing else; its user and password go to its own host alone, as Basic."""

    def __init__(self, url: str) -> None:
        parsed = parse(url)
        self.url = parsed.with_user(None)
        self._basic = basic(parsed)

    async def request(self, at: URL, headers: Mapping[str, str]) -> Request:
        """Return the request as it is, with the user's name where it belongs."""
        own = basic(at) or (self._basic if same_server(at, self.url) else {})
        return Request(at.with_user(None), {**headers, **own})

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> ImporterError | None:
        """Know no more than the status."""
        return None


def same_server(one: URL, other: URL) -> bool:
    """Say whether both have the same scheme, host and port, as curl compares them.

    yarl's `origin` tells a default port that is written out from one that is not.
    """
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def basic(url: URL) -> dict[str, str]:
    """Return the header that says *url*'s user and password; none when it has neither."""
    if not url.user and not url.password:
        return {}
    said = f"{url.user or ''}:{url.password or ''}".encode()
    return {"Authorization": f"Basic {b64encode(said).decode()}"}
