"""The way to a service, that breaks: connections are reset after so many bytes of requests."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

_STEP = 64 * 1024


@dataclass
class Cutting:
    """Passes TCP on to *base*; each of *points*, in bytes of all requests, costs a connection."""

    base: str
    points: list[int]
    passed: int = 0
    cuts: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = urlsplit(self.base)
        try:
            far_reader, far = await asyncio.open_connection(there.hostname, there.port)
        except OSError:  # nobody listens there just now
            writer.transport.abort()
            return
        ends = {writer, far}
        self._open |= ends
        back = asyncio.create_task(self._answers(far_reader, writer))
        try:
            with suppress(OSError):
                await self._requests(reader, far)
        finally:
            for end in ends:
                end.transport.abort()
            await back
            self._open -= ends

    async def _requests(self, reader: asyncio.StreamReader, far: asyncio.StreamWriter) -> None:
        while data := await reader.read(_STEP):
            self.passed += len(data)
            if self.points and self.passed >= self.points[0]:
                self.cuts += 1
                while self.points and self.passed >= self.points[0]:
                    self.points.pop(0)
                return
            far.write(data)
            await far.drain()

    async def _answers(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_STEP):
                near.write(data)
                await near.drain()
        near.transport.abort() if near.transport.is_closing() else near.close()
