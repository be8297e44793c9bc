"""Headers of tus 1.0.0 (https://tus.io/protocols/resumable-upload): read, checked, written."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from importer.api.images import declared_in, options_in
from importer.errors import CallerError, LimitExceeded, MediaTypeRefused, VersionRefused
from importer.jobs.names import label_of
from importer.model import (
    Checksum,
    Format,
    ImageRequest,
    Name,
    Size,
    Spec,
    UploadSource,
    WantedFormat,
)
from importer.sources import Declared

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,expiration,termination"
MEDIA = "application/offset+octet-stream"

EXPIRES: web.RequestKey[Callable[[], float | None]] = web.RequestKey("expires")
"""Says in how many seconds the upload that a request is for expires; None when it does not."""

_NUMBER = re.compile(r"(0|[1-9][0-9]{0,18})\Z")


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What ``Upload-Metadata`` may say; other keys are the client's own affair."""

    filename: str | None = None
    name: Name | None = None
    namespace: Name = "default"
    storage_class: Annotated[str, Meta(min_length=1, max_length=253)] | None = None
    checksum: Checksum | None = None
    format: WantedFormat | None = None
    target: Annotated[str, Meta(max_length=4096)] | None = None
    """``spec.target`` as JSON."""

    wire: Literal["as-is", "raw+zstd", "qcow2"] | None = None
    file_format: Format | None = None
    file_size: Size | None = None

    def declared(self) -> Declared | None:
        """Return what is said of a file whose disk comes in another form. Raises CallerError."""
        return declared_in(self.wire, self.file_format, self.file_size)

    def wanted(self) -> ImageRequest:
        """Return the image that is asked for. Raises CallerError when it has no name."""
        name = self.name or label_of(self.filename or "")
        if not name:
            raise CallerError(
                "the upload has no name: put name, or a filename that gives one, into "
                "Upload-Metadata"
            )
        spec = Spec(
            source=UploadSource(),
            storage_class=self.storage_class,
            checksum=self.checksum,
            format=self.format,
            target=options_in(self.target),
        )
        return ImageRequest(name=name, namespace=self.namespace, spec=spec)


def metadata(header: str) -> Metadata:
    """Return what ``Upload-Metadata`` says: ``key base64,key base64,...``. Raises CallerError."""
    values: dict[str, str] = {}
    for pair in header.split(",") if header.strip() else ():
        key, _, text = pair.strip().partition(" ")
        if not key or key in values:
            raise CallerError(f"Upload-Metadata has a key that is empty or comes twice: {key!r}")
        values[key] = _decoded(key, text.strip())
    try:
        return msgspec.convert(values, Metadata, strict=False)
    except msgspec.ValidationError as exc:
        raise CallerError(f"Upload-Metadata is not as it should be: {exc}") from exc


def refuse_other_version(request: web.Request) -> None:
    """Raise VersionRefused unless the client says that it speaks tus 1.0.0."""
    spoken = request.headers.get("Tus-Resumable")
    if spoken != VERSION:
        raise VersionRefused(f"Tus-Resumable is {spoken!r:.40}; {VERSION} is spoken here")


def refuse_other_media(request: web.Request) -> None:
    """Raise MediaTypeRefused unless the body is a part of an upload."""
    if request.content_type != MEDIA:
        raise MediaTypeRefused(f"Content-Type is {request.content_type!r:.80}; tus sends {MEDIA}")


def refuse_not_offered(request: web.Request) -> None:
    """Raise CallerError for what belongs to an extension that is not spoken here.

    Passing over it would take a part of a file for the whole, or a checksum for compared.
    """
    for header in ("Upload-Concat", "Upload-Checksum"):
        if header in request.headers:
            raise CallerError(f"{header} is not offered here (Tus-Extension: {EXTENSIONS})")


def number(headers: Mapping[str, str], name: str) -> int | None:
    """Return the number in header *name*, None when it is missing. Raises CallerError."""
    text = headers.get(name)
    if text is not None and not _NUMBER.match(text):
        raise CallerError(f"{name} is {text!r:.60}; it has to be a number of bytes")
    return None if text is None else int(text)


def length(headers: Mapping[str, str], most: int) -> int | None:
    """Return the whole's bytes, None when told later. Raises CallerError, LimitExceeded."""
    size, deferred = number(headers, "Upload-Length"), headers.get("Upload-Defer-Length")
    if deferred not in (None, "1"):
        raise CallerError(f"Upload-Defer-Length is {deferred!r:.20}; it can only be 1")
    if (size is None) is (deferred is None):
        raise CallerError("a new upload says either Upload-Length or Upload-Defer-Length: 1")
    return within(size, most)


def within(size: int | None, most: int) -> int | None:
    """Return *size*. Raises LimitExceeded when it is more than *most*."""
    if size is not None and size > most:
        raise LimitExceeded(f"size is {size} bytes, [limits] image_size allows {most}")
    return size


def expires(seconds: float) -> str:
    """Return the moment in *seconds* as a date of HTTP (RFC 9110 section 5.6.7)."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


async def marked(request: web.Request, response: web.StreamResponse) -> None:
    """Say in every answer below /v1/uploads what is spoken, in refusals too."""
    if request.path == "/v1/uploads" or request.path.startswith("/v1/uploads/"):
        response.headers["Tus-Resumable"] = VERSION
        if EXPIRES in request and (seconds := request[EXPIRES]()) is not None:
            response.headers["Upload-Expires"] = expires(seconds)
        if response.status == VersionRefused.status:
            response.headers["Tus-Version"] = VERSION


def _decoded(key: str, text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise CallerError(f"Upload-Metadata: {key[:40]!r} is no base64 of UTF-8 text") from exc
