"""Streams of one image: its end is told when it happens."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from importer.api import events
from tests import images
from tests.servers.gated import Gate, gated
from tests.servers.running import config, running
from tests.servers.web import WebServer

MiB = 1 << 20


async def phase(stream: aiohttp.ClientResponse) -> str:
    """Return the phase of the next image that is told."""
    async for line in stream.content:
        if line.startswith(b"data: "):
            image: Any = json.loads(line.removeprefix(b"data: "))
            return str(image["status"]["phase"])
    return ""


async def test_an_end_does_not_wait_for_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changes have their turn, here once in an hour; what is over is told at once."""
    monkeypatch.setattr(events, "INTERVAL", 3600.0)
    settings, gate = config(tmp_path / "data"), Gate("before finish")
    path = images.raw(tmp_path / "disk.raw", 4 * MiB, MiB)
    async with WebServer(path) as source, running(settings, gated(settings, gate)) as client:
        await client.fetch("disk", source.url())
        await gate.reached.wait()
        async with client.http.get(f"{client.base}/v1/images/disk/events") as stream:
            assert await phase(stream) == "Processing"
            assert await phase(stream) == "Processing"  # its turn: how far it is
            gate.opened.set()
            assert await phase(stream) == "Ready"
            assert await phase(stream) == ""
