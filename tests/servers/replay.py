"""Sends what a transcript recorded to a fake, and checks that it answers as recorded."""

import asyncio
import contextlib
import io
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from tests.servers.clock import HandClock
from tests.servers.recorded import Files, Scene

Step = dict[str, Any]
BOUNDARY = "------------------------ea26c5bfb0c3932f"
NEAR = 1 << 20
"""Allocated bytes may differ so much: file systems add of their own."""


async def until(condition: Callable[[], Any]) -> None:
    """Wait for it; the test's timeout bounds it."""
    while not condition():
        await asyncio.sleep(0.005)


@dataclass
class Sending:
    """A request whose body stopped half-way."""

    rest: asyncio.Event
    answer: asyncio.Task[int]


@dataclass
class Replay:
    """Plays one scene. Subclasses know their server."""

    scene: Scene
    files: Files
    base: str = ""
    tls: ssl.SSLContext | None = None
    clock: HandClock = field(default_factory=HandClock)
    sending: Sending | None = None

    async def play(self) -> None:
        """Take every step; the first that differs fails the test."""
        try:
            for number, step in enumerate(self.scene.steps):
                await self._step(step, f"{self.scene}, step {number}: {str(step)[:300]}")
        finally:
            if self.sending:
                self.sending.answer.cancel()

    async def _step(self, step: Step, where: str) -> None:
        match step:
            case {"request": request, "answer": answer}:
                await self._ask(request, answer, where)
            case {"begin": request, "bytes": length}:
                await self._begin(request, length)
            case {"hang_up": _}:
                await self._hang_up()
            case {"rest": status}:
                assert self.sending, where
                self.sending.rest.set()
                assert await self.sending.answer == status, where
            case {"advance": seconds}:
                self.clock.advance(seconds)
            case {"files": wanted}:
                await self._files(wanted, where)
            case _:
                await self.check(step, where)

    async def check(self, step: Step, where: str) -> None:
        """Check what only this kind of server has."""
        raise NotImplementedError

    # --- requests

    def url(self, request: Step) -> str:
        """Return where a request goes."""
        return self.base + str(request["path"])

    def context(self, request: Step) -> ssl.SSLContext | bool:
        """Return the certificates that it shows and trusts."""
        return self.tls or True

    def token(self, claims: Step) -> str:
        """Return a token that says so."""
        raise NotImplementedError

    def headers(self, request: Step) -> dict[str, str]:
        """Return the headers that matter, as recorded."""
        headers = dict(request.get("headers", {}).items())
        headers.pop("Expect", None)
        if "token" in request:
            headers["Authorization"] = f"Bearer {self.token(request['token'])}"
        if "form" in request:
            headers["Content-Type"] = f"multipart/form-data; boundary={BOUNDARY}"
        return headers

    def body(self, request: Step) -> bytes | None:
        """Return the whole body."""
        if "body" not in request:
            return None
        content = self.files[request["body"]].read_bytes() if request["body"] else b""
        if "form" not in request:
            return content
        named = f'name="{request["form"]}"; filename="{request["body"]}"'
        head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {named}\r\n\r\n"
        return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()

    def _whole(self, request: Step) -> io.BytesIO | None:
        body = self.body(request)
        return None if body is None else io.BytesIO(body)

    @contextlib.asynccontextmanager
    async def _sent(self, request: Step, data: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(self.url(request), encoded=True)
        kinds: dict[str, Any] = {"ssl": self.context(request)}
        kinds["expect100"] = request.get("headers", {}).get("Expect") is not None
        headers = self.headers(request)
        async with (
            aiohttp.ClientSession() as http,
            http.request(request["method"], url, data=data, headers=headers, **kinds) as answer,
        ):
            yield answer

    async def _ask(self, request: Step, answer: Step, where: str) -> None:
        asking = asyncio.create_task(self._compare(request, answer, where))
        for _ in range(request.get("seconds", 0)):
            await until(lambda: self.clock.waiting)
            assert not asking.done(), where
            self.clock.advance(1)
            await asyncio.sleep(0)
        await asking

    async def _compare(self, request: Step, answer: Step, where: str) -> None:
        if answer.get("broken"):
            broken: Any = None
            try:
                async with self._sent(request, self._whole(request)) as got:
                    broken = got.status
            except (aiohttp.ClientError, ConnectionError):
                return
            raise AssertionError(f"{where}: answered {broken}")
        async with self._sent(request, self._whole(request)) as got:
            text = await got.text()
        assert got.status == answer["status"], f"{where}: {got.status} {text}"
        assert text.strip() == answer.get("body", "").strip(), where
        for name, value in answer["headers"].items():
            _same_header(name, value, got, where)
        for name in ("Vary", "Access-Control-Allow-Origin"):
            assert (name in got.headers) == (name.lower() in answer["headers"]), f"{where}: {name}"

    # --- bodies that stop half-way

    async def _begin(self, request: Step, length: int) -> None:
        whole = self.body(request) or b""
        head = whole.index(b"\r\n\r\n") + 4 if "form" in request else 0
        rest = asyncio.Event()

        async def halves() -> AsyncIterator[bytes]:
            yield whole[: head + length]
            await rest.wait()
            yield whole[head + length :]

        sized = {**request, "headers": {"Content-Length": str(len(whole))}}

        async def send() -> int:
            async with self._sent(sized, halves()) as answer:
                return answer.status

        self.sending = Sending(rest, asyncio.create_task(send()))
        await until(lambda: self.received() >= length)

    def received(self) -> int:
        """Return how many bytes of images the server has."""
        raise NotImplementedError

    async def _hang_up(self) -> None:
        assert self.sending
        self.sending.answer.cancel()
        await asyncio.wait({self.sending.answer})
        self.sending = None
        await self.noticed()

    async def noticed(self) -> None:
        """Wait until the server knows that its client went."""
        raise NotImplementedError

    # --- what lies on the disks

    def root(self) -> Path:
        """Return what holds the server's files."""
        raise NotImplementedError

    async def _files(self, wanted: Step, where: str) -> None:
        await self.settled()
        root = self.root()
        found = {f"/{path.relative_to(root)}": path for path in root.rglob("*") if path.is_file()}
        assert set(found) == set(wanted), where
        for name, recorded in wanted.items():
            if name.endswith(".cfg"):
                continue
            size, allocated = recorded if isinstance(recorded, list) else (recorded, None)
            status = found[name].stat()
            if name != "/scratch/tmpimage" or size == status.st_size:
                assert status.st_size == size, f"{where}: {name}"
            if allocated is not None:
                assert abs(status.st_blocks * 512 - allocated) < NEAR, f"{where}: {name}"

    async def settled(self) -> None:
        """Wait until nothing is written any more."""


def _same_header(name: str, value: str, got: aiohttp.ClientResponse, where: str) -> None:
    said = ", ".join(got.headers.getall(name, []))
    if name == "content-type":
        said, value = got.content_type, value.partition(";")[0]
    if name == "vary":
        assert set(said.split(", ")) == set(value.split(", ")), f"{where}: {name}"
        return
    assert said == value, f"{where}: {name}"


def compared(one: Path, other: Path) -> str:
    """Return what ``qemu-img compare`` says of two raw files."""
    words = ("qemu-img", "compare", "-f", "raw", "-F", "raw", str(one), str(other))
    done = subprocess.run(words, capture_output=True, text=True)
    return [line for line in done.stdout.splitlines() if line][-1]
