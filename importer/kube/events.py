"""What controllers say of an object when it does not come forward: events of type Warning."""

from importer.kube.cluster import Cluster
from importer.kube.objects import ClusterEvent, view
from importer.kube.resources import EVENTS


async def warnings(cluster: Cluster, namespace: str, name: str, uid: str = "") -> list[str]:
    """Return ``Reason: message`` of each warning about objects called *name*, newest first.

    *uid*: only those about that one, not about an earlier one of its name. One request; the same
    text is told once. Events go after an hour (kube-apiserver --event-ttl).
    """
    fields = f"involvedObject.name={name},type=Warning"
    found = [view(ClusterEvent, one) for one in await cluster.all(EVENTS, namespace, fields=fields)]
    about = [one for one in found if not uid or one.involved_object.uid == uid]
    about.sort(key=lambda one: one.last_seen, reverse=True)
    return list(dict.fromkeys(f"{one.reason}: {one.message}" for one in about))
