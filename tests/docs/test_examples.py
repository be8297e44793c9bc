"""The examples of docs/api.md, run as they stand by a shell against the real service."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import images
from tests.docs.pages import code, page, sections, ticked
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer

REFUSED = {"POST /v1/images/{name}/cancel": 409, "POST /v1/images/{name}/retry": 409}
"""What is not possible with an image that is ready, as it is when these are run."""

ENDLESS = "GET /v1/events"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service on an empty directory."""
    async with running(config(tmp_path / "data")) as client:
        yield client


def examples() -> list[tuple[str, str]]:
    """Return route and command of every example, in the page's order."""
    return [
        (ticked(heading)[0], command)
        for heading, text in sections(page("api"), "###").items()
        for block in code(text, "sh")
        for command in re.findall(
            r"^(?:head .* )?curl .*?(?=^curl |\Z)", block, re.MULTILINE | re.DOTALL
        )
    ]


async def shell(client: Client, folder: Path, command: str, upload: str) -> tuple[int, str]:
    """Return status and body of what a shell's *command* with curl gets; *upload* is its $U."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f"curl() {{ command curl -sS -w '\\n%{{http_code}}' \"$@\"; }}\n{command}"),
        cwd=folder,
        env=os.environ
        | {"A": client.base, "H": f"Authorization: Bearer {client.service.token}", "U": upload},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    body, _, status = out.decode().rpartition("\n")
    return int(status), body


async def test_the_examples_do_what_the_page_says(client: Client, tmp_path: Path) -> None:
    """Every curl command of the page succeeds, but for those that a ready image refuses."""
    disk = images.make("qcow2", tmp_path).rename(tmp_path / "debian-12.qcow2")
    ran, upload = set(), ""
    async with WebServer(disk) as server:
        for route, command in examples():
            if route == ENDLESS:
                continue
            if "/content" in command:
                await client.ask("DELETE", "/v1/images/debian-12")
            here = re.sub(r"https://cloud\.debian\.org/[^\"]*", server.url(), command)
            status, body = await shell(client, tmp_path, here, upload)
            expected = range(200, 300) if route not in REFUSED else [REFUSED[route]]
            assert status in expected, f"{command}\n{body}"
            if route == "POST /v1/uploads":
                upload = re.findall(r"Location: uploads/(\w+)", body)[0]
            if route == "POST /v1/bench":
                upload = json.loads(body)["id"]
            if route == "POST /v1/images":
                assert (await client.until("debian-12"))["status"]["phase"] == "Ready"
            ran.add(route)
    assert len(ran) >= 14
    assert len(server.requests) >= 2  # the import and the inspection came here
