"""One long POST to a server elsewhere, and what servers do to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from yarl import URL

from importer.errors import TargetError, TargetUnavailable
from importer.targets.remote import Answer, Sending, one_line, sending
from importer.units import MiB
from tests.servers.listening import Listening, application
from tests.servers.replay import until

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Server:
    """Answers as it is told."""

    def __init__(self) -> None:
        self.handler: Handler = self.everything
        self.received = 0
        self.headers: dict[str, str] = {}

    async def handle(self, request: web.Request) -> web.Response:
        self.headers = dict(request.headers)
        return await self.handler(request)

    async def everything(self, request: web.Request) -> web.Response:
        async for chunk in request.content.iter_any():
            self.received += len(chunk)
        return web.Response(text="thanks")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def url(server: Server) -> AsyncIterator[URL]:
    app = application()
    app.router.add_post("/{rest:.*}", server.handle)
    async with Listening(app) as listening:
        yield URL(listening.url) / "upload"


def to(url: URL, silence: float = 30.0, size: int = 0, answer: float = 30.0) -> Sending:
    headers = {"Content-Length": str(size)} if size else {}
    return sending("the server", url, headers, silence, answer=answer)


async def flood(request: Sending) -> Answer:
    """Send until the server has made up its mind."""
    while (answer := await request.send(bytes(MiB))) is None:
        pass
    return answer


async def test_pieces_arrive_with_an_exact_length(server: Server, url: URL) -> None:
    """No chunked coding where the length is known, and nothing that we do not send on purpose."""
    async with to(url, size=3 * MiB) as request:
        for _ in range(3):
            assert await request.send(bytes(MiB)) is None
        answer = await request.end()
    assert answer == Answer(200, "thanks")
    assert server.received == 3 * MiB
    assert server.headers["Content-Length"] == str(3 * MiB)
    assert "Transfer-Encoding" not in server.headers
    assert "Cookie" not in server.headers


async def test_an_early_answer_ends_it(server: Server, url: URL) -> None:
    """A server that has heard enough is heard, whatever was still to be sent."""

    async def enough(request: web.Request) -> web.Response:
        await request.content.readany()
        return web.Response(
            status=413, text="<title>413 Too Large</title>", content_type="text/html"
        )

    server.handler = enough
    async with to(url) as request:
        answer = await flood(request)
    assert (answer.status, answer.is_page, answer.words) == (413, True, "413 Too Large")


async def test_a_server_that_takes_nothing(server: Server, url: URL) -> None:
    """It is given up after the silence that it is allowed, also after the last piece."""
    done = asyncio.Event()

    async def deaf(request: web.Request) -> web.Response:
        await done.wait()
        return web.Response()

    server.handler = deaf
    async with to(url, silence=0.2) as request:
        with pytest.raises(TargetUnavailable, match=r"the server took nothing for 0\.2 s"):
            await flood(request)
    done.set()


async def test_a_server_that_does_not_answer(server: Server, url: URL) -> None:
    """It has all of it, and says nothing."""
    done = asyncio.Event()

    async def mute(request: web.Request) -> web.Response:
        await request.read()
        await done.wait()
        return web.Response()

    server.handler = mute
    async with to(url, answer=0.2) as request:
        await request.send(b"all")
        with pytest.raises(TargetUnavailable, match="the server"):
            await request.end()
    done.set()


async def test_a_connection_that_breaks(server: Server, url: URL) -> None:
    """The error is the target's, may pass, and names the server."""

    async def hang_up(request: web.Request) -> web.Response:
        await request.content.readany()
        assert request.transport
        request.transport.abort()
        return web.Response()

    server.handler = hang_up
    async with to(url) as request:
        with pytest.raises(TargetUnavailable, match="the server: "):
            await flood(request)


async def test_leaving_breaks_the_connection(server: Server, url: URL) -> None:
    """Half a body is never mistaken for a whole one: the server sees the connection break."""
    broken = asyncio.get_running_loop().create_future()

    async def listening(request: web.Request) -> web.Response:
        try:
            return await server.everything(request)
        except Exception as exc:
            broken.set_result(exc)
            raise

    server.handler = listening
    async with to(url, size=2 * MiB) as request:
        await request.send(bytes(MiB))
        await until(lambda: server.received)
    assert isinstance(await broken, ConnectionError | web.RequestPayloadError)


async def test_tls_that_is_no_good(url: URL) -> None:
    """A server that speaks no TLS, or whose certificate is not trusted, is no passing matter."""
    async with to(url.with_scheme("https")) as request:
        with pytest.raises(TargetError, match="the server: ") as raised:
            await flood(request)
    assert not raised.value.retryable


def test_texts_that_are_not_ours_fit_a_line() -> None:
    """Long, multi-line and unprintable answers are short and printable in messages."""
    assert one_line("a\n b\x1b[31m" + "x" * 9999).startswith("a b?[31mxxx")
    assert len(one_line("x" * 9999)) == 500
    assert one_line(" \n") == "an empty answer"
    assert Answer(502, "<html><h1>Bad</h1> luck", is_page=True).words == "Bad luck"
