"""The HTTP API as a client sees it: answers as types, refusals as Refused.

Every call raises Refused: with the service's own error, or ``unreachable`` when there is none.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter

from importer.cli.access import Access, checked_name
from importer.cli.body import Body
from importer.cli.exits import Refused
from importer.errors import ImporterError
from importer.jobs.bench.result import Bench, BenchRequest
from importer.jobs.report import CopyList
from importer.model import Copy, Image, ImageInfo, ImageRequest, PlanReport, Problem, StorageClass
from importer.units import MiB

T = TypeVar("T")

CONNECT = 10.0
"""Seconds to connect. There is no limit on an answer: an import may take hours."""

ANSWER = 64 * MiB
"""Bytes of one answer at most; a list of 10,000 images has about 10 MiB."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said."""

    status: int
    body: bytes


class Client:
    """One service, for as long as one command runs."""

    def __init__(self, access: Access) -> None:
        self._address = access.address()
        self._query = access.query()
        token = access.bearer()
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
            # A kept connection may be closed by the service just when it is used again.
            connector=aiohttp.TCPConnector(force_close=True),
            # One event must fit into it twice.
            read_bufsize=2 * MiB,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def images(self) -> list[Image]:
        """Return the images, of all namespaces when none was named."""
        answer = await self._call("GET", "/v1/images", params=self._query)
        return _items(answer, Image)

    async def image(self, name: str) -> Image:
        """Return one image."""
        return _read(await self._call("GET", self._path(name), params=self._query), Image)

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
        return _read(await self._call("POST", "/v1/images", json=body), Image)

    async def cancel(self, name: str) -> Image:
        """Stop an import."""
        return await self._ask(name, "cancel")

    async def retry(self, name: str) -> Image:
        """Try a failed import again."""
        return await self._ask(name, "retry")

    async def delete(self, name: str) -> None:
        """Remove an image, also from its target."""
        await self._call("DELETE", self._path(name), params=self._query)

    async def classes(self) -> list[StorageClass]:
        """Return the storage classes."""
        return _items(await self._call("GET", "/v1/storageclasses"), StorageClass)

    async def inspect(self, source: Mapping[str, Any]) -> ImageInfo:
        """Return what the image of *source*, as a spec has it, is."""
        return _read(await self._call("POST", "/v1/inspect", json={"source": source}), ImageInfo)

    async def plan(
        self, source: Mapping[str, Any], storage_class: str | None, format: str | None
    ) -> PlanReport:
        """Return how the image of *source*, as a spec has it, would travel."""
        wanted = {"source": source, "storageClass": storage_class, "format": format}
        return _read(await self._call("POST", "/v1/plan", json=wanted), PlanReport)

    async def copies(self, limit: int) -> CopyList:
        """Return copies of volumes, *limit* of those that are over, and classes side by side."""
        answer = await self._call("GET", "/v1/copies", params={"limit": str(limit)})
        return _read(answer, CopyList)

    async def copy_events(self) -> AsyncGenerator[Copy | None, None]:
        """Yield copies as they are, None, and copies that change, until the stream breaks off."""
        async with self._request("GET", "/v1/events") as response:
            if response.status >= 400:
                raise _refused(await _whole(response))
            kind = ""
            async for line in response.content:
                field, _, value = line.decode(errors="replace").strip("\r\n").partition(":")
                if field == "event":
                    kind = value.strip()
                elif field == "data" and kind == "copy":
                    yield _read(Answer(200, value.strip().encode()), Copy)
                elif field == "data" and kind == "synced":
                    yield None

    async def begin_bench(self, request: BenchRequest) -> Bench:
        """Ask for a bench."""
        body = msgspec.to_builtins(request)
        return _read(await self._call("POST", "/v1/bench", json=body), Bench)

    async def bench(self, id: str) -> Bench:
        """Return a bench, and keep it going."""
        return _read(await self._call("GET", f"/v1/bench/{id}"), Bench)

    async def end_bench(self, id: str) -> Bench:
        """End a bench; it then cleans up."""
        return _read(await self._call("DELETE", f"/v1/bench/{id}"), Bench)

    async def upload(self, name: str, body: Body, wanted: Mapping[str, str]) -> Image:
        """Send *body*; return its image, ready or (answer 202) in the target's hands."""
        headers = {"Content-Type": "application/octet-stream"}
        if body.size is not None:
            headers["Content-Length"] = str(body.size)
        answer = await self._call(
            "PUT",
            self._path(name) + "/content",
            params={**self._query, **wanted, **body.query},
            data=_Payload(body),
            # A refusal then costs no byte: the service says when it wants the first one.
            expect100=True,
            headers=headers,
        )
        return _read(answer, Image)

    async def events(self, name: str) -> AsyncGenerator[Image, None]:
        """Yield the image now and at every change, until it is over or the stream breaks off.

        Raises Refused, with ``not-found`` when it is deleted meanwhile.
        """
        path = self._path(name) + "/events"
        async with self._request("GET", path, params=self._query) as response:
            if response.status >= 400:
                raise _refused(await _whole(response))
            kind = ""
            async for line in response.content:
                field, _, value = line.decode(errors="replace").strip("\r\n").partition(":")
                if field == "event":
                    kind = value.strip()
                elif field == "data" and kind == "deleted":
                    raise Refused(_deleted(name))
                elif field == "data":
                    yield _read(Answer(200, value.strip().encode()), Image)

    async def _ask(self, name: str, verb: str) -> Image:
        path = f"{self._path(name)}/{verb}"
        return _read(await self._call("POST", path, params=self._query), Image)

    async def _call(self, method: str, path: str, **options: Any) -> Answer:
        async with self._request(method, path, **options) as response:
            answer = await _whole(response)
            # Of an upload that was refused early, the rest is not sent any more.
            response.close()
        if answer.status >= 400:
            raise _refused(answer)
        if answer.status >= 300:
            raise _odd(f"answers {answer.status}: is it an importer's address?")
        return answer

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self._address + path
        try:
            async with self._session.request(
                method, url, allow_redirects=False, **options
            ) as response:
                yield response
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            raise Refused(_unreachable(f"no service at {self._address}", exc)) from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            # aiohttp reads the body in a task of its own and wraps whatever it raises.
            if isinstance(exc.__cause__, ImporterError):
                raise exc.__cause__ from None
            lost = f"the connection to {self._address} was lost"
            raise Refused(_unreachable(lost, exc)) from exc

    def _path(self, name: str) -> str:
        return "/v1/images/" + quote(checked_name(name), safe="")


class _Payload(payload.Payload):
    """A body whose generators are closed by the task that sends it, however that ends.

    aiohttp leaves a generator half-read when the request is cancelled. The loop's end would close
    it and all that it is made of at once, in no order.
    """

    _autoclose = True

    def __init__(self, body: Body) -> None:
        super().__init__(body)
        self._size = body.size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Nobody asks: it is for payloads that are text."""
        raise TypeError("the body of an upload is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send it."""
        async with aclosing(self._value.chunks()) as chunks:
            async for chunk in chunks:
                await writer.write(chunk)


async def _whole(response: aiohttp.ClientResponse) -> Answer:
    body = bytearray()
    async for chunk in response.content.iter_chunked(MiB):
        body += chunk
        if len(body) > ANSWER:
            raise _odd(f"sends an answer of more than {ANSWER} bytes")
    return Answer(response.status, bytes(body))


def _read(answer: Answer, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.MsgspecError as exc:
        raise _odd(f"sends what is no {kind.__name__}: {exc}; is it of another version?") from exc


def _items(answer: Answer, kind: type[T]) -> list[T]:
    try:
        return msgspec.json.decode(answer.body, type=dict[str, list[kind]])["items"]  # type: ignore[valid-type]
    except (msgspec.MsgspecError, KeyError) as exc:
        raise _odd(f"sends what is no list: {exc}; is it of another version?") from exc


def _refused(answer: Answer) -> Refused:
    try:
        return Refused(msgspec.json.decode(answer.body, type=dict[str, Problem])["error"])
    except (msgspec.MsgspecError, KeyError):
        return _odd(f"answers {answer.status} without an error: is it an importer's address?")


def _odd(what: str) -> Refused:
    return Refused(
        Problem(
            slug="unexpected-answer",
            side="internal",
            retryable=False,
            message=f"the service {what}",
        )
    )


def _unreachable(what: str, error: Exception) -> Problem:
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    reason = os.strerror(number) if number and number > 0 else f"{cause or type(error).__name__}"
    message = f"{what}: {reason}; start it with `importer serve`, or name its address with --server"
    return Problem(slug="unreachable", side="internal", retryable=True, message=message)


def _deleted(name: str) -> Problem:
    message = f"image {name} was deleted"
    return Problem(slug="not-found", side="caller", retryable=False, message=message)
