"""The plan for an image at a URL: which form it would travel in, and why."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from aiohttp import web
from msgspec import Meta

from importer import errors
from importer.api.remote import RemoteRequest
from importer.api.routes import Route, json, read_json
from importer.formats.survey import Far
from importer.jobs.images import Images
from importer.model import PlanReport, S3Source, UrlSource, WantedFormat
from importer.plan import Reach, Subject, place_named, report

Survey = Callable[[UrlSource | S3Source, bool], Awaitable[Far]]
"""Tell what the image at a URL or in a bucket is, and what its map tells; only its head and its
tables are moved. The second argument: whether it would be read by libqcow in the end."""


class PlanRequest(RemoteRequest, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The body of ``POST /v1/plan``: what ``POST /v1/inspect`` takes, and where it is to go."""

    storage_class: Annotated[str, Meta(min_length=1, max_length=253)] | None = None
    """None: the default class."""

    format: WantedFormat | None = None
    """Format to store, as in ``spec``."""


class PlanRoutes:
    """The handler."""

    def __init__(self, images: Images, survey: Survey) -> None:
        self._images = images
        self._survey = survey

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route(
                "POST",
                "/v1/plan",
                self.plan,
                {200: PlanReport},
                (
                    errors.AddressRefused,
                    errors.LimitExceeded,
                    errors.UnknownStorageClass,
                    errors.SourceError,
                    errors.ImageError,
                    errors.UnsupportedImage,
                ),
                body=PlanRequest,
            )
        ]

    async def plan(self, request: web.Request) -> web.Response:
        """Tell how the image at a URL would travel and what that would cost; nothing is made."""
        wanted: PlanRequest = await read_json(request, PlanRequest)
        place = place_named(await self._images.classes(), wanted.storage_class)
        known = await self._survey(wanted.wanted(), place.libqcow)
        return json(report(known.info, _subject(known, wanted.format), Reach(), place))


def _subject(known: Far, wanted: WantedFormat | None) -> Subject:
    info, found = known.info, known.survey
    return Subject(
        info.format,
        info.compression,
        info.size,
        info.virtual_size,
        wanted,
        found.data if found else None,
        found.sizes if found else {},
        known.unfit,
    )
