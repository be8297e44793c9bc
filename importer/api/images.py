"""Images: create, upload, look, cancel, retry, delete."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import aiohttp
import msgspec
from aiohttp import web
from msgspec import Meta

from importer import errors
from importer.api.routes import Route, json, name_of, read_json, read_query
from importer.api.taking import Taking
from importer.config import Upload
from importer.jobs.images import Images
from importer.model import (
    Checksum,
    Format,
    Image,
    ImageRequest,
    Name,
    Phase,
    Size,
    Spec,
    UploadSource,
    WantedFormat,
    Wire,
)
from importer.sources import Declared
from importer.sources.upload import Body, file_part

PARTS = ("file", "chunk", "content")
"""Names of the multipart field that holds the image; any field with a file name does too."""

_NAMESPACE = {"namespace": Name}
_UPLOAD = {
    **_NAMESPACE,
    "storageClass": Annotated[str, Meta(min_length=1, max_length=253)],
    "checksum": Checksum,
    "format": WantedFormat,
    "target": Annotated[str, Meta(max_length=4096)],
    "size": Size,
    "wire": Literal["as-is", "raw+zstd", "qcow2"],
    "fileFormat": Format,
    "fileSize": Size,
}
_IMPORT_ERRORS = (
    errors.AddressRefused,
    errors.NameTaken,
    errors.WrongPhase,
    errors.UnknownStorageClass,
    errors.UnsupportedImage,
)
UPLOAD_ERRORS = (
    *_IMPORT_ERRORS,
    errors.Cancelled,
    errors.LimitExceeded,
    errors.TooManyUploads,
    errors.UploadIncomplete,
    errors.ImageError,
    errors.TargetError,
    errors.NoSpace,
    errors.ShuttingDown,
)


class ImageList(msgspec.Struct, frozen=True):
    """The answer to ``GET /v1/images``."""

    items: list[Image]


class ImageRoutes:
    """The handlers."""

    def __init__(self, images: Images, taking: Taking, upload: Upload) -> None:
        self._images = images
        self._taking = taking
        self._upload = upload

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        one = "/v1/images/{name}"
        missing = (errors.NotFound,)
        return [
            Route(
                "POST",
                "/v1/images",
                self.create,
                {201: Image},
                (*_IMPORT_ERRORS, errors.SourceError),
                body=ImageRequest,
            ),
            Route("GET", "/v1/images", self.list, {200: ImageList}, query=_NAMESPACE),
            Route("GET", one, self.show, {200: Image}, missing, query=_NAMESPACE),
            Route(
                "DELETE",
                one,
                self.delete,
                {204: None},
                (*missing, errors.ClusterUnavailable, errors.TargetBusy, errors.TargetError),
                query=_NAMESPACE,
            ),
            Route(
                "PUT",
                f"{one}/content",
                self._taking.counted(self.upload),
                {200: Image, 202: Image},
                UPLOAD_ERRORS,
                body=("application/octet-stream", "multipart/form-data"),
                query=_UPLOAD,
            ),
            Route(
                "POST",  # what forms, and curl's -F and --data-binary, send by themselves
                f"{one}/content",
                self._taking.counted(self.upload),
                {200: Image, 202: Image},
                UPLOAD_ERRORS,
                body=("application/octet-stream", "multipart/form-data"),
                query=_UPLOAD,
            ),
            Route(
                "POST",
                f"{one}/cancel",
                self.cancel,
                {200: Image},
                (*missing, errors.WrongPhase),
                query=_NAMESPACE,
            ),
            Route(
                "POST",
                f"{one}/retry",
                self.retry,
                {200: Image},
                (*missing, errors.WrongPhase),
                query=_NAMESPACE,
            ),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Name an image; one with a URL is imported, one with an upload waits for its bytes."""
        return json(await self._images.create(await read_json(request, ImageRequest)), 201)

    async def list(self, request: web.Request) -> web.Response:
        """List the images of all namespaces, or of one."""
        query = read_query(request, _NAMESPACE)
        return json(ImageList(await self._images.list(query["namespace"])))

    async def show(self, request: web.Request) -> web.Response:
        """Show one image."""
        return json(await self._on_one(request, self._images.get))

    async def delete(self, request: web.Request) -> web.Response:
        """Cancel an image if it is running, remove it from its target, and forget it."""
        await self._on_one(request, self._images.delete)
        return web.Response(status=204)

    async def cancel(self, request: web.Request) -> web.Response:
        """Stop an import and leave nothing of it but its record."""
        return json(await self._on_one(request, self._images.cancel))

    async def retry(self, request: web.Request) -> web.Response:
        """Queue a failed image again."""
        return json(await self._on_one(request, self._images.retry))

    async def upload(self, request: web.Request) -> web.Response:
        """Take an image's bytes in one request; the image is made when it is new."""
        query = read_query(request, _UPLOAD)
        wanted = ImageRequest(
            name=name_of(request),
            namespace=query["namespace"] or "default",
            spec=Spec(
                source=UploadSource(),
                storage_class=query["storageClass"],
                checksum=query["checksum"],
                format=query["format"],
                target=options_in(query["target"]),
            ),
        )
        declared = declared_in(query["wire"], query["fileFormat"], query["fileSize"])
        if declared:
            await self._images.refuse_unchecked(wanted)
        body = await _body(request, query["size"], self._upload.stall, declared)
        image = await self._images.upload(wanted, body, self._upload.patience)
        return json(image, 200 if image.phase is Phase.READY else 202)

    async def _on_one(self, request: web.Request, act: Callable[[str, str], Awaitable[Any]]) -> Any:
        query = read_query(request, _NAMESPACE)
        return await act(query["namespace"] or "default", name_of(request))


def options_in(text: str | None) -> dict[str, Any]:
    """Return ``spec.target`` of its JSON in a query. Raises CallerError."""
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise errors.CallerError(f"target={(text or '')[:200]!r} is no JSON object: {exc}") from exc


def declared_in(wire: Wire | None, format: Format | None, size: int | None) -> Declared | None:
    """Return what the client says of a file whose disk it sends in another form.

    Raises CallerError when it is half of that.
    """
    if wire in (None, "as-is"):
        if (format, size) != (None, None):
            raise errors.CallerError(
                "fileFormat and fileSize are of a file that is sent in another form: say which, "
                "with wire=raw%2Bzstd or wire=qcow2"
            )
        return None
    if format is None or size is None:
        raise errors.CallerError(
            f"wire={wire} needs fileFormat and fileSize: format and bytes of the file whose disk "
            "is sent"
        )
    return Declared(wire, format, size)


async def _body(
    request: web.Request, announced: int | None, stall: float, declared: Declared | None
) -> Body:
    """Return the body of *request*, or the file in it. Raises CallerError, SizeMismatch."""
    if request.content_type != "multipart/form-data":
        length = request.content_length
        if None not in (announced, length) and announced != length:
            raise errors.SizeMismatch(announced or 0, length or 0)
        size = announced if length is None else length
        return Body(request, request.content, size, stall, declared)
    if part := await file_part(request, _is_file, stall):
        return Body(request, part, announced, stall, declared)
    raise errors.CallerError(
        f"no file in the form: name its field {PARTS[0]!r}, or give it a file name"
    )


def _is_file(part: aiohttp.BodyPartReader) -> bool:
    return part.name in PARTS or bool(part.filename)


async def wait_to_continue(_: web.Request) -> None:
    """Say nothing yet to ``Expect: 100-continue``: a refusal then costs the client no byte.

    `Body` says it when the first byte is wanted (RFC 9110 section 10.1.1).
    """
