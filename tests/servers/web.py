"""A web server whose faults are fields: real sockets, real HTTP, wrong as servers are wrong."""

import asyncio
import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from aiohttp import web

MiB = 1 << 20


@dataclass
class WebServer:
    """Serves one file at every path; what it does wrong is set before or while it runs."""

    content: bytes | Path = b""
    """The file. A path is read as it is asked for, so it may be as large as the disk's holes."""

    ranges: bool = True
    length: bool = True
    """Without it the answer is chunked and nobody knows where it ends."""

    etag: str = '"one"'
    short_after: int | None = None
    """Bytes after which the connection is cut, although more were announced."""

    stall_after: int | None = None
    """Bytes after which nothing comes until `released`."""

    statuses: list[int] = field(default_factory=list)
    """Answers of the first requests; then all is well."""

    redirect: dict[str, str] = field(default_factory=dict)
    """Path → Location."""

    headers: dict[str, str] = field(default_factory=dict)

    requests: list[web.BaseRequest] = field(default_factory=list)
    sent: int = 0
    """Bytes of bodies that were handed to sockets."""

    port: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    stalled: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._answer))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.released.set()
        await self._runner.cleanup()

    def url(self, path: str = "/disk.img") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def _read(self, offset: int, length: int) -> bytes:
        if isinstance(self.content, bytes):
            return self.content[offset : offset + length]
        with self.content.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        if self.statuses:
            status = self.statuses.pop(0)
            if status != 200:
                return web.Response(status=status, text="no")
        if request.path in self.redirect:
            return web.Response(status=302, headers={"Location": self.redirect[request.path]})
        return await self._file(request)

    async def _file(self, request: web.BaseRequest) -> web.StreamResponse:
        size = self._size()
        start, end, status = 0, size, 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        same = request.headers.get("If-Range", self.etag) == self.etag
        headers = {"ETag": self.etag, **self.headers}
        if self.ranges and asked and same:
            start, end = int(asked[1]), min(size, int(asked[2] or size) + 1)
            if start >= size:
                return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
            status, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{size}"
        response = web.StreamResponse(status=status, headers=headers)
        if self.length:
            response.content_length = end - start
        await response.prepare(request)
        if request.method != "HEAD":
            with contextlib.suppress(ConnectionResetError):  # the client has seen enough
                await self._send(request, response, start, end)
        return response

    async def _send(
        self, request: web.BaseRequest, response: web.StreamResponse, start: int, end: int
    ) -> None:
        done = 0
        while start + done < end:
            stop = min(end - start, done + MiB)
            for bound in (self.short_after, self.stall_after):
                if bound is not None and done < bound:
                    stop = min(stop, bound)
            if done == self.short_after:
                assert request.transport is not None
                request.transport.close()
                return
            if done == self.stall_after and not self.released.is_set():
                self.stalled.set()
                await self.released.wait()
            chunk = self._read(start + done, stop - done)
            await response.write(chunk)
            self.sent += len(chunk)
            done = stop
        await response.write_eof()
