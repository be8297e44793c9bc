"""Making an image's objects in the cluster, in the place of what an earlier try has left there."""

import uuid

from importer.config import Longhorn
from importer.errors import TargetBusy
from importer.kube.classes import ClusterClass
from importer.kube.cluster import Cluster, Object
from importer.kube.resources import BACKING_IMAGES, STORAGE_CLASSES
from importer.kube.wait import wait_gone
from importer.stream.unbroken import unbroken
from importer.targets import Order, marks
from importer.targets.backingimage import objects
from importer.targets.backingimage.options import options
from importer.targets.backingimage.removal import delete


class Making:
    """Makes the objects of one image."""

    def __init__(
        self, cluster: Cluster, settings: Longhorn, of: ClusterClass, order: Order
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._class = of
        self._order = order

    async def image(self, sha512: str | None) -> Object:
        """Make the BackingImage. Raises TargetBusy when somebody else's has the name."""
        new = objects.backing_image(
            self._order,
            options(self._order),
            self._class,
            self._settings.namespace,
            uuid.uuid4().hex,
            sha512,
        )
        try:
            return await unbroken(self._cluster.create(BACKING_IMAGES, new))
        except TargetBusy as exc:
            await self._make_way(new["metadata"]["name"], exc)
        return await unbroken(self._cluster.create(BACKING_IMAGES, new))

    async def _make_way(self, name: str, exc: TargetBusy) -> None:
        """Wait for what holds the name to go: an earlier try of ours, or what is going anyway."""
        namespace, seconds = self._settings.namespace, self._settings.remove
        found = await self._cluster.find(BACKING_IMAGES, namespace, name)
        if found is None:
            return
        uid = found["metadata"]["uid"]
        if marks.is_of(found, self._order):
            await delete(self._cluster, self._settings, found)
        elif found["metadata"].get("deletionTimestamp"):
            await wait_gone(self._cluster, BACKING_IMAGES, namespace, name, seconds, uid)
        else:
            raise TargetBusy(
                f"BackingImage {namespace}/{name} is there already, made for {_owner(found)}; "
                "delete it, or choose another name"
            ) from exc

    async def storage_class(self) -> None:
        """Make the class whose volumes begin as the image, if one is asked for."""
        if not options(self._order).storage_class:
            return
        new = objects.storage_class(self._order, self._class)
        try:
            await unbroken(self._cluster.create(STORAGE_CLASSES, new))
        except TargetBusy:
            found = await self._cluster.find(STORAGE_CLASSES, "", new["metadata"]["name"])
            if found is None or not marks.is_of(found, self._order):
                raise


def _owner(found: Object) -> str:
    annotations = found["metadata"].get("annotations") or {}
    image = annotations.get(marks.IMAGE)
    return f"image {image} of another service" if image else "somebody else"
