"""Copies of volumes on the cluster, and storage classes side by side."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from importer.api.routes import Route, json, read_query
from importer.copies import Copies
from importer.jobs.images import Images
from importer.jobs.report import ClassReport, reports
from importer.model import Copy
from importer.targets.classes import Classes

LIMIT = 50
"""Copies that are over and shown, unless asked otherwise."""

_QUERY = {"limit": Annotated[int, Meta(ge=0, le=500)]}


class CopyList(msgspec.Struct, frozen=True):
    """The answer to ``GET /v1/copies``."""

    items: list[Copy]
    """Those that run, oldest first, then the last ones that are over, newest first."""

    classes: list[ClassReport]
    watching: dict[str, bool]
    """Kind of object → whether it can be looked at just now; empty without a cluster."""


class CopyRoutes:
    """The handlers."""

    def __init__(self, copies: Copies, images: Images, classes: Classes) -> None:
        self._copies = copies
        self._images = images
        self._classes = classes

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        return [Route("GET", "/v1/copies", self.list, {200: CopyList}, query=_QUERY)]

    async def list(self, request: web.Request) -> web.Response:
        """List copies of volumes, and what imports and copies came to on each storage class."""
        limit = read_query(request, _QUERY)["limit"]
        copies = self._copies
        items = [*copies.running(), *copies.recent(LIMIT if limit is None else limit)]
        images = await self._images.list()
        side_by_side = reports(self._classes.known(), images, copies.report())
        return json(CopyList(items, side_by_side, copies.watching()))
