"""How objects in a cluster say whose they are, so that they are found again after a crash.

Labels find them (their values are short), annotations tell people what they are. Keys are names of
ours: a tool that copies labels from one object to another does not make the copy ours unless it
copies these too.
"""

from typing import Any

from importer.kube.cluster import Object
from importer.kube.labels import UID
from importer.targets import Order

MANAGED = "app.kubernetes.io/managed-by"
"""Label of Kubernetes' own: which program looks after an object."""

IMAGE = "image-importer/image"
"""Annotation: ``NAMESPACE/NAME`` of the image."""

TRY = "image-importer/try"
"""Annotation: names one try, so that an object of an earlier one is never taken for its own."""

_US = "image-importer"


def labels(order: Order) -> dict[str, str]:
    """Return the labels of all that is made for *order*."""
    return {MANAGED: _US, UID: order.uid}


def annotations(order: Order) -> dict[str, str]:
    """Return the annotations of all that is made for *order*."""
    return {IMAGE: f"{order.namespace}/{order.name}"}


def selector(order: Order) -> str:
    """Return the label selector that finds all that was made for *order*."""
    return f"{UID}={order.uid}"


def is_of(found: Object, order: Order) -> bool:
    """Whether *found* was made for *order*."""
    marked: dict[str, Any] = found["metadata"].get("labels") or {}
    return marked.get(UID) == order.uid
