"""One set of authorities for looking at a URL and for reading it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests import images
from tests.servers.certificates import Authority
from tests.servers.listening import Listening
from tests.servers.running import config, running


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Trusted by nobody's system."""
    return Authority(tmp_path / "ca")


@pytest.fixture
async def url(tmp_path: Path, authority: Authority) -> AsyncIterator[str]:
    """Where an image is, behind that authority's certificate."""
    disk = images.raw(tmp_path / "disk.raw")

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(disk)

    app = web.Application()
    app.router.add_get("/disk.raw", answer)
    tls = authority.server("mirror", "127.0.0.1")
    async with Listening(app, "127.0.0.1", tls=tls) as server:
        yield f"{server.url}/disk.raw"


async def test_an_authority_of_ones_own(tmp_path: Path, authority: Authority, url: str) -> None:
    """With `[url] ca_bundle` an image is looked at and imported."""
    settings = config(tmp_path / "data", url={"ca_bundle": str(authority.file)})
    async with running(settings) as client:
        status, info = await client.ask("POST", "/v1/inspect", json={"url": url})
        assert (status, info.get("format")) == (200, "raw"), info
        await client.fetch("disk", url)
        image = await client.until("disk")
        assert image["status"]["phase"] == "Ready", image["status"]["error"]


async def test_an_authority_of_nobodys(tmp_path: Path, url: str) -> None:
    """Without it neither is done, and both say the same."""
    async with running(config(tmp_path / "data")) as client:
        status, refused = await client.ask("POST", "/v1/inspect", json={"url": url})
        assert status == 502
        await client.fetch("disk", url)
        image = await client.until("disk")
        assert image["status"]["error"]["slug"] == refused["error"]["slug"] == "source-failed"
        assert "certificate" in refused["error"]["message"].lower()
