"""Taking away what was made for an image, by its marks: also by another process, also twice."""

from contextlib import suppress

from importer.config import Longhorn
from importer.errors import ClusterRefused, NotInstalled, TargetBusy
from importer.kube.cluster import Cluster, Object
from importer.kube.resources import BACKING_IMAGES, STORAGE_CLASSES
from importer.kube.wait import wait_gone
from importer.targets import Order, marks

CONFLICTS = 4
"""Times in a row that a deletion may cross with somebody else's change."""

_USED = "using it"
"""Of the webhook's words: ``... since there are replicas using it``."""


async def remove(cluster: Cluster, settings: Longhorn, order: Order) -> None:
    """Remove all that carries the marks of *order*, and return when it is gone.

    Raises TargetBusy while volumes are made of the image: then it stays as it is.
    """
    with suppress(NotInstalled):  # without Longhorn there are no images of it
        found = await cluster.all(BACKING_IMAGES, settings.namespace, labels=marks.selector(order))
        for image in found:
            await delete(cluster, settings, image)
    for one in await cluster.all(STORAGE_CLASSES, labels=marks.selector(order)):
        await cluster.delete(STORAGE_CLASSES, "", one["metadata"]["name"], one["metadata"]["uid"])


async def delete(cluster: Cluster, settings: Longhorn, image: Object) -> None:
    """Delete that very BackingImage and wait for its end: Longhorn's finalizer holds it a while."""
    namespace, name, uid = (image["metadata"][key] for key in ("namespace", "name", "uid"))
    for _ in range(CONFLICTS):
        if await _marked(cluster, namespace, name, uid):
            return await wait_gone(cluster, BACKING_IMAGES, namespace, name, settings.remove, uid)
        found = await cluster.find(BACKING_IMAGES, namespace, name)
        if found is None or found["metadata"]["uid"] != uid:
            return None
    raise TargetBusy(f"BackingImage {namespace}/{name} cannot be deleted: others change it")


async def _marked(cluster: Cluster, namespace: str, name: str, uid: str) -> bool:
    """Ask for its deletion, and return whether it is on its way out."""
    try:
        return await cluster.delete(BACKING_IMAGES, namespace, name, uid) is not None
    except ClusterRefused as exc:
        if _USED not in str(exc):
            raise
        raise TargetBusy(f"{exc}; delete these volumes first") from exc
