"""The web server that downloads were recorded with: Python's own, files and 404."""

from typing import Self

from aiohttp import web

from tests.servers.listening import Listening
from tests.servers.recorded import Files


class RecordedWeb:
    """Serves the files of the transcripts."""

    def __init__(self, files: Files) -> None:
        self._files = files
        app = web.Application()
        app.router.add_get("/{name}", self._get)
        self._listening = Listening(app)

    async def __aenter__(self) -> Self:
        await self._listening.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listening.close()

    def url(self, path: str) -> str:
        return self._listening.url + path

    async def _get(self, request: web.Request) -> web.StreamResponse:
        try:
            return web.FileResponse(self._files[request.match_info["name"]])
        except KeyError:
            return web.Response(status=404, reason="File not found")
