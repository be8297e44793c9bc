"""Harvester's image controllers in a fake cluster (facts, harvester.md 1.3, 2.2 and 2.3).

Of an image that is uploaded: of backend ``backingimage`` a BackingImage is made, and followed to
its end; of backend ``cdi`` the DataVolume that whoever takes the upload makes is followed.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any, Self

from tests.servers.kubernetes import FakeKubernetes, Object, Refused
from tests.servers.longhorn import Longhorn
from tests.servers.tasks import Tasks

IMAGES = "virtualmachineimages"


@dataclass
class Harvester:
    """The controllers."""

    kubernetes: FakeKubernetes
    longhorn: Longhorn
    reconciling: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to keep the controllers from making anything."""

    def __post_init__(self) -> None:
        self.reconciling.set()
        self._tasks = Tasks()

    async def __aenter__(self) -> Self:
        self._tasks.start(self._watch_images())
        self._tasks.start(self._watch("backingimages", self._backing_image))
        self._tasks.start(self._watch("datavolumes", self._data_volume))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.close()

    async def _watch_images(self) -> None:
        async for change in self.kubernetes.watch(IMAGES):
            if change.type == "ADDED":
                self._tasks.start(self._begin(change.object))

    async def _begin(self, image: Object) -> None:
        """Make what the image is to be, as its controller does (backingimage.go:100-231)."""
        await self.reconciling.wait()
        meta, spec = image["metadata"], image["spec"]
        if spec.get("backend") != "cdi":
            self.longhorn.create(
                {
                    "apiVersion": "longhorn.io/v1beta2",
                    "kind": "BackingImage",
                    "metadata": {
                        "name": f"vmi-{meta['uid']}",
                        "namespace": self.longhorn.namespace,
                        "annotations": {
                            "harvesterhci.io/imageId": f"{meta['namespace']}/{meta['name']}"
                        },
                    },
                    "spec": {
                        "sourceType": spec["sourceType"],
                        "sourceParameters": {},
                        "checksum": spec.get("checksum", ""),
                        "minNumberOfCopies": 1,
                    },
                }
            )
        self._tell(meta, {"progress": 0}, Initialized="True", Imported="Unknown")

    async def again(self, image: Object) -> None:
        """Delete a BackingImage that failed, and make it anew, as `Check` does after 10 seconds."""
        name = f"vmi-{image['metadata']['uid']}"
        space = self.longhorn.namespace
        self.kubernetes.delete("backingimages", space, name)
        await self.kubernetes.until_gone("backingimages", space, name)
        await self._begin(image)

    async def _watch(self, resource: str, told: Any) -> None:
        async for change in self.kubernetes.watch(resource):
            if change.type != "DELETED":
                told(change.object)

    def _backing_image(self, found: Object) -> None:
        """Take over what Longhorn says (backing_image_controller.go:41-103)."""
        told = (found["metadata"].get("annotations") or {}).get("harvesterhci.io/imageId", "")
        namespace, _, name = told.partition("/")
        status = found.get("status") or {}
        copies = list((status.get("diskFileStatusMap") or {}).values())
        if not name or not copies:
            return
        meta = {"namespace": namespace, "name": name}
        if copies[0]["state"].startswith("failed"):
            self._tell(meta, {}, Imported="False")
        elif copies[0]["state"] == "ready":
            sizes = {key: status[key] for key in ("size", "virtualSize")}
            self._tell(meta, {"progress": 100, **sizes}, Imported="True")
        else:
            self._tell(meta, {"progress": min(99, copies[0]["progress"])})

    def _data_volume(self, found: Object) -> None:
        """Call the image imported when its DataVolume has succeeded (cdi.go:71-107)."""
        if (found.get("status") or {}).get("phase") == "Succeeded":
            self._tell(found["metadata"], {"progress": 100}, Imported="True")

    def _tell(self, meta: Object, status: Object, **conditions: str) -> None:
        with contextlib.suppress(Refused):
            image = self.kubernetes.get(IMAGES, meta["namespace"], meta["name"])
            known = {one["type"]: one for one in image.get("status", {}).get("conditions", [])}
            known |= {kind: {"type": kind, "status": said} for kind, said in conditions.items()}
            whole = {**status, "conditions": list(known.values())}
            self.kubernetes.apply(IMAGES, meta["namespace"], meta["name"], {"status": whole})
