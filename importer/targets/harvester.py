"""Harvester's image objects: what they ask for, and what an upload tells them.

Of backend ``backingimage``, Harvester's controllers make the BackingImage and follow it until the
image is ready (H: pkg/image/backingimage). Of backend ``cdi``, whoever takes the upload makes the
DataVolume, of the image's own name and owned by it, and the controller follows that (H:
pkg/image/cdi/upload.go, common.go:102-133). Status is no subresource. H is harvester/harvester.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime

from importer.config import Cdi, Longhorn
from importer.errors import ImporterError, ObjectGone, TargetError, TargetTimeout
from importer.kube.classes import ClusterClass
from importer.kube.cluster import Cluster, Object
from importer.kube.objects import BackingImage, BackingImageDataSource, DataVolume, VmImage, view
from importer.kube.resources import BACKING_IMAGES, DATA_SOURCES, DATA_VOLUMES, VM_IMAGES
from importer.kube.wait import follow
from importer.model import ImageInfo, Wire
from importer.stream.pipe import Chunks
from importer.targets import Finished, Order, Tell, Written
from importer.targets.cdi.place import DataVolumePlace
from importer.targets.cdi.shelf import PACE

MADE = 60.0
"""Seconds that Harvester itself waits for Longhorn to take bytes (upload.go:42-60)."""

EVERY = 2.0
"""Seconds between two words about progress."""


_UPGRADE = {"accessModes": ["ReadWriteMany"], "volumeMode": "Filesystem"}
"""Options of an image that nodes are upgraded with (upload.go:125-131)."""


async def found(cluster: Cluster, namespace: str, name: str) -> VmImage:
    """Return an image. Raises ObjectGone when there is none, NotInstalled without Harvester."""
    return view(VmImage, await cluster.get(VM_IMAGES, namespace, name))


async def backing_image(cluster: Cluster, settings: Longhorn, image: VmImage) -> BackingImage:
    """Return the BackingImage that Harvester makes of *image*, once it takes an upload.

    Raises TargetTimeout, and TargetError in the words of a data source that failed.
    """
    space, name = settings.namespace, image.backing_image
    try:
        async with (
            asyncio.timeout(MADE),
            aclosing(follow(cluster, DATA_SOURCES, space, name)) as states,
        ):
            async for state in states:
                if state and _is_pending(state):
                    break
    except TimeoutError as exc:
        raise TargetTimeout("timeout waiting for backing image data source to be ready") from exc
    return view(BackingImage, await cluster.get(BACKING_IMAGES, space, name))


def _is_pending(state: Object) -> bool:
    source = view(BackingImageDataSource, state)
    if source.status.current_state.startswith("failed"):
        raise TargetError(source.status.message or "the backing image's data source has failed")
    return source.status.current_state == "pending"


async def is_filled(cluster: Cluster, image: VmImage) -> bool:
    """Say whether the DataVolume of *image* has its bytes already."""
    volume = await cluster.find(DATA_VOLUMES, image.metadata.namespace, image.name)
    return volume is not None and view(DataVolume, volume).status.phase == "Succeeded"


async def failed(cluster: Cluster, image: VmImage, message: str) -> None:
    """Say on *image* that its upload failed (operator.go:305-326)."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    new = {
        "type": "Imported",
        "status": "False",
        "reason": "UploadFailed",
        "message": message,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
    }

    def change(status: Object) -> None:
        others = [one for one in status.get("conditions") or [] if one.get("type") != "Imported"]
        status["conditions"] = [*others, new]

    with suppress(ObjectGone):
        await _tell(cluster, image, change)


async def _tell(cluster: Cluster, image: VmImage, change: Callable[[Object], None]) -> None:
    """Change the status of that very *image*: it is no subresource, and others write it too."""

    def changed(current: Object) -> Object | None:
        if current["metadata"]["uid"] != image.metadata.uid:
            return None
        change(current.setdefault("status", {}))
        return current

    await cluster.change(VM_IMAGES, image.metadata.namespace, image.name, changed)


class ImageVolume(DataVolumePlace):
    """The DataVolume of a VirtualMachineImage: it goes when the image goes."""

    def __init__(
        self,
        cluster: Cluster,
        of: ClusterClass,
        settings: Cdi,
        image: VmImage,
        size: int | None,
        tell: Tell,
    ) -> None:
        """*size*: bytes of the file."""
        meta = image.metadata
        options = _UPGRADE if image.is_upgrade else {}
        order = Order(meta.uid, meta.namespace, image.name, None, options)
        super().__init__(cluster, of, settings, order, tell, PACE, _reference(image))
        self._image = image
        self._size = size

    async def prepare(self, info: ImageInfo, wire: Wire = "as-is", size: int | None = None) -> None:
        """Tell the image its sizes, and make the volume."""
        await self._told(size=self._size or 0, virtualSize=info.virtual_size or 0)
        await super().prepare(info, wire, size)

    async def write(self, chunks: Chunks) -> Written:
        """Send the bytes, and tell the image how many."""
        return await super().write(self._counted(chunks))

    async def finish(self) -> Finished:
        """Wait until CDI has made the volume; tell the image when it has not."""
        try:
            return await super().finish()
        except ImporterError as exc:  # Harvester would wait for ever (pkg/image/cdi/cdi.go:99-101)
            with suppress(TargetError):
                await failed(self._cluster, self._image, str(exc))
            raise

    async def _counted(self, chunks: Chunks) -> Chunks:
        loop, done = asyncio.get_running_loop(), 0
        last = loop.time()
        async for chunk in chunks:
            yield chunk
            done += len(chunk)
            if self._size and loop.time() - last > EVERY:
                last = loop.time()
                with suppress(TargetError):
                    await self._told(progress=min(99, done * 100 // self._size))

    async def _told(self, **status: int) -> None:
        await _tell(self._cluster, self._image, lambda told: told.update(status))


def _reference(image: VmImage) -> Object:
    return {
        "apiVersion": VM_IMAGES.api_version,
        "kind": VM_IMAGES.kind,
        "name": image.name,
        "uid": image.metadata.uid,
    }
