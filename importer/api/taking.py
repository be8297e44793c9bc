"""Lets uploads in: each counts for its client, and comes neither too fast nor too slowly."""

import functools

from aiohttp import web

from importer.api.clients import Clients
from importer.api.problems import Handler
from importer.config import Upload
from importer.jobs.allowance import Allowance, Share
from importer.sources.upload import FLOW, Flow


class Taking:
    """What all routes that take files share."""

    def __init__(self, allowance: Allowance, clients: Clients, settings: Upload) -> None:
        self._allowance = allowance
        self._clients = clients
        self._settings = settings

    def client(self, request: web.Request) -> str:
        """Return who sends *request*."""
        return self._clients.of(request)

    def flow(self, share: Share, at: int = 0) -> Flow:
        """Return how the bytes from *at* on of the upload that has *share* may come."""
        return Flow(self._settings.stall, self._settings.least_rate, share.passed, at)

    def counted(self, handler: Handler) -> Handler:
        """Let *handler* take a file in one request: `Body` reads it as is allowed."""

        @functools.wraps(handler)
        async def counts(request: web.Request) -> web.StreamResponse:
            with self._allowance.share(self.client(request), request.content_length) as share:
                request[FLOW] = self.flow(share)
                return await handler(request)

        return counts
