"""What a handler raises becomes an answer, and a log entry where it is nobody's fault but ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from structlog.testing import capture_logs

from importer.api.problems import Handler, errors
from tests.servers.listening import Listening
from tests.servers.running import until


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Listening]:
    app = web.Application(middlewares=[errors])
    app.router.add_get("/", handler)
    async with Listening(app) as server:
        yield server


async def test_a_client_that_leaves_early_is_no_fault() -> None:
    """It is gone before the answer begins: nothing of it is in the log."""
    asked, over = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.set()
        await until(lambda: request.transport is None or request.transport.is_closing())
        response = web.StreamResponse()
        try:
            await response.prepare(request)
            await response.write(b"late")
        finally:
            over.set()
        return response

    with capture_logs() as logs:
        async with serving(handler) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            await asked.wait()
            writer.transport.abort()
            await over.wait()
    assert [entry for entry in logs if entry["event"] == "a request broke"] == []


async def test_what_breaks_is_told_and_logged() -> None:
    """Also a connection of our own that is reset: the client is there and gets its answer."""

    async def handler(_: web.Request) -> web.StreamResponse:
        raise ConnectionResetError("somebody else's")

    with capture_logs() as logs:
        async with (
            serving(handler) as server,
            aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http,
            http.get("/") as response,
        ):
            problem = (await response.json())["error"]
    assert (response.status, problem["slug"]) == (500, "internal")
    assert [entry["event"] for entry in logs] == ["a request broke"]
