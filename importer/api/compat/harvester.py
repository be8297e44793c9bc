"""Harvester's upload action on its image objects, as its page, Terraform and its CLI send it.

The object is there: its client has made it. What it names is filled (`targets.harvester`), and
Harvester's own controllers see the rest and call the image ready. Answers are Harvester's: 200 and
nothing, or a text with 500 unless the API server said another status.
"""

from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from importer import errors
from importer.api.compat import longhorn
from importer.api.compat.requests import (
    Service,
    file_in_form,
    is_form,
    request_of,
    sha512,
    text,
    uploaded,
)
from importer.jobs.into import Into
from importer.kube.objects import VmImage
from importer.model import ImageRequest
from importer.sources.upload import Body
from importer.targets import Place, Tell, harvester
from importer.targets.cdi.shelf import ACCEPTS

PREFIX = "/v1/harvester/harvesterhci.io.virtualmachineimages/"
PATH = f"{PREFIX}{{namespace}}/{{name}}"
FIELDS = ("chunk", "file")
"""Harvester wants one for each backend; its Terraform provider sends ``chunk`` for both."""


@dataclass(frozen=True, slots=True)
class HarvesterRoutes:
    """The handlers."""

    service: Service

    async def upload(self, request: web.Request) -> web.Response:
        """Take the file of a VirtualMachineImage."""
        cluster = self.service.there
        space, name = request.match_info["namespace"], request.match_info["name"]
        if request.method != "POST" or request.query.get("action") != "upload":
            return text(404, "404 page not found")
        cluster.check_namespace(space)
        image = await harvester.found(cluster, space, name)
        if image.spec.source_type != "upload":
            return text(500, f"{image} has sourceType {image.spec.source_type}, not upload")
        try:
            await self._take(request, image)
        except errors.ImporterError as exc:
            with suppress(errors.TargetError):
                await harvester.failed(cluster, image, str(exc))
            raise
        return text(200)

    async def _take(self, request: web.Request, image: VmImage) -> None:
        size = _size(request)
        if not is_form(request):
            raise errors.CallerError("request Content-Type isn't multipart/form-data")
        if image.spec.backend == "cdi":
            await self._into_volume(request, image, size)
        else:
            await self._into_backing_image(request, image, size)

    async def _into_backing_image(self, request: web.Request, image: VmImage, size: int) -> None:
        cluster, settings = self.service.there, self.service.config.longhorn
        if image.spec.checksum and (why := longhorn.wrong_size(str(size))):
            raise errors.UnsupportedImage(f"upload failed: {why}")  # padded, it would be another
        made = await harvester.backing_image(cluster, settings, image)
        of = await self.service.class_of(image.storage_class, "backingimage")
        body = await self._file(request, size)
        await longhorn.fill(self.service, of, made, _wanted(image, of.name), body)

    async def _into_volume(self, request: web.Request, image: VmImage, size: int) -> None:
        cluster, settings = self.service.there, self.service.config.cdi
        if await harvester.is_filled(cluster, image):
            raise errors.TargetBusy(f'datavolumes.cdi.kubevirt.io "{image.name}" already exists')
        of = await self.service.class_of(image.storage_class)
        body = await self._file(request, size)

        def place(tell: Tell) -> Place:
            return harvester.ImageVolume(cluster, of, settings, image, size or None, tell)

        patience = self.service.config.upload.patience
        await uploaded(
            self.service, _wanted(image, of.name), body, Into("cdi", ACCEPTS, place), patience
        )

    async def _file(self, request: web.Request, size: int) -> Body:
        body = await file_in_form(request, FIELDS, size or None, self.service.config.upload.stall)
        if body is None:
            raise errors.CallerError(f"the form has no field {' or '.join(FIELDS)}")
        return body


def worded(exc: errors.ImporterError) -> web.Response:
    """Return *exc* as Harvester would say it."""
    if isinstance(exc, errors.ObjectGone):
        return text(404, str(exc))
    if isinstance(exc, errors.TargetBusy):
        return text(409, str(exc))
    passes = exc.status in (401, 403, 429, 503)
    return text(exc.status if passes else 500, str(exc))


def _size(request: web.Request) -> int:
    """Return the file's bytes, 0 where the client does not know. Raises CallerError."""
    given = request.query.get("size", "")
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise errors.CallerError(f'strconv.ParseInt: parsing "{given[:80]}": invalid syntax')
    return int(given)


def _wanted(image: VmImage, storage_class: str) -> ImageRequest:
    """Return the record of *image*, under the name that people know."""
    name = image.spec.display_name or image.name
    return request_of(image, name, storage_class, sha512(image.spec.checksum))
