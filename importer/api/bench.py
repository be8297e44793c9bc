"""The copy benchmark: begin it, ask how it goes (which keeps it going), end it."""

from typing import Any

from aiohttp import web

from importer import errors
from importer.api.routes import Route, json, read_json, read_query
from importer.jobs.bench.benches import Benches
from importer.jobs.bench.result import Bench, BenchRequest


class BenchRoutes:
    """The handlers."""

    def __init__(self, benches: Benches) -> None:
        self._benches = benches

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        one, missing = "/v1/bench/{id}", (errors.NotFound,)
        return [
            Route(
                "POST",
                "/v1/bench",
                self.begin,
                {201: Bench},
                (
                    errors.BenchBusy,
                    errors.LimitExceeded,
                    errors.NoSpace,
                    errors.ShuttingDown,
                    errors.TargetError,
                    errors.UnknownStorageClass,
                ),
                body=BenchRequest,
            ),
            Route("GET", one, self.look, {200: Bench}, missing),
            Route("DELETE", one, self.end, {200: Bench}, missing),
        ]

    async def begin(self, request: web.Request) -> web.Response:
        """Begin a bench: a generated disk into storage classes, and a copy of it in each."""
        wanted: Any = await read_json(request, BenchRequest)
        return json(await self._benches.begin(wanted), 201)

    async def look(self, request: web.Request) -> web.Response:
        """Show a bench as it is now; one that nobody looks at for a minute ends."""
        read_query(request, {})
        return json(await self._benches.look(request.match_info["id"]))

    async def end(self, request: web.Request) -> web.Response:
        """End a bench; it then takes away what it made, and is Ended when all of that is gone."""
        read_query(request, {})
        return json(await self._benches.end(request.match_info["id"]))
