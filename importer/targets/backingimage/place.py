"""One import's BackingImage.

Longhorn resumes nothing: a try that fails is taken away with its object, and the next makes a new
one. Nothing is noted down on this side: the marks on the objects are all that clean-up needs.
"""

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import msgspec

from importer.config import Longhorn
from importer.errors import (
    ClusterUnavailable,
    ImporterError,
    ObjectGone,
    SizeMismatch,
    TargetBusy,
    TargetError,
    TargetTimeout,
    TargetUnavailable,
    UnsupportedImage,
)
from importer.kube.classes import ClusterClass
from importer.kube.cluster import Cluster, Object
from importer.kube.objects import BackingImage, BackingImageStatus, view
from importer.kube.resources import BACKING_IMAGES, STORAGE_CLASSES
from importer.kube.wait import Condition, wait_for, wait_gone
from importer.model import Format, ImageInfo, Placed, Wire
from importer.stream.extent import Layout
from importer.stream.hashed import Digests
from importer.stream.pipe import Chunks, Pipe
from importer.stream.threads import in_thread
from importer.stream.trickle import trickled
from importer.stream.zeros import runs
from importer.targets import Finished, Order, Tell, Written, marks
from importer.targets.backingimage import objects
from importer.targets.backingimage.copies import Copies, compare, refuse_failed
from importer.targets.backingimage.data_source import DataSource
from importer.targets.backingimage.options import options
from importer.targets.backingimage.removal import delete, remove
from importer.targets.backingimage.upload import Pace, upload
from importer.targets.unbroken import unbroken
from importer.units import SECTOR, MiB, round_up

SLOWEST = 20 * MiB
"""Bytes a second that Longhorn's own work is given time for."""

T = TypeVar("T")

_RAW = (Format.RAW, Format.ISO)


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
        self._class = of
        self._settings = settings
        self._order = order
        self._options = options(order)
        self._tell = tell
        self._refuse_nested = refuse_nested
        self._pace = pace
        self._name = objects.name_of(order)
        self._uid = ""
        self._info = ImageInfo(format=Format.RAW)
        self._wire: Wire = "as-is"
        self._size = 0
        self._data = 0
        self._digest = Digests(["sha512"])

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
        self._info, self._wire, self._size = info, wire, size
        made = await unbroken(self._made(sha512 if self._padded == size else None))
        self._uid = made["metadata"]["uid"]
        source = DataSource(
            self._cluster, self._settings.namespace, self._name, self._uid, self._tell
        )
        await source.takes_bytes(self._settings.prepare)

    async def write(self, chunks: Chunks) -> Written:
        """Send the bytes, padded with zeros to whole sectors."""
        async with Pipe(chunks) as path:
            path.through(self._exactly)
            path.through(trickled(self._pace.silence))
            path.through(self._digest.hashed)
            try:
                address = self._settings.url
                wire = await upload(address, self._name, self._padded, path.chunks, self._pace)
            except TargetUnavailable as exc:
                raise await self._explained(exc) from exc
        return Written(self._size, self._data, wire)

    async def fill(self, layout: Layout) -> Written:
        """Never asked for: Longhorn is not on this machine."""
        raise ImporterError(f"{self._shown} takes bytes in order, no extents")

    async def finish(self) -> Finished:
        """Wait until a copy is ready, and compare it with what was sent."""
        status = await self._measured_by_longhorn(await self._ready())
        compare(self._shown, status, self._digest.hex()["sha512"], self._virtual_size)
        if self._options.storage_class:
            await unbroken(self._make_class())
        placed = Placed(kind="BackingImage", name=f"{self._settings.namespace}/{self._name}")
        return Finished(self._measured(status), placed)

    async def settle(self) -> None:
        """Do nothing: the marks stay, and nothing else is kept."""

    async def abort(self) -> None:
        """Remove all that carries the marks of this import."""
        await remove(self._cluster, self._settings, self._order)

    # --- the object

    async def _made(self, sha512: str | None) -> Object:
        new = objects.backing_image(
            self._order,
            self._options,
            self._class,
            self._settings.namespace,
            uuid.uuid4().hex,
            sha512,
        )
        try:
            return await self._cluster.create(BACKING_IMAGES, new)
        except TargetBusy as exc:
            await self._make_way(exc)
        return await self._cluster.create(BACKING_IMAGES, new)

    async def _make_way(self, exc: TargetBusy) -> None:
        """Wait for what holds the name to go: an earlier try of ours, or what is going anyway."""
        namespace = self._settings.namespace
        found = await self._cluster.find(BACKING_IMAGES, namespace, self._name)
        if found is None:
            return
        if marks.is_of(found, self._order):
            await delete(self._cluster, self._settings, found)
        elif found["metadata"].get("deletionTimestamp"):
            uid, seconds = found["metadata"]["uid"], self._settings.remove
            await wait_gone(self._cluster, BACKING_IMAGES, namespace, self._name, seconds, uid)
        else:
            raise TargetBusy(
                f"{self._shown} is there already, made for {_owner(found)}; delete it, or choose "
                "another name"
            ) from exc

    async def _make_class(self) -> None:
        new = objects.storage_class(self._order, self._class)
        try:
            await self._cluster.create(STORAGE_CLASSES, new)
        except TargetBusy:
            found = await self._cluster.find(STORAGE_CLASSES, "", new["metadata"]["name"])
            if found is None or not marks.is_of(found, self._order):
                raise

    # --- the bytes

    @property
    def _padded(self) -> int:
        """Bytes of the file that Longhorn gets: it writes whole sectors only (O_DIRECT)."""
        return round_up(self._size, SECTOR)

    async def _exactly(self, chunks: Chunks) -> Chunks:
        """Let exactly as many bytes pass as were announced, and pad them."""
        size, tail = 0, b""
        async for chunk in chunks:
            if not size and self._wire == "raw":
                self._refuse_nested(chunk[:SECTOR])
            size, tail = size + len(chunk), (tail + chunk[-SECTOR:])[-SECTOR:]
            if size > self._size:
                raise SizeMismatch(self._size, size)
            self._data += await self._data_in(chunk)
            yield chunk
        if size != self._size:
            raise SizeMismatch(self._size, size)
        self._refuse_footer(tail)
        if size < self._padded:
            yield bytes(self._padded - size)

    def _refuse_footer(self, tail: bytes) -> None:
        """Refuse a fixed VHD: all that tells it from a raw disk are its last 512 bytes."""
        if self._info.format is Format.RAW and tail.startswith(b"conectix"):
            raise UnsupportedImage(
                "the file is a fixed VHD, which shows only at its end: convert it to raw or qcow2"
            )

    async def _data_in(self, chunk: bytes) -> int:
        """Return how many bytes are no zeros, in blocks of 4 KiB: Longhorn leaves these out."""
        is_disk = self._wire == "raw" or (self._wire == "as-is" and self._info.format in _RAW)
        return await in_thread(_count, chunk) if is_disk else len(chunk)

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

    # --- Longhorn's work

    async def _ready(self) -> BackingImageStatus:
        copies = Copies(self._tell)
        seconds = self._settings.finish + self._size / SLOWEST
        return await self._waited(copies.ready, seconds, "for its first copy to be ready")

    async def _measured_by_longhorn(self, status: BackingImageStatus) -> BackingImageStatus:
        """Return *status* with a virtual size: a controller may write it a moment after ready."""
        with suppress(TargetTimeout):
            if not status.virtual_size:
                return await self._waited(_sized, self._pace.told)
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

    @property
    def _virtual_size(self) -> int | None:
        """Bytes of the disk that Longhorn should see."""
        size = self._info.virtual_size
        return None if size is None else round_up(size, SECTOR)

    def _measured(self, status: BackingImageStatus) -> ImageInfo:
        """Return what came in: where it came as it is, its size is known now."""
        info = self._info
        size = self._size if self._wire == "as-is" else info.size
        virtual_size = info.virtual_size or status.virtual_size
        return msgspec.structs.replace(info, size=size, virtual_size=virtual_size)

    @property
    def _shown(self) -> str:
        return f"BackingImage {self._settings.namespace}/{self._name}"


def _sized(found: Object) -> BackingImageStatus | None:
    status = view(BackingImage, found).status
    return status if status.virtual_size else None


def _owner(found: Object) -> str:
    annotations = found["metadata"].get("annotations") or {}
    image = annotations.get(marks.IMAGE)
    return f"image {image} of another service" if image else "somebody else"


def _count(chunk: bytes) -> int:
    return sum(end - start for is_data, start, end in runs(chunk) if is_data)
