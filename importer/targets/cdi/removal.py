"""Taking away what was made for an image: also by another process, also twice."""

from contextlib import suppress

from importer.config import Cdi
from importer.errors import NotInstalled
from importer.kube.cluster import Cluster, Object
from importer.kube.resources import CLAIMS, DATA_VOLUMES
from importer.kube.wait import wait_gone
from importer.targets import Order, marks


async def remove(cluster: Cluster, settings: Cdi, order: Order) -> None:
    """Remove what was made for *order*, and return when it is gone.

    Looked for by its name, and ours by its mark: tools that restore or clone volumes may copy marks
    to objects of other names. A claim has the mark from its DataVolume, which it may outlive.
    Raises TargetTimeout when something holds it, as a VM that uses the volume does.
    """
    namespace, name = order.namespace, order.name
    with suppress(NotInstalled):  # without CDI there are no images of it
        volume = await cluster.find(DATA_VOLUMES, namespace, name)
        if volume and marks.is_of(volume, order):
            await delete(cluster, settings, volume)
    claim = await cluster.find(CLAIMS, namespace, name)
    if claim and marks.is_of(claim, order):
        uid = claim["metadata"]["uid"]
        await cluster.delete(CLAIMS, namespace, name, uid)
        await wait_gone(cluster, CLAIMS, namespace, name, settings.remove, uid)


async def delete(cluster: Cluster, settings: Cdi, volume: Object) -> None:
    """Delete that very DataVolume, and wait until it and its claim are gone."""
    namespace, name, uid = (volume["metadata"][key] for key in ("namespace", "name", "uid"))
    claim = await cluster.find(CLAIMS, namespace, name)
    await cluster.delete(DATA_VOLUMES, namespace, name, uid)
    await wait_gone(cluster, DATA_VOLUMES, namespace, name, settings.remove, uid)
    if claim and _is_owned(claim, uid):
        owned = claim["metadata"]["uid"]
        await wait_gone(cluster, CLAIMS, namespace, name, settings.remove, owned)


def _is_owned(claim: Object, uid: str) -> bool:
    owners = claim["metadata"].get("ownerReferences") or []
    return any(one["uid"] == uid for one in owners)
