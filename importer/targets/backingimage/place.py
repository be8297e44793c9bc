"""One import's BackingImage.

Longhorn resumes nothing: a try that fails is taken away with its object, and the next makes a new
one. Nothing is noted down on this side: the marks on the objects are all that clean-up needs.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec

from importer.config import Longhorn
from importer.errors import (
    ClusterUnavailable,
    ImporterError,
    ObjectGone,
    TargetError,
    TargetTimeout,
    TargetUnavailable,
)
from importer.kube.classes import ClusterClass
from importer.kube.cluster import Cluster
from importer.kube.objects import BackingImage, BackingImageStatus, view
from importer.kube.resources import BACKING_IMAGES
from importer.kube.wait import Condition, wait_for
from importer.model import Format, ImageInfo, Placed, Wire
from importer.stream.extent import Layout
from importer.stream.pipe import Chunks, Pipe
from importer.targets import Finished, Order, Tell, Written
from importer.targets.backingimage.copies import Copies, compare, measured, refuse_failed
from importer.targets.backingimage.data_source import DataSource
from importer.targets.backingimage.making import Making
from importer.targets.backingimage.objects import name_of
from importer.targets.backingimage.outgoing import Outgoing
from importer.targets.backingimage.removal import remove
from importer.targets.backingimage.upload import Pace, upload
from importer.units import SECTOR, MiB, round_up

SLOWEST = 20 * MiB
"""Bytes a second that Longhorn's own work is given time for."""

T = TypeVar("T")


class BackingImagePlace:
    """One BackingImage that is being made."""

    def __init__(
        self,
        cluster: Cluster,
        of: ClusterClass,
        settings: Longhorn,
        order: Order,
        tell: Tell,
        refuse_nested: Callable[[bytes], None],
        pace: Pace,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._order = order
        self._tell = tell
        self._refuse_nested = refuse_nested
        self._pace = pace
        self._making = Making(cluster, settings, of, order)
        self._name = name_of(order)
        self._shown = f"BackingImage {settings.namespace}/{self._name}"
        self._uid = ""
        self._out = Outgoing(ImageInfo(format=Format.RAW), "as-is", 0, refuse_nested)

    async def prepare(
        self,
        info: ImageInfo,
        wire: Wire = "as-is",
        size: int | None = None,
        sha512: str | None = None,
    ) -> None:
        """Make the BackingImage, and wait until its pod takes *size* bytes.

        *sha512*: of exactly these bytes, in hex, where it is known: Longhorn compares it too.
        Raises TargetBusy when the name is taken.
        """
        if not size:
            raise ImporterError(f"{self._shown} must be told how many bytes will come, not {size}")
        self._out = Outgoing(info, wire, size, self._refuse_nested)
        made = await self._making.image(sha512 if self._out.padded == size else None)
        self._uid = made["metadata"]["uid"]
        source = DataSource(
            self._cluster, self._settings.namespace, self._name, self._uid, self._tell
        )
        await source.takes_bytes(self._settings.prepare)

    async def write(self, chunks: Chunks) -> Written:
        """Send the bytes, padded with zeros to whole sectors."""
        out, address = self._out, self._settings.url
        async with Pipe(chunks) as path:
            path.instead(self._checked(path.chunks))
            pieces = out.along(path, self._pace.silence)
            try:
                wire = await upload(address, self._name, out.padded, pieces, self._pace)
            except TargetUnavailable as exc:
                raise await self._explained(exc) from exc
        return Written(out.size, out.data, wire)

    async def fill(self, layout: Layout) -> Written:
        """Never asked for: Longhorn is not on this machine."""
        raise ImporterError(f"{self._shown} takes bytes in order, no extents")

    async def finish(self) -> Finished:
        """Wait until a copy is ready, and compare it with what was sent."""
        status = await self._ready()
        size = self._out.info.virtual_size
        compare(self._shown, status, self._out.sha512, size and round_up(size, SECTOR))
        await self._crown()
        placed = Placed(kind="BackingImage", name=f"{self._settings.namespace}/{self._name}")
        return Finished(self._measured(status), placed)

    def _checked(self, chunks: Chunks) -> Chunks:
        """Return *chunks*, looked at once more where that has to be."""
        return chunks

    async def _crown(self) -> None:
        """Make what the image is used by."""
        await self._making.storage_class()

    async def settle(self) -> None:
        """Do nothing: the marks stay, and nothing else is kept."""

    async def abort(self) -> None:
        """Remove all that carries the marks of this import."""
        await remove(self._cluster, self._settings, self._order)

    async def _explained(self, exc: TargetUnavailable) -> TargetError:
        """Return the image's own reason for an upload that broke, *exc* when it gives none."""
        try:
            await self._waited(
                lambda found: refuse_failed(view(BackingImage, found)), self._pace.told
            )
        except (ObjectGone, TargetUnavailable) as why:
            return type(why)(f"{why} ({exc})")
        except (TargetTimeout, ClusterUnavailable):
            pass
        return exc

    async def _ready(self) -> BackingImageStatus:
        """Return the status once a copy is ready, with a virtual size if there will be one."""
        copies = Copies(self._tell)
        seconds = self._settings.finish + self._out.size / SLOWEST
        status = await self._waited(copies.ready, seconds, "for its first copy to be ready")
        if not status.virtual_size:
            with suppress(TargetTimeout):  # a controller may write it a moment later
                return await self._waited(measured, self._pace.told)
        return status

    async def _waited(self, condition: Condition[T], seconds: float, what: str = "") -> T:
        return await wait_for(
            self._cluster,
            BACKING_IMAGES,
            self._settings.namespace,
            self._name,
            condition,
            seconds,
            uid=self._uid,
            what=what,
        )

    def _measured(self, status: BackingImageStatus) -> ImageInfo:
        """Return what came in: where it came as it is, its size is known now."""
        info = self._out.info
        size = self._out.size if self._out.wire == "as-is" else info.size
        virtual_size = info.virtual_size or status.virtual_size
        return msgspec.structs.replace(info, size=size, virtual_size=virtual_size)
