"""The description of the API is true: schemathesis tries it against the real service."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.api.routes import Route
from tests.servers.running import Client, config, running


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service on an empty directory, which gives up silent clients soon."""
    async with running(config(tmp_path / "data", upload={"stall": 2.0})) as client:
        yield client


async def test_every_route_is_described(client: Client) -> None:
    """Whatever the router serves below /v1, and the health checks, stand in the description."""
    _, described = await client.ask("GET", "/openapi.json")
    served = {
        (route.method, route.resource.canonical)
        for route in client.service.app.router.routes()
        if route.resource and not route.resource.canonical.startswith(("/static", "/favicon"))
        if route.resource.canonical != "/" and route.method != "*"  # only another way to the rest
    }
    written = {
        (method.upper(), path)
        for path, operations in described["paths"].items()
        for method in operations
    }
    assert written == served
    assert Route  # the description is made from these, nothing is written twice


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_the_answers_are_as_described(client: Client, tmp_path: Path) -> None:
    """Hundreds of generated requests get statuses, media types and bodies of the description."""
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run"),
        f"{client.base}/openapi.json",
        *("-H", f"Authorization: Bearer {client.service.token}"),
        *("--checks", "all", "--exclude-checks", EXCLUDED),
        *("--max-examples", "15", "--seed", "1", "--phases", "examples,coverage,fuzzing"),
        *("--exclude-path-regex", "events$"),
        *("--request-timeout", "20", "--generation-database", "none", "--no-color"),
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.api.hooks", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()[-6000:]


ROOT = Path(__file__).resolve().parents[2]
"""Where `tests` is: the hooks are imported from there."""

SETTINGS = """
[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 409, 412, 413, 415, 422]
missing_required_header.expected-statuses = [400, 412]
"""
"""412 is what tus asks for where a client does not say that it speaks it."""

EXCLUDED = ",".join(
    (
        # A body is refused for what it is, not for its shape: any bytes are a valid upload.
        "positive_data_acceptance",
        # The scrape and health routes answer what they answer whatever is asked besides.
        "unsupported_method",
    )
)
