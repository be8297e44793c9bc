"""One long POST to a server elsewhere: its body is handed over piece by piece.

The caller reads its source itself and hands on what it got, so an error of the source never passes
through the HTTP library, which would dress it up as a broken connection. There is no limit on the
whole, which may rightly take hours: only on silence, in either direction.
Raises TargetUnavailable when the connection breaks or stalls, TargetError when its TLS is no good.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import aiohttp
from yarl import URL

from importer import __version__
from importer.errors import TargetError, TargetUnavailable
from importer.units import KiB

CONNECT = 20.0
"""Seconds to connect."""

_MOST = 64 * KiB
_SHOWN = 500
"""Characters of a text that is not ours, in a message."""

_TITLE = re.compile(r"<title>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    text: str
    """The first 64 KiB of it."""

    is_page: bool = False
    """HTML: not the server's own words but those of a proxy before it."""

    @property
    def words(self) -> str:
        """The text in one short line."""
        title = _TITLE.search(self.text) if self.is_page else None
        return one_line(title[1] if title else _TAG.sub(" ", self.text))


def one_line(text: str) -> str:
    """Return the start of *text*, which is not ours, fit for a message."""
    line = " ".join(text[: 4 * _SHOWN].split())[:_SHOWN]
    return "".join(char if char.isprintable() else "?" for char in line) or "an empty answer"


class Sending:
    """A request on its way."""

    def __init__(
        self,
        to: str,
        url: URL,
        headers: Mapping[str, str],
        silence: float,
        tls: ssl.SSLContext | None,
        answer: float,
    ) -> None:
        self._to = to
        self._silence = silence
        self._answer = answer
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self.asked = asyncio.Event()
        """Set when the body is wanted: at once, or, with ``Expect``, when the server says so."""

        self._post = asyncio.create_task(self._posted(url, headers, tls))

    @property
    def answer(self) -> "asyncio.Task[Answer]":
        """Done once the server has answered, or the connection is broken."""
        return self._post

    async def send(self, piece: bytes) -> Answer | None:
        """Hand on *piece*; an answer means that the server has made up its mind before the end."""
        return await self._put(piece)

    async def end(self) -> Answer:
        """Say that this was all, and return the answer."""
        if early := await self._put(None):
            return early
        # The library's own clock starts only when the last byte has left its buffers.
        await asyncio.wait({self._post}, timeout=self._silence + self._answer)
        if not self._post.done():
            raise TargetUnavailable(f"{self._to} took nothing for {self._silence:g} s")
        return self._post.result()

    async def close(self) -> None:
        """Break the connection, unless it is over."""
        self._post.cancel()
        await asyncio.wait({self._post})
        if not self._post.cancelled():
            self._post.exception()  # looked at, so that asyncio does not report it as lost

    async def _put(self, piece: bytes | None) -> Answer | None:
        put = asyncio.ensure_future(self._pieces.put(piece))
        try:
            await asyncio.wait(
                {put, self._post}, timeout=self._silence, return_when=asyncio.FIRST_COMPLETED
            )
            if self._post.done():
                return self._post.result()
            if not put.done():
                raise TargetUnavailable(f"{self._to} took nothing for {self._silence:g} s")
            return None
        finally:
            put.cancel()

    async def _posted(
        self, url: URL, headers: Mapping[str, str], tls: ssl.SSLContext | None
    ) -> Answer:
        async with _named(self._to), _session(self._answer) as session:
            return await _said(session, "POST", url, headers, tls, self._body())

    async def _body(self) -> AsyncIterator[bytes]:
        self.asked.set()
        while (piece := await self._pieces.get()) is not None:
            yield piece

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def sending(
    to: str,
    url: URL,
    headers: Mapping[str, str],
    silence: float,
    tls: ssl.SSLContext | None = None,
    answer: float = 60.0,
) -> Sending:
    """Begin a POST to *url*, called *to* in messages; use it as a context manager.

    *headers*: with the Content-Length, when it is known. *silence*: seconds that the server may
    take nothing. *answer*: seconds from the last byte to its answer.
    """
    return Sending(to, url, headers, silence, tls, answer)


async def asked(
    to: str, method: str, url: URL, headers: Mapping[str, str], tls: ssl.SSLContext | None
) -> Answer:
    """Return the answer to a request without a body. Raises TargetUnavailable, TargetError."""
    async with _named(to), _session(60.0) as session:
        return await _said(session, method, url, headers, tls, None)


@asynccontextmanager
async def _named(to: str) -> AsyncIterator[None]:
    """Let what the library raises be an error about *to*."""
    try:
        yield
    except (aiohttp.ClientSSLError, aiohttp.InvalidURL) as exc:
        raise TargetError(f"{to}: {exc}") from exc
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        raise TargetUnavailable(
            f"{to}: {one_line(str(exc)) if str(exc) else type(exc).__name__}"
        ) from exc


async def _said(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    headers: Mapping[str, str],
    tls: ssl.SSLContext | None,
    body: AsyncIterator[bytes] | None,
) -> Answer:
    async with session.request(
        method, url, data=body, headers=headers, ssl=tls or True, allow_redirects=False
    ) as response:
        return await _answer(response)


def _session(answer: float) -> aiohttp.ClientSession:
    # No proxy from the environment (trust_env): the server is in the cluster.
    return aiohttp.ClientSession(
        headers={"User-Agent": f"image-importer/{__version__}"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=answer),
    )


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MOST:
            break
    text = bytes(body[:_MOST]).decode("utf-8", "replace")
    return Answer(response.status, text, response.content_type == "text/html")
