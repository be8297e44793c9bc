"""One import's DataVolume.

CDI resumes nothing: a try that fails is taken away with its object, and the next makes a new one.
Nothing is noted down on this side: the marks on the object are all that clean-up needs.
"""

import asyncio
import uuid
from dataclasses import dataclass

import msgspec

from importer.config import Cdi
from importer.errors import (
    ClusterRefused,
    ClusterUnavailable,
    ImporterError,
    ObjectGone,
    TargetBusy,
    TargetError,
    TargetTimeout,
    TargetUnavailable,
    VirtualSizeUnknown,
)
from importer.kube.classes import ClusterClass
from importer.kube.cluster import Cluster, Object
from importer.kube.objects import DataVolume, view
from importer.kube.resources import CLAIMS, DATA_VOLUMES
from importer.kube.tokens import upload_token
from importer.kube.wait import wait_for, wait_gone
from importer.model import Format, ImageInfo, Placed, Wire
from importer.stream.extent import Layout
from importer.stream.pipe import Chunks, Pipe
from importer.stream.unbroken import unbroken
from importer.targets import Finished, Order, Tell, Written, marks
from importer.targets.cdi import objects, proxy
from importer.targets.cdi.body import Body
from importer.targets.cdi.end import End
from importer.targets.cdi.options import options
from importer.targets.cdi.proxy import Proxy
from importer.targets.cdi.ready import Ready
from importer.targets.cdi.removal import delete, remove
from importer.targets.cdi.upload import Pace, Upload
from importer.units import MiB

SLOWEST = 20 * MiB
"""Bytes of a disk a second that CDI's own work is given time for."""

_PATHS = {"async": "/v1beta1/upload-async", "sync": "/v1beta1/upload"}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is there once bytes can come."""

    body: Body
    proxy: Proxy
    pod: str
    end: End


class DataVolumePlace:
    """One DataVolume that is being made."""

    def __init__(
        self,
        cluster: Cluster,
        of: ClusterClass,
        settings: Cdi,
        order: Order,
        tell: Tell,
        pace: Pace,
        owner: Object | None = None,
    ) -> None:
        self._cluster = cluster
        self._class = of
        self._settings = settings
        self._order = order
        self._options = options(order)
        self._tell = tell
        self._pace = pace
        self._owner = owner
        self._uid = ""
        self._info = ImageInfo(format=Format.RAW)
        self._wire: Wire = "as-is"
        self._prepared: _Prepared | None = None

    async def prepare(self, info: ImageInfo, wire: Wire = "as-is", size: int | None = None) -> None:
        """Make the DataVolume, and wait until its pod takes bytes.

        Raises VirtualSizeUnknown, TargetBusy when the name is taken, TargetTimeout with the reason.
        """
        if not info.virtual_size:
            raise VirtualSizeUnknown(
                f"{self._shown} is made before the image's end is seen, which alone would tell how "
                "large the disk is: give spec.virtualSize"
            )
        if self._settings.insecure:
            self._tell("the upload proxy's TLS is not verified ([cdi] insecure)")
        self._info, self._wire, body = info, wire, Body(info, wire, size)
        to = await proxy.find(self._cluster, self._settings)
        made = await unbroken(self._made(info.virtual_size))
        self._uid = made["metadata"]["uid"]
        space, name = self._order.namespace, self._order.name
        ready = Ready(self._cluster, space, name, self._uid, self._tell, self._pace.quiet)
        await ready.takes_bytes(self._settings.prepare)
        end = End(self._cluster, space, name, self._uid, body.is_file, self._tell)
        self._prepared = _Prepared(body, to, ready.pod, end)

    async def write(self, chunks: Chunks) -> Written:
        """Send the bytes, a raw disk padded with zeros to whole sectors."""
        there = self._there
        async with Pipe(chunks) as path:
            await there.body.through(path)
            try:
                wire = await self._upload(there).run(path.chunks)
            except TargetUnavailable as exc:
                raise await self._explained(exc, there.end) from exc
        return Written(there.body.size, there.body.data, wire)

    async def fill(self, layout: Layout) -> Written:
        """Never asked for: CDI is not on this machine."""
        raise ImporterError(f"{self._shown} takes bytes in order, no extents")

    async def finish(self) -> Finished:
        """Wait until CDI has made the volume, and given it to its claim."""
        body, end = self._there.body, self._there.end
        try:
            async with asyncio.timeout(self._patience):
                await end.succeeded()
        except TimeoutError as exc:
            raise await self._late(end) from exc
        space, name = self._order.namespace, self._order.name
        claim = await wait_for(self._cluster, CLAIMS, space, name, end.bound, self._patience)
        wanted = self._info.virtual_size or 0
        if claim.capacity < wanted:
            raise TargetError(f"{claim} has {claim.capacity} bytes, the disk has {wanted}")
        size = body.size if self._wire == "as-is" else self._info.size
        info = msgspec.structs.replace(self._info, size=size)
        return Finished(info, Placed(kind="DataVolume", name=f"{space}/{name}"))

    async def settle(self) -> None:
        """Do nothing: the marks stay, and nothing else is kept."""

    async def abort(self) -> None:
        """Remove all that carries the marks of this import."""
        await remove(self._cluster, self._settings, self._order)

    # --- the object

    async def _made(self, virtual_size: int) -> Object:
        attempt = uuid.uuid4().hex
        new = objects.data_volume(
            self._order, self._options, self._class, virtual_size, attempt, self._owner
        )
        try:
            return await self._cluster.create(DATA_VOLUMES, new)
        except TargetBusy as exc:
            await self._make_way(exc)
        except ClusterRefused as exc:
            self._refuse_taken(exc)
        return await self._cluster.create(DATA_VOLUMES, new)

    async def _make_way(self, exc: TargetBusy) -> None:
        """Wait for what holds the name to go: an earlier try of ours, or what is going anyway."""
        space, name = self._order.namespace, self._order.name
        found = await self._cluster.find(DATA_VOLUMES, space, name)
        if found is None:
            return
        if marks.is_of(found, self._order):
            await delete(self._cluster, self._settings, found)
        elif found["metadata"].get("deletionTimestamp"):
            uid = found["metadata"]["uid"]
            await wait_gone(self._cluster, DATA_VOLUMES, space, name, self._settings.remove, uid)
        else:
            raise TargetBusy(
                f"{self._shown} is there already, made for {_owner(found)}; delete it, or choose "
                "another name"
            ) from exc

    def _refuse_taken(self, exc: ClusterRefused) -> None:
        """Raise what CDI's webhook meant: TargetBusy when a claim of that name is there."""
        if "already exists" not in str(exc):
            raise exc
        raise TargetBusy(f"{exc}; delete that claim, or choose another name") from exc

    # --- the bytes

    def _upload(self, there: _Prepared) -> Upload:
        return Upload(
            proxy=there.proxy,
            path=_PATHS[self._settings.upload],
            claim=f"{self._order.namespace}/{self._order.name}",
            size=there.body.length,
            as_is=there.body.is_file,
            token=self._token,
            tell=self._tell,
            pace=self._pace,
            answered=self._patience,
        )

    async def _token(self) -> str:
        """Return a new token, after a look at what it opens.

        A token is for a name: another's DataVolume that has taken ours would be overwritten. And a
        pod that has died meanwhile has been followed by another.
        """
        space, name = self._order.namespace, self._order.name
        found = await self._cluster.find(DATA_VOLUMES, space, name)
        if found is None or found["metadata"]["uid"] != self._uid:
            raise ObjectGone(f"{self._shown} is gone: somebody deleted it")
        await self._there.end.note_pod(self._there.pod)
        return await upload_token(self._cluster, space, name)

    async def _explained(self, exc: TargetUnavailable, end: End) -> TargetError:
        """Return the DataVolume's own reason for an upload that broke, *exc* when it gives none."""
        space, name = self._order.namespace, self._order.name
        try:
            async with asyncio.timeout(self._pace.told):
                found = await self._cluster.find(DATA_VOLUMES, space, name)
                if found is None or found["metadata"]["uid"] != self._uid:
                    return ObjectGone(f"{self._shown} is gone: somebody deleted it ({exc})")
                words = await end.last_words(view(DataVolume, found))
        except (ClusterUnavailable, TimeoutError):
            return exc
        return TargetUnavailable(f"{exc}: {words}") if words else exc

    # --- CDI's work

    @property
    def _there(self) -> _Prepared:
        if self._prepared is None:
            raise ImporterError(f"{self._shown} was not prepared")
        return self._prepared

    @property
    def _patience(self) -> float:
        """Seconds for CDI's own work."""
        return self._settings.finish + (self._info.virtual_size or 0) / SLOWEST

    async def _late(self, end: End) -> TargetError:
        found = await self._cluster.find(DATA_VOLUMES, self._order.namespace, self._order.name)
        words = await end.last_words(view(DataVolume, found)) if found else "it is gone"
        return TargetTimeout(
            f"{self._shown} not done {self._patience:g} s after its last byte: {words}", found
        )

    @property
    def _shown(self) -> str:
        return f"DataVolume {self._order.namespace}/{self._order.name}"


def _owner(found: Object) -> str:
    annotations = found["metadata"].get("annotations") or {}
    image = annotations.get(marks.IMAGE)
    return f"image {image} of another service" if image else "somebody else"
