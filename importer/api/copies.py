"""Copies of volumes on the cluster, and storage classes side by side."""

from typing import Annotated

from aiohttp import web
from msgspec import Meta

from importer.api.routes import Route, json, read_query
from importer.copies import Copies
from importer.jobs.images import Images
from importer.jobs.report import CopyList, reports
from importer.targets.classes import Classes

LIMIT = 50
"""Copies that are over and shown, unless asked otherwise."""

_QUERY = {"limit": Annotated[int, Meta(ge=0, le=500)]}


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
        found = CopyList(items=items, classes=side_by_side, watching=copies.watching())
        return json(found)
