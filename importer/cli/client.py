"""The HTTP API as a client sees it: answers as types, refusals as Refused.

Every call raises Refused: with the service's own error, or as Unreachable or TooLarge when it comes
from the way there.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from importer.cli.access import Access, checked_name
from importer.cli.exits import Refused
from importer.errors import ImporterError, Side
from importer.jobs.bench.result import Bench, BenchRequest
from importer.jobs.report import CopyList
from importer.model import Copy, Image, ImageInfo, ImageRequest, PlanReport, Problem, StorageClass
from importer.units import MiB

T = TypeVar("T")

CONNECT = 10.0
"""Seconds to connect. There is no limit on an answer: an import may take hours."""

_OURS = {
    401: ("unauthorized", "the token is missing or wrong: give --token or IMPORTER_TOKEN"),
    404: ("not-found", "there is no such thing at the service"),
    409: ("conflict", "somebody else changes it just now"),
}
"""What a status says where an answer has no body (HEAD)."""

ANSWER = 64 * MiB
"""Bytes of one answer at most; a list of 10,000 images has about 10 MiB."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Unreachable(Refused):
    """No service answers, the connection broke, or a proxy says that nobody is behind it."""

    def __init__(self, problem: Problem, what: str = "") -> None:
        super().__init__(problem)
        self.what = what or problem.message
        """The same without advice."""


class TooLarge(Refused):
    """Something on the way, not the service, takes no request of this size."""


class Client:
    """One service, for as long as one command runs."""

    def __init__(self, access: Access) -> None:
        self.address = access.address()
        self.namespace = access.namespace
        self._query = access.query()
        token = access.bearer()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        # A kept connection may be closed by the service just when it is used again.
        self._session = self._opened(aiohttp.TCPConnector(force_close=True))
        self._kept = self._opened(aiohttp.TCPConnector(limit=0))
        """For requests in a row whose loss is made good."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()
        await self._kept.close()

    def _opened(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
            connector=connector,
            # One event must fit into it twice.
            read_bufsize=2 * MiB,
        )

    async def images(self) -> list[Image]:
        """Return the images, of all namespaces when none was named."""
        answer = await self.call("GET", "/v1/images", params=self._query)
        return _items(answer, Image)

    async def image(self, name: str) -> Image:
        """Return one image."""
        return _read(await self.call("GET", self._path(name), params=self._query), Image)

    async def find(self, name: str) -> Image | None:
        """Return one image, or None when there is none of that name."""
        try:
            return await self.image(name)
        except Refused as exc:
            if exc.problem.slug == "not-found":
                return None
            raise

    async def create(self, request: ImageRequest) -> Image:
        """Ask for an image."""
        body = msgspec.to_builtins(request)
        return _read(await self.call("POST", "/v1/images", json=body), Image)

    async def cancel(self, name: str) -> Image:
        """Stop an import."""
        return await self._ask(name, "cancel")

    async def retry(self, name: str) -> Image:
        """Try a failed import again."""
        return await self._ask(name, "retry")

    async def delete(self, name: str) -> None:
        """Remove an image, also from its target."""
        await self.call("DELETE", self._path(name), params=self._query)

    async def classes(self) -> list[StorageClass]:
        """Return the storage classes."""
        return _items(await self.call("GET", "/v1/storageclasses"), StorageClass)

    async def inspect(self, source: Mapping[str, Any]) -> ImageInfo:
        """Return what the image of *source*, as a spec has it, is."""
        return _read(await self.call("POST", "/v1/inspect", json={"source": source}), ImageInfo)

    async def plan(
        self, source: Mapping[str, Any], storage_class: str | None, format: str | None
    ) -> PlanReport:
        """Return how the image of *source*, as a spec has it, would travel."""
        wanted = {"source": source, "storageClass": storage_class, "format": format}
        return _read(await self.call("POST", "/v1/plan", json=wanted), PlanReport)

    async def copies(self, limit: int) -> CopyList:
        """Return copies of volumes, *limit* of those that are over, and classes side by side."""
        answer = await self.call("GET", "/v1/copies", params={"limit": str(limit)})
        return _read(answer, CopyList)

    async def copy_events(self) -> AsyncGenerator[Copy | None, None]:
        """Yield copies as they are, None, and copies that change, until the stream breaks off."""
        async with aclosing(self._told("/v1/events", {})) as told:
            async for kind, answer in told:
                if kind == "copy":
                    yield _read(answer, Copy)
                elif kind == "synced":
                    yield None

    async def begin_bench(self, request: BenchRequest) -> Bench:
        """Ask for a bench."""
        body = msgspec.to_builtins(request)
        return _read(await self.call("POST", "/v1/bench", json=body), Bench)

    async def bench(self, id: str) -> Bench:
        """Return a bench, and keep it going."""
        return _read(await self.call("GET", f"/v1/bench/{id}"), Bench)

    async def end_bench(self, id: str) -> Bench:
        """End a bench; it then cleans up."""
        return _read(await self.call("DELETE", f"/v1/bench/{id}"), Bench)

    async def events(self, name: str) -> AsyncGenerator[Image, None]:
        """Yield the image now and at every change, until it is over or the stream breaks off.

        Raises Refused, with ``not-found`` when it is deleted meanwhile.
        """
        path = self._path(name) + "/events"
        async with aclosing(self._told(path, self._query)) as told:
            async for kind, answer in told:
                if kind == "deleted":
                    raise Refused(_deleted(name))
                yield _read(answer, Image)

    async def _told(
        self, path: str, query: Mapping[str, str]
    ) -> AsyncGenerator[tuple[str, Answer], None]:
        """Yield the events of a stream, each with its kind, until it breaks off."""
        async with self._request("GET", path, params=query) as response:
            if response.status >= 400:
                raise _refused(await _whole(response))
            kind = ""
            async for line in response.content:
                field, _, value = line.decode(errors="replace").strip("\r\n").partition(":")
                if field == "event":
                    kind = value.strip()
                elif field == "data":
                    yield kind, Answer(200, value.strip().encode())

    async def _ask(self, name: str, verb: str) -> Image:
        path = f"{self._path(name)}/{verb}"
        return _read(await self.call("POST", path, params=self._query), Image)

    async def call(self, method: str, path: str, **options: Any) -> Answer:
        """Make one request. Raises Refused."""
        async with self._request(method, path, **options) as response:
            answer = await _whole(response)
            # Of an upload that was refused early, the rest is not sent any more.
            response.close()
        if answer.status >= 400:
            raise _refused(answer)
        if answer.status >= 300:
            raise odd(f"answers {answer.status}: is it an importer's address?")
        return answer

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, *, kept: bool = False, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url, session = self.address + path, self._kept if kept else self._session
        try:
            async with session.request(method, url, allow_redirects=False, **options) as response:
                yield response
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            raise _unreachable(f"no service at {self.address}", exc) from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            # aiohttp reads the body in a task of its own and wraps whatever it raises.
            if isinstance(exc.__cause__, ImporterError):
                raise exc.__cause__ from None
            lost = f"the connection to {self.address} was lost"
            raise _unreachable(lost, exc) from exc

    def _path(self, name: str) -> str:
        return "/v1/images/" + quote(checked_name(name), safe="")


async def _whole(response: aiohttp.ClientResponse) -> Answer:
    body = bytearray()
    async for chunk in response.content.iter_chunked(MiB):
        body += chunk
        if len(body) > ANSWER:
            raise odd(f"sends an answer of more than {ANSWER} bytes")
    return Answer(response.status, bytes(body), response.headers)


def _read(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.MsgspecError as exc:
        raise odd(f"sends what is no {kind.__name__}: {exc}; is it of another version?") from exc


def _items(answer: Answer, kind: type[T]) -> list[T]:
    try:
        return msgspec.json.decode(answer.body, type=dict[str, list[kind]])["items"]  # type: ignore[valid-type]
    except (msgspec.MsgspecError, KeyError) as exc:
        raise odd(f"sends what is no list: {exc}; is it of another version?") from exc


def _refused(answer: Answer) -> Refused:
    try:
        return Refused(msgspec.json.decode(answer.body, type=dict[str, Problem])["error"])
    except (msgspec.MsgspecError, KeyError):
        return _without_error(answer.status)


def _without_error(status: int) -> Refused:
    """Return what *status* means when the service's own error is not in the answer."""
    if status in _OURS:
        slug, message = _OURS[status]
        return Refused(_problem(slug, "caller", message))
    if status in (502, 503, 504):
        what = f"a proxy answers {status}: the service behind it does not"
        return Unreachable(_problem("unreachable", "internal", what, retryable=True))
    if status == 413:
        what = "a proxy answers 413: it takes no request of this size"
        return TooLarge(_problem("unexpected-answer", "internal", what))
    return odd(f"answers {status} without an error: is it an importer's address?")


def odd(what: str) -> Refused:
    """Return what to raise when the service does *what* no importer does."""
    return Refused(
        Problem(
            slug="unexpected-answer",
            side="internal",
            retryable=False,
            message=f"the service {what}",
        )
    )


def _problem(slug: str, side: Side, message: str, *, retryable: bool = False) -> Problem:
    return Problem(slug=slug, side=side, retryable=retryable, message=message)


def _unreachable(what: str, error: Exception) -> Unreachable:
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    reason = os.strerror(number) if number and number > 0 else f"{cause or type(error).__name__}"
    what = f"{what}: {reason}"
    message = f"{what}; start it with `importer serve`, or name its address with --server"
    return Unreachable(_problem("unreachable", "internal", message, retryable=True), what)


def _deleted(name: str) -> Problem:
    message = f"image {name} was deleted"
    return Problem(slug="not-found", side="caller", retryable=False, message=message)
