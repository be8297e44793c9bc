"""Lets uploads in: each counts for its client, and comes neither too fast nor too slowly."""

import functools

from aiohttp import web

from importer.api.clients import Clients
from importer.api.problems import Handler
from importer.config import Upload
from importer.jobs.allowance import Allowance, Share
from importer.sources.upload import FLOW, Flow
from importer.units import KiB

STEP = 128 * KiB
"""Bytes that are handed on at once where there is a rate: a client that is kept waiting for its
share must not look as if it were away."""


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
        limits = self._settings
        step = STEP if limits.rate or limits.client_rate else 0
        return Flow(limits.stall, limits.least_rate, share.passed, at, step)

    def counted(self, handler: Handler) -> Handler:
        """Let *handler* take a file in one request: `Body` reads it as is allowed."""

        @functools.wraps(handler)
        async def counts(request: web.Request) -> web.StreamResponse:
            with self._allowance.share(self.client(request), request.content_length) as share:
                request[FLOW] = self.flow(share)
                return await handler(request)

        return counts
