"""A web server that fails on purpose: written by hand, so that it can be wrong in every way.

Faults are fields. Those that happen once stand in `faults`, each at an offset of the file, so they
happen at the same byte whichever connection carries it. Everything is counted: connections, and
for each request the bytes of its body that were handed to the socket.
"""

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

MiB = 1 << 20
STEP = 256 * 1024

Kind = Literal["reset", "short", "stall", "status", "drop", "shift", "whole"]


@dataclass
class Fault:
    """Something that happens once, when byte *at* of the file is to be sent.

    reset, short, stall: then and there, to the connection. The others to the whole answer that
    would carry the byte: status says no, drop hangs up without a word, shift announces another
    range than was asked for, whole sends all of the file.
    """

    kind: Kind
    at: int = 0
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """A request that came, and what was sent for it."""

    path: str
    headers: dict[str, str]
    start: int = 0
    status: int = 0
    sent: int = 0


class _HangUp(Exception):
    """The connection ends now."""


@dataclass
class FaultServer:
    """Serves one file at every path."""

    content: bytes | Path = b""
    ranges: bool = True
    """Without them every answer is 200 and the whole file."""

    length: Literal["said", "chunked", "close"] = "said"
    """How the end of a body is told: Content-Length, chunked coding, or by hanging up."""

    protocol: str = "HTTP/1.1"
    etag: str = '"one"'
    modified: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    """Of every answer that has a body of the file."""

    announced: int | None = None
    """Size that is told in place of the real one."""

    total: bool = True
    """Without it ranges are told to be of ``*`` bytes."""

    most: int | None = None
    """Bytes that one answer to a range has at most."""

    rate: float = 0
    """Bytes per second of one connection. 0: any."""

    latency: float = 0
    """Seconds before each answer."""

    faults: list[Fault] = field(default_factory=list)
    changes_at: int | None = None
    """Offset; once an answer would begin behind it, the file has another ETag."""

    redirects: dict[str, str] = field(default_factory=dict)
    """Path → Location."""

    expires: int = 0
    """``/first`` redirects to ``/signed/N``, which answers as many requests, then 403. 0: never."""

    users: str = ""
    """Value of Authorization without which the answer is 401."""

    host: str = "127.0.0.1"
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    accepted: int = 0

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[None]] = set()
        self._signed: dict[str, int] = {}
        self._server = await asyncio.start_server(self._connected, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, path: str = "/disk.img") -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{path}"

    @property
    def sent(self) -> int:
        """Bytes of bodies in all."""
        return sum(asked.sent for asked in self.asked)

    async def closed(self) -> None:
        """Wait until no connection is open; the test's timeout bounds it."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.accepted += 1
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, _HangUp):
                while asked := await _request(reader):
                    self.asked.append(asked)
                    await self._answer(asked, reader, writer)
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _answer(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.latency:
            await asyncio.sleep(self.latency)
        if location := self._leads_to(asked.path):
            await self._say(asked, writer, 302, {"Location": location})
        elif self._is_expired(asked.path):
            await self._say(asked, writer, 403, {})
        elif self.users and asked.headers.get("authorization") != self.users:
            await self._say(asked, writer, 401, {})
        else:
            await self._file(asked, reader, writer)

    def _leads_to(self, path: str) -> str | None:
        if self.expires and path == "/first":
            self._signed[f"/signed/{len(self._signed)}"] = self.expires
            return f"/signed/{len(self._signed) - 1}"
        return self.redirects.get(path)

    def _is_expired(self, path: str) -> bool:
        if path not in self._signed:
            return False
        self._signed[path] -= 1
        return self._signed[path] < 0

    async def _file(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        size = self._size()
        start, end = self._range(asked, size)
        if self.changes_at is not None and start >= self.changes_at:
            self.etag, self.changes_at = '"two"', None
        is_part = self.ranges and "range" in asked.headers and self._is_same(asked)
        if is_part and start >= size:
            await self._say(asked, writer, 416, {"Content-Range": f"bytes */{size}"})
            return
        if not is_part:
            start, end = 0, size
        asked.start = start
        fault = self._due(start, end, "status", "drop", "shift", "whole")
        if fault and fault.kind == "drop":
            raise _HangUp
        if fault and fault.kind == "status":
            await self._say(asked, writer, fault.status, fault.headers)
            return
        headers = {"ETag": self.etag, "Last-Modified": self.modified, **self.headers}
        if fault and fault.kind == "whole":
            start, end, is_part = 0, size, False
        if is_part:
            shift = 512 if fault else 0
            told = (self.announced or size) if self.total else "*"
            headers["Content-Range"] = f"bytes {start + shift}-{end + shift - 1}/{told}"
        answer = _head(
            self.protocol, 206 if is_part else 200, self._ended(headers, is_part, start, end)
        )
        asked.status, asked.start = 206 if is_part else 200, start
        writer.write(answer)
        await self._body(asked, reader, writer, end)
        if self.length == "close" or self.protocol == "HTTP/1.0" or self.announced:
            raise _HangUp

    def _range(self, asked: Asked, size: int) -> tuple[int, int]:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
        if not found:
            return 0, size
        start, end = int(found[1]), min(size, int(found[2] or size) + 1)
        return start, min(end, start + (self.most or size))

    def _is_same(self, asked: Asked) -> bool:
        return asked.headers.get("if-range", self.etag) in (self.etag, self.modified)

    def _due(self, start: int, end: int, *kinds: Kind) -> Fault | None:
        """Return the next of the faults that strikes in these bytes; it is used up."""
        due = [f for f in self.faults if f.kind in kinds and start <= f.at < end]
        if not due:
            return None
        first = min(due, key=lambda fault: fault.at)
        self.faults.remove(first)
        return first

    async def _say(
        self, asked: Asked, writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str]
    ) -> None:
        asked.status = status
        writer.write(_head(self.protocol, status, {**headers, "Content-Length": "2"}) + b"no")
        await writer.drain()

    def _ended(
        self, headers: dict[str, str], is_part: bool, start: int, end: int
    ) -> dict[str, str]:
        """Return *headers* with what tells where the body ends."""
        if self.length == "said":
            more = 0 if is_part or self.announced is None else self.announced - self._size()
            return {**headers, "Content-Length": str(end - start + more)}
        return {**headers, "Transfer-Encoding": "chunked" if self.length == "chunked" else ""}

    async def _body(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, end: int
    ) -> None:
        began, at = asyncio.get_running_loop().time(), asked.start
        while at < end:
            stop = min(end, at + STEP)
            fault = self._due(at, stop, "reset", "short", "stall")
            stop = fault.at if fault else stop
            await self._send(asked, writer, at, stop)
            at = stop
            if fault:
                await self._strike(fault, reader, writer)
            if self.rate:
                due = began + asked.sent / self.rate - asyncio.get_running_loop().time()
                await asyncio.sleep(max(0, due))
        if self.length == "chunked":
            writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _send(self, asked: Asked, writer: asyncio.StreamWriter, start: int, end: int) -> None:
        data = self._read(start, end - start)
        if not data:
            return
        if self.length == "chunked":
            data = b"%x\r\n%b\r\n" % (len(data), data)
        writer.write(data)
        await writer.drain()
        asked.sent += end - start

    async def _strike(
        self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if fault.kind == "stall":
            await reader.read(1)  # until the client hangs up
        if fault.kind == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        raise _HangUp

    def _size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def _read(self, offset: int, length: int) -> bytes:
        if isinstance(self.content, bytes):
            return self.content[offset : offset + length]
        with self.content.open("rb") as file:
            file.seek(offset)
            return file.read(length)


async def _request(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return Asked(first.split(" ")[1], headers)


def _head(protocol: str, status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"{protocol} {status} Said"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
