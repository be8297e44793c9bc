"""A watch as a stream of JSON lines."""

import asyncio
import json
from dataclasses import dataclass

from aiohttp import web

from tests.servers.kubernetes.api import FakeKubernetes
from tests.servers.kubernetes.refusals import Refused
from tests.servers.kubernetes.resources import Resource
from tests.servers.kubernetes.selectors import Matches
from tests.servers.kubernetes.store import Change, Object

_LONGEST = 3600.0


async def stream(
    api: FakeKubernetes, http: web.Request, resource: Resource, namespace: str, matches: Matches
) -> web.StreamResponse:
    """Answer a watch: what there is first, unless it names a version to go on from."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(http)
    transport = http.transport  # gone from the request once the client has hung up
    assert transport
    query = http.query
    watch = _Watch(
        api,
        response,
        resource,
        namespace,
        matches,
        revision=int(query.get("resourceVersion") or 0),
        takes_bookmarks=query.get("allowWatchBookmarks") in ("1", "true", "True"),
        seconds=float(query.get("timeoutSeconds") or _LONGEST),
        bookmarks=api.bookmarks,
        ends=api.ends,
    )
    api.streams.add(transport)
    api.store.wake()  # whoever waits for the watch to be open
    try:
        await watch.run()
    finally:
        api.streams.discard(transport)
        api.store.wake()
    return response


@dataclass
class _Watch:
    """One open watch."""

    api: FakeKubernetes
    response: web.StreamResponse
    resource: Resource
    namespace: str
    matches: Matches
    revision: int
    takes_bookmarks: bool
    seconds: float
    bookmarks: int
    ends: int

    async def run(self) -> None:
        """Send until the time is up or the history is lost; a last bookmark says how far."""
        try:
            async with asyncio.timeout(self.seconds):
                await self._send()
        except TimeoutError:
            await self._bookmark()
        except Refused as refused:
            await self._line("ERROR", refused.body)

    async def _send(self) -> None:
        if self.revision == 0:
            await self._first()
        while True:
            if self.ends < self.api.ends:
                await self._changes(self.api.store.happened(*self._where))
                await self._bookmark()
                return
            news = self.api.store.since(*self._where)
            await self._changes(news)
            if self.bookmarks < self.api.bookmarks:
                self.bookmarks = self.api.bookmarks
                await self._bookmark()
            elif not news:
                await self.api.store.changed()

    @property
    def _where(self) -> tuple[Resource, str, int]:
        return self.resource, self.namespace, self.revision

    async def _changes(self, news: list[Change]) -> None:
        for change in news:
            if told := change.seen_by(self.matches):
                await self._line(told.type, told.object)
            self.revision = change.revision

    async def _first(self) -> None:
        store = self.api.store
        revision = store.revision
        for found in store.all(self.resource, self.namespace):
            if self.matches(found):
                await self._line("ADDED", found)
        self.revision = revision

    async def _bookmark(self) -> None:
        if not self.takes_bookmarks:
            return
        self.revision = max(self.revision, self.api.store.revision)
        meta = {"resourceVersion": str(self.revision), "creationTimestamp": None}
        head = {"kind": self.resource.kind, "apiVersion": self.resource.api_version}
        await self._line("BOOKMARK", {**head, "metadata": meta})

    async def _line(self, type_: str, found: Object) -> None:
        line = json.dumps({"type": type_, "object": found}, separators=(",", ":"))
        await self.response.write(line.encode() + b"\n")
