"""The service itself: storage classes, inspection, health, metrics, its own description."""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from importer import errors
from importer.api import head
from importer.api.remote import RemoteRequest
from importer.api.routes import Route, json, read_json, read_query
from importer.jobs.images import Images
from importer.metrics import CONTENT_TYPE, Metrics
from importer.model import ImageInfo, S3Source, StorageClass, UrlSource
from importer.stream.threads import in_thread

Inspect = Callable[[UrlSource | S3Source], Awaitable[ImageInfo]]
"""Tell what the image at a URL or in a bucket is, moving only its head."""

Look = Callable[[head.Ends], Awaitable[ImageInfo]]
"""Tell what an image is of which a client sent both ends. Raises ImageError, LimitExceeded."""


class StorageClassList(msgspec.Struct, frozen=True):
    """The answer to ``GET /v1/storageclasses``."""

    items: list[StorageClass]


class Health(msgspec.Struct, frozen=True):
    """The answer of the health checks."""

    status: str


class ServiceRoutes:
    """The handlers."""

    def __init__(self, images: Images, metrics: Metrics, inspect: Inspect, look: Look) -> None:
        self._images = images
        self._metrics = metrics
        self._inspect = inspect
        self._look = look

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route(
                "POST",
                "/v1/inspect",
                self.inspect,
                {200: ImageInfo},
                (
                    errors.AddressRefused,
                    errors.LimitExceeded,
                    errors.SourceError,
                    errors.UploadIncomplete,
                    errors.ImageError,
                ),
                body=RemoteRequest,
                instead=(head.MEDIA,),
                query=head.QUERY,
            ),
            Route("GET", "/v1/storageclasses", self.classes, {200: StorageClassList}),
            Route("GET", "/metrics", self.metrics, {200: "text/plain"}),
            Route("GET", "/healthz", self.healthz, {200: Health}, public=True),
            Route("GET", "/readyz", self.readyz, {200: Health}, public=True),
        ]

    async def inspect(self, request: web.Request) -> web.Response:
        """Tell what the image at a URL is, or the one whose head is sent, moving only that."""
        if head.is_sent(request):
            return json(await self._look(await head.read_ends(request)))
        read_query(request, {})
        wanted: RemoteRequest = await read_json(request, RemoteRequest)
        return json(await self._inspect(wanted.wanted()))

    async def classes(self, request: web.Request) -> web.Response:
        """List the storage classes."""
        return json(StorageClassList(await self._images.classes()))

    async def metrics(self, request: web.Request) -> web.Response:
        """Give Prometheus its metrics."""
        # 5 ms for each storage class.
        text = await in_thread(self._metrics.text)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})

    async def healthz(self, request: web.Request) -> web.Response:
        """Say that the process lives."""
        return json(Health("ok"))

    async def readyz(self, request: web.Request) -> web.Response:
        """Say that requests are answered: the store reads and the classes are there."""
        await self._images.list()
        return json(Health("ok"))
