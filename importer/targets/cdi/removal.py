"""Taking away what was made for an image, by its marks: also by another process, also twice."""

from contextlib import suppress

from importer.config import Cdi
from importer.errors import NotInstalled
from importer.kube.cluster import Cluster, Object
from importer.kube.resources import CLAIMS, DATA_VOLUMES
from importer.kube.wait import wait_gone
from importer.targets import Order, marks


async def remove(cluster: Cluster, settings: Cdi, order: Order) -> None:
    """Remove all that carries the marks of *order*, and return when it is gone.

    A claim may outlive its DataVolume: where somebody deleted that one alone.
    Raises TargetTimeout when something holds it, as a VM that uses the volume does.
    """
    namespace, selector = order.namespace, marks.selector(order)
    with suppress(NotInstalled):  # without CDI there are no images of it
        for volume in await cluster.all(DATA_VOLUMES, namespace, labels=selector):
            await delete(cluster, settings, volume)
    for claim in await cluster.all(CLAIMS, namespace, labels=selector):
        name, uid = claim["metadata"]["name"], claim["metadata"]["uid"]
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
