"""The object that an image is made of: a DataVolume. CDI makes its claim, of the same name."""

from importer.kube.classes import ClusterClass
from importer.kube.cluster import Object
from importer.kube.objects import Claim
from importer.kube.resources import DATA_VOLUMES
from importer.targets import Order, marks
from importer.targets.cdi.options import Options
from importer.units import MiB, round_up

IMMEDIATE = "cdi.kubevirt.io/storage.bind.immediate.requested"
"""Annotation: the volume is made at once, also where its class waits for a pod that uses it."""

GOLDEN = "harvesterhci.io/goldenImage"
"""Annotation, copied by CDI to the claim: Harvester's volumes page lists it as an image's, not as
a disk of some VM (harvester-ui-extension: models/harvester/persistentvolumeclaim.js)."""


def data_volume(
    order: Order,
    options: Options,
    of: ClusterClass,
    virtual_size: int,
    attempt: str,
    owner: Object | None = None,
) -> Object:
    """Return the DataVolume that takes an upload of a disk of that size. *attempt* names the try.

    *owner*: a reference to what it goes with when that is deleted.
    `spec.storage`: CDI adds what a file system needs for itself, and knows the class's modes.
    """
    annotations = {**marks.annotations(order), marks.TRY: attempt, GOLDEN: "true"}
    if of.waits_for_consumer:
        annotations[IMMEDIATE] = "true"
    return DATA_VOLUMES.object(
        {
            "name": order.name,
            "namespace": order.namespace,
            "labels": marks.labels(order),
            "annotations": annotations,
            **({"ownerReferences": [owner]} if owner else {}),
        },
        spec={
            "source": {"upload": {}},
            "contentType": "kubevirt",
            "storage": _storage(options, of, virtual_size),
            **({"preallocation": True} if options.preallocation else {}),
        },
    )


def _storage(options: Options, of: ClusterClass, virtual_size: int) -> Object:
    wanted: Object = {
        "storageClassName": of.name,
        "resources": {"requests": {"storage": str(round_up(virtual_size, MiB))}},
    }
    if options.access_modes:
        wanted["accessModes"] = list(options.access_modes)
    if options.volume_mode:
        wanted["volumeMode"] = options.volume_mode
    return wanted


def upload_pod(claim: Claim) -> str:
    """Return the name of the pod that fills *claim*.

    CDI: ``cdi-upload-`` and the claim that is written (upload-controller.go). That is another,
    unless the class's driver is of an age that knows no populators.
    """
    if claim.cdi("usePopulator") == "false":
        return claim.cdi("uploadPodName") or f"cdi-upload-{claim.name}"
    return f"cdi-upload-{prime(claim.metadata.uid)}"


def prime(claim_uid: str) -> str:
    """Return the claim that is written in place of the one of that uid (populator-base.go)."""
    return f"prime-{claim_uid}"
