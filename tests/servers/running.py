"""The real service on a real socket, in the test's own loop, and a client for it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp

from importer.app import Service, listening, service
from importer.config import Config, apply
from importer.targets import Shelf

OVER = {"Ready", "Failed", "Cancelled"}

SETTINGS: dict[str, dict[str, Any]] = {
    "service": {"listen": "127.0.0.1:0", "grace": 1.0},
    "jobs": {"backoff": 0.05, "backoff_most": 0.1},
    "limits": {"free_space": 0},
    "url": {"allow_addresses": ["127.0.0.0/8"]},
    "log": {"level": "error"},
}


def config(data: Path, **changes: dict[str, Any]) -> Config:
    """Return settings for tests on *data*; *changes* are sections."""
    merged = {section: dict(values) for section, values in SETTINGS.items()}
    merged["service"]["data"] = str(data)
    for section, values in changes.items():
        merged.setdefault(section, {}).update(values)
    return apply(Config(), merged)


@dataclass
class Client:
    """Asks the service as any client would."""

    http: aiohttp.ClientSession
    base: str
    data: Path
    service: Service

    async def ask(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        """Return the status and the JSON of an answer."""
        async with self.http.request(method, self.base + path, **kwargs) as response:
            body = await response.read()
            return response.status, (await response.json() if body else None)

    async def put(self, name: str, body: Any, **query: Any) -> tuple[int, Any]:
        """Upload *body* as *name*."""
        body = io.BytesIO(body) if isinstance(body, bytes | bytearray) else body
        return await self.ask("PUT", f"/v1/images/{name}/content", data=body, params=query)

    async def fetch(self, name: str, url: str, **spec: Any) -> tuple[int, Any]:
        """Ask for an import of *url*."""
        source = {"type": "url", "url": url}
        wanted = {"name": name, "spec": {"source": source, **spec}}
        return await self.ask("POST", "/v1/images", json=wanted)

    async def image(self, name: str) -> Any:
        """Return an image."""
        status, image = await self.ask("GET", f"/v1/images/{name}")
        assert status == 200, image
        return image

    async def until(self, name: str, *phases: str) -> Any:
        """Return the image once it is in one of *phases* (none named: once it is over).

        Of one that is over, nothing is being tidied up any more.
        """
        wanted = set(phases) or OVER
        async with self.http.get(f"{self.base}/v1/events") as stream:
            async for line in stream.content:
                told = json.loads(line[6:]) if line.startswith(b"data: ") else {}
                if told.get("name") != name or "status" not in told:
                    continue
                image = await self.image(name)
                if image["status"]["phase"] in wanted:
                    return await self._at_rest(image)
                assert image["status"]["phase"] not in OVER, image
        raise AssertionError("the event stream ended")

    async def _at_rest(self, image: Any) -> Any:
        if image["status"]["phase"] in OVER:
            runner, record = self.service.runner, SimpleNamespace(uid=image["uid"])
            await until(lambda: not runner.is_running(record))
        return image

    async def names(self) -> dict[str, str]:
        """Return the phase of every image by name."""
        _, listed = await self.ask("GET", "/v1/images")
        return {image["name"]: image["status"]["phase"] for image in listed["items"]}

    def files(self) -> list[str]:
        """Return every file in the images' directory, hidden ones too."""
        root = self.data / "images"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@asynccontextmanager
async def running(
    settings: Config, shelves: Mapping[str, Shelf] | None = None, port: int = 0
) -> AsyncIterator[Client]:
    """Run the service until the block ends."""
    async with (
        service(settings, shelves) as run,
        listening(run.app, "127.0.0.1", port, settings) as base,
        aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {run.token}"},
            timeout=aiohttp.ClientTimeout(total=None, sock_read=30),
        ) as http,
    ):
        yield Client(http, base, Path(settings.service.data), run)
        await run.runner.stop()


async def until(condition: Any) -> None:
    """Wait until *condition* holds; the test's own timeout bounds it."""
    while not condition():  # conditions of other processes tell nobody
        await asyncio.sleep(0.01)
