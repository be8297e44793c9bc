"""The objects that an image is made of: a BackingImage and, when asked for, a StorageClass."""

import hashlib

from importer.kube.classes import LONGHORN, ClusterClass
from importer.kube.cluster import Object
from importer.kube.resources import BACKING_IMAGES, STORAGE_CLASSES
from importer.targets import Order, marks
from importer.targets.backingimage.options import Options

LONGEST = 40
"""Characters of a BackingImage's name. Longhorn makes another one of a longer name and tells
nobody (LHM: datastore/longhorn.go:45, webhook/resources/backingimage/mutator.go)."""

_DIGEST = 10
"""Characters of it that tell images apart whose names are cut, or joined alike."""


def name_of(order: Order) -> str:
    """Return the name of an image's BackingImage: one image of a namespace, one name.

    Longhorn keeps all in one namespace. ``a-b/c`` and ``a/b-c`` differ in the digest.
    """
    whole = f"{order.namespace}/{order.name}"
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_DIGEST]
    readable = f"{order.namespace}-{order.name}"[: LONGEST - _DIGEST - 1]
    return f"{readable.rstrip('-')}-{digest}"


def backing_image(
    order: Order,
    options: Options,
    of: ClusterClass,
    namespace: str,
    attempt: str,
    sha512: str | None = None,
) -> Object:
    """Return the BackingImage that takes an upload. *attempt* names the try."""
    selectors = {
        "diskSelector": _tags(options.disk_selector, of, "diskSelector"),
        "nodeSelector": _tags(options.node_selector, of, "nodeSelector"),
    }
    known = {"minNumberOfCopies": options.copies, "checksum": sha512, **selectors}
    return BACKING_IMAGES.object(
        {
            "name": name_of(order),
            "namespace": namespace,
            "labels": marks.labels(order),
            "annotations": {**marks.annotations(order), marks.TRY: attempt},
        },
        spec={
            "sourceType": "upload",
            "sourceParameters": {},
            **{key: value for key, value in known.items() if value},
        },
    )


def storage_class(order: Order, of: ClusterClass) -> Object:
    """Return the class whose volumes begin as a copy of the image: *of*, with the image."""
    name = name_of(order)
    return STORAGE_CLASSES.object(
        {
            "name": f"longhorn-{name}",
            "labels": marks.labels(order),
            "annotations": marks.annotations(order),
        },
        provisioner=LONGHORN,
        parameters={**of.parameters, "backingImage": name},
        reclaimPolicy="Delete",
        volumeBindingMode="WaitForFirstConsumer" if of.waits_for_consumer else "Immediate",
        allowVolumeExpansion=True,
    )


def _tags(asked: tuple[str, ...] | None, of: ClusterClass, parameter: str) -> list[str]:
    """Return the tags asked for, or those of the class: its volumes look for the image there."""
    if asked is not None:
        return list(asked)
    return [tag.strip() for tag in of.parameters.get(parameter, "").split(",") if tag.strip()]
