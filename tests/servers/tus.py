"""A client of tus 1.0.0 that does one request at a time, as told."""

import base64
import io
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

MEDIA = "application/offset+octet-stream"


def metadata(**values: str) -> str:
    """Return *values* as ``Upload-Metadata``."""
    return ",".join(
        f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in values.items()
    )


@dataclass
class Answer:
    """What the service said."""

    status: int
    headers: Any
    body: bytes

    @property
    def offset(self) -> int:
        return int(self.headers["Upload-Offset"])


class Service(Protocol):
    """Where it is, and a session that has its token."""

    base: str
    http: aiohttp.ClientSession


@dataclass
class Tus:
    """Speaks to one service; *http* may be another session than the client's own."""

    client: Service
    http: aiohttp.ClientSession | None = None
    headers: dict[str, str] = field(default_factory=lambda: {"Tus-Resumable": "1.0.0"})

    async def ask(self, method: str, path: str, data: Any = None, **headers: str) -> Answer:
        """Make a request; underscores in *headers* are hyphens."""
        sent = {**self.headers, **{key.replace("_", "-"): text for key, text in headers.items()}}
        data = io.BytesIO(data) if isinstance(data, bytes) else data
        http = self.http or self.client.http
        async with http.request(
            method, self.client.base + path, data=data, headers=sent, allow_redirects=False
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def create(self, name: str, size: int | None, data: Any = None, **told: str) -> Answer:
        """Begin an upload."""
        says = {"Upload_Defer_Length": "1"} if size is None else {"Upload_Length": str(size)}
        if data is not None:
            says["Content_Type"] = MEDIA
        told = {"name": name, **told}
        return await self.ask("POST", "/v1/uploads", data, Upload_Metadata=metadata(**told), **says)

    async def begun(self, name: str, size: int | None, **told: str) -> str:
        """Begin an upload and return its path."""
        answer = await self.create(name, size, **told)
        assert answer.status == 201, answer
        return "/v1/" + answer.headers["Location"]

    async def patch(self, path: str, offset: int, data: Any, **headers: str) -> Answer:
        """Send *data* from *offset* on."""
        headers = {"Content_Type": MEDIA, "Upload_Offset": str(offset), **headers}
        return await self.ask("PATCH", path, data, **headers)

    async def head(self, path: str) -> Answer:
        """Ask how far the upload is."""
        return await self.ask("HEAD", path)

    async def send(self, path: str, data: bytes) -> int:
        """Send all of *data*, however often the connection breaks; return how often it did."""
        broken = 0
        while True:
            try:
                offset = (await self.head(path)).offset
                if offset == len(data):
                    return broken
                answer = await self.patch(path, offset, data[offset:])
                assert answer.status in (204, 400, 409), answer
            except (aiohttp.ClientError, OSError):
                broken += 1
