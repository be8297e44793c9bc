"""longhorn-manager's upload action: ``POST /v1/backingimages/NAME?action=upload&size=N``.

The manager refuses as JSON (LHM: api/router.go:18-46), and passes on what the image's data source
says, which is text (BIM: pkg/sync/service.go:579-659). Nothing of the client's query or headers is
passed on: the data source would let them override its own.
"""

import re
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from aiohttp import web

from importer import errors
from importer.api.compat.requests import (
    Service,
    error,
    file_in_form,
    is_form,
    request_of,
    uploaded,
)
from importer.formats import fit
from importer.formats.recognise import refuse_nested
from importer.jobs.into import Into
from importer.kube.classes import ClusterClass
from importer.kube.objects import BackingImage, view
from importer.kube.resources import BACKING_IMAGES
from importer.model import ImageRequest
from importer.sources.upload import Body
from importer.targets import Place, Tell
from importer.targets.backingimage import existing
from importer.targets.backingimage.shelf import PACE
from importer.units import SECTOR

PREFIX = "/v1/backingimages/"
PATH = f"{PREFIX}{{name}}"
FIELDS = ("chunk",)

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}\Z")


@dataclass(frozen=True, slots=True)
class LonghornRoutes:
    """The handlers."""

    service: Service

    async def upload(self, request: web.Request) -> web.Response:
        """Take the file of a BackingImage that waits for it."""
        cluster, settings = self.service.there, self.service.config.longhorn
        name = request.match_info["name"]
        if request.method != "POST" or request.query.get("action") != "upload":
            return error(404, "404 page not found")
        if why := await existing.refusal(cluster, settings, name):
            return failure(500, why)
        image = view(BackingImage, await cluster.get(BACKING_IMAGES, settings.namespace, name))
        if why := wrong_size(size := request.query.get("size", "")):
            return error(500, why)
        if not is_form(request):
            return error(500, "request Content-Type isn't multipart/form-data")
        stall = self.service.config.upload.stall
        body = await file_in_form(request, FIELDS, int(size) or None, stall)
        if body is None:
            return error(500, "EOF")
        of = await self.service.class_of("", "backingimage")
        wanted = request_of(image, name, of.name)
        await fill(self.service, of, image, wanted, body)
        return web.Response()


async def fill(
    service: Service, of: ClusterClass, image: BackingImage, wanted: ImageRequest, body: Body
) -> None:
    """Import *body* into *image*; return when Longhorn has all bytes."""
    place = partial(_place, service, of, image)
    await uploaded(service, wanted, body, Into("backingimage", existing.accepts(image), place))


def _place(service: Service, of: ClusterClass, image: BackingImage, tell: Tell) -> Place:
    return existing.ExistingImage(
        service.there,
        of,
        service.config.longhorn,
        image,
        tell,
        refuse_nested,
        fit.by_head,
        PACE,
    )


def wrong_size(text: str) -> str | None:
    """Return what the data source says of a size that it does not take, None of one that it does.

    0 switches its check off (transcript ``longhorn-wrong-size``).
    """
    if not _INTEGER.match(text):
        return f'strconv.ParseInt: parsing "{text[:80]}": invalid syntax'
    if int(text) % SECTOR or int(text) < 0:
        return (
            f"the uploaded file size {int(text)} should be a multiple of 512 bytes since Longhorn "
            "uses directIO by default"
        )
    return None


def failure(status: int, message: str) -> web.Response:
    """Return an error as the manager sends it."""
    code = HTTPStatus(status).phrase
    told = {"type": "error", "status": status, "code": code, "message": message}
    return web.json_response(told, status=status)


def worded(exc: errors.ImporterError) -> web.Response:
    """Return *exc* as Longhorn would say it: the data source's words where they are of the file."""
    match exc:
        case errors.SizeMismatch():
            return error(
                500,
                f"processed data size {exc.actual} does not match the expected file size "
                f"{exc.expected}",
            )
        case errors.ImageError() | errors.SourceError():
            return error(500, str(exc))
        case errors.ObjectGone():
            return failure(404, str(exc))
        case errors.CallerError() | errors.TargetUnavailable() | errors.ClusterUnavailable():
            return failure(exc.status, str(exc))
    return failure(503 if exc.status == 503 else 500, str(exc))
