"""What the servers' clients have in common: a file in a form, an object's own record, a class."""

import asyncio
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from aiohttp import web

from importer.config import Config
from importer.errors import TargetUnavailable, UnknownStorageClass
from importer.jobs.images import Images
from importer.jobs.into import Into
from importer.jobs.names import label_of
from importer.kube.classes import ClusterClass, storage_class
from importer.kube.cluster import Cluster
from importer.kube.objects import View
from importer.model import Checksum, Image, ImageRequest, Spec, UploadSource
from importer.sources.upload import Body, file_part

PLAIN = "text/plain; charset=utf-8"

_SHA512 = re.compile(r"[0-9a-fA-F]{128}\Z")
_UID = 8
"""Characters of an object's uid that tell its record from that of an earlier one."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the routes work with."""

    images: Images
    config: Config
    cluster: Cluster | None
    turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = field(
        default_factory=WeakValueDictionary
    )
    """One upload of a record at a time: a client whose connection broke is back sooner than all of
    its first upload is put away."""

    @property
    def there(self) -> Cluster:
        """The cluster. Raises TargetUnavailable when there is none."""
        if self.cluster is None:
            raise TargetUnavailable(
                "this importer has no cluster: set [kubernetes] enabled, or ask the real server"
            )
        return self.cluster

    async def class_of(self, name: str, backend: str | None = None) -> ClusterClass:
        """Return class *name* of the cluster or, where there is none, one of *backend*.

        Raises UnknownStorageClass.
        """
        known = [one for one in await self.images.classes() if one.backend != "local"]
        likely = [one.name for one in known if one.name == name]
        likely += [one.name for one in known if one.backend == backend]
        if not likely:
            raise UnknownStorageClass(f"the cluster has no storage class {name or backend!r}")
        return await storage_class(self.there, likely[0])


def text(status: int, words: str = "") -> web.Response:
    """Return *words* as Go's ``fmt.Fprint`` of a handler sends them."""
    headers = {"Content-Type": PLAIN} if words else {}
    return web.Response(status=status, body=words.encode(), headers=headers)


def error(status: int, words: str) -> web.Response:
    """Return what Go's ``http.Error`` sends."""
    response = text(status, words + "\n")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def request_of(
    filled: View, name: str, storage_class: str, checksum: Checksum | None = None
) -> ImageRequest:
    """Return the image that stands for the object that is *filled*: one object, one record."""
    label = label_of(name)[: 62 - _UID].rstrip("-") or "image"
    source = UploadSource(into=str(filled))
    meta = filled.metadata
    return ImageRequest(
        name=f"{label}-{meta.uid[:_UID]}",
        namespace=meta.namespace,
        spec=Spec(source=source, storage_class=storage_class, checksum=checksum),
    )


def sha512(given: str) -> Checksum | None:
    """Return the checksum that Harvester and Longhorn mean; nothing for what is none."""
    return f"sha512:{given.lower()}" if _SHA512.match(given) else None


async def file_in_form(
    request: web.Request, fields: Collection[str], size: int | None, stall: float
) -> Body | None:
    """Return the file in the field of one of these names, None when there is no such field.

    *size*: its bytes, where the client says them. Raises CallerError for a damaged form.
    """
    part = await file_part(request, lambda part: part.name in fields, stall)
    return Body(request, part, size, stall) if part else None


def is_form(request: web.Request) -> bool:
    """Say whether the body is a form."""
    kind = request.headers.get("Content-Type", "")
    return request.content_type == "multipart/form-data" and "boundary=" in kind


async def uploaded(
    service: Service, wanted: ImageRequest, body: Body, into: Into, patience: float = 0.0
) -> Image:
    """Import *body* into what is there; return when the target has all bytes."""
    turn = service.turns.setdefault((wanted.namespace, wanted.name), asyncio.Lock())
    async with turn:
        return await service.images.upload(wanted, body, patience, into)
