"""A volume made of another one: a DataVolume whose source is an image's claim.

CDI chooses how (planner.go: snapshot, csi-clone or host-assisted) and says so on the new claim.
Only a host-assisted copy tells how far it is; of the others nothing is heard before their end.
And Longhorn's driver answers before anything is copied (csi/controller_server.go), so CDI says that
it has succeeded while Longhorn copies: the copy is over when Longhorn says so too.
"""

import asyncio
import uuid
from collections.abc import Mapping
from contextlib import aclosing

from importer.config import Cdi
from importer.errors import (
    ClusterForbidden,
    NotInstalled,
    ObjectGone,
    TargetError,
    TargetTimeout,
)
from importer.kube.classes import ClusterClass
from importer.kube.cluster import Cluster, Object
from importer.kube.events import warnings
from importer.kube.objects import Claim, DataVolume, Volume, view
from importer.kube.resources import CLAIMS, DATA_VOLUMES, VOLUMES
from importer.kube.wait import follow, wait_for
from importer.model import Placed, Strategy
from importer.stream.unbroken import unbroken
from importer.targets import Order, Tell, marks
from importer.targets.cdi.objects import IMMEDIATE
from importer.targets.cloning import Cloned
from importer.units import MiB, round_up

SLOWEST = 20 * MiB
"""Bytes of a disk a second that a copy is given time for."""

_TYPE = "cdi.kubevirt.io/cloneType"
_COPIED = ("copy-completed-awaiting-healthy", "completed")
_FALLBACK = "cdi.kubevirt.io/cloneFallbackReason"
_STRATEGIES: Mapping[str, Strategy] = {
    "copy": "host-assisted",
    "network": "host-assisted",
    "snapshot": "snapshot",
    "csi-clone": "csi-clone",
}
"""What CDI calls them on claims; ``network`` came before ``copy``."""


class Copy:
    """One DataVolume that becomes a copy of *image*, a disk of *size* bytes."""

    def __init__(
        self,
        cluster: Cluster,
        of: ClusterClass,
        settings: Cdi,
        image: Placed,
        order: Order,
        size: int,
        tell: Tell,
        longhorn: str,
    ) -> None:
        """*longhorn*: where Longhorn's own objects are."""
        self._cluster = cluster
        self._class = of
        self._image = image
        self._order = order
        self._size = size
        self._tell = tell
        self._longhorn = longhorn
        self._seconds = settings.finish + size / SLOWEST

    async def made(self) -> Cloned:
        """Make it, and return when its claim has its volume. Raises TargetError."""
        space, name = self._order.namespace, self._order.name
        self._tell("CDI plans the copy")
        new = await unbroken(self._cluster.create(DATA_VOLUMES, await self._data_volume()))
        try:
            async with asyncio.timeout(self._seconds):
                await self._succeeded(new["metadata"]["uid"])
        except TimeoutError as exc:
            words = await self._last_words(new["metadata"]["uid"])
            raise TargetTimeout(
                f"{self._shown} is no copy after {self._seconds:g} s: {words or 'nobody says why'}"
            ) from exc
        claim = await wait_for(self._cluster, CLAIMS, space, name, _bound, self._seconds)
        told = claim.metadata.annotations
        strategy = self._strategy(told.get(_TYPE, ""))
        why = told.get(_FALLBACK, "")
        if strategy == "host-assisted" or not self._class.engine.startswith("longhorn-"):
            return Cloned(strategy, "inferred", self._size, why)
        size, unseen = await self._copied(claim.spec.volume_name)
        return Cloned(strategy, "inferred", size, why or unseen)

    async def _copied(self, name: str) -> tuple[int, str]:
        """Wait for Longhorn; return the bytes that it copied, and why it was not waited for."""
        self._tell("Longhorn copies")
        try:
            volume = await wait_for(
                self._cluster,
                VOLUMES,
                self._longhorn,
                name,
                self._is_copied,
                self._seconds,
                what="for Longhorn to copy",
            )
            return await self._moved(volume), ""
        except (ClusterForbidden, NotInstalled, ObjectGone) as exc:
            return self._size, f"what Longhorn does after CDI is not seen: {exc}"

    def _is_copied(self, found: Object) -> Volume | None:
        volume = view(Volume, found)
        if volume.status.clone_status.state == "failed":
            self._tell("Longhorn could not copy, and tries again")
        is_over = volume.status.clone_status.state in _COPIED or not volume.spec.data_source
        return volume if is_over else None

    async def _moved(self, volume: Volume) -> int:
        """Return what Longhorn copies: what its source takes, no more than it could hold."""
        if volume.spec.clone_mode == "linked-clone":
            return 0
        named = f"metadata.name={volume.status.clone_status.source_volume}"
        found = await self._cluster.all(VOLUMES, self._longhorn, fields=named)
        taken = sum(view(Volume, one).status.actual_size for one in found)
        return min(taken, self._size) or self._size

    def _strategy(self, kind: str) -> Strategy | None:
        """Return how it was made; a class of Longhorn v2 may make its clones share their blocks."""
        strategy = _STRATEGIES.get(kind)
        shares = self._class.engine == "longhorn-v2" and strategy in ("snapshot", "csi-clone")
        if shares and self._class.parameters.get("cloneMode") == "linked-clone":
            return "linked-clone"
        return strategy

    async def _data_volume(self) -> Object:
        """Return the object, of the modes that the image's own claim has."""
        space, _, name = self._image.name.partition("/")
        source = view(Claim, await self._cluster.get(CLAIMS, space, name))
        annotations = {**marks.annotations(self._order), marks.TRY: uuid.uuid4().hex}
        if self._class.waits_for_consumer:
            annotations[IMMEDIATE] = "true"
        return DATA_VOLUMES.object(
            {
                "name": self._order.name,
                "namespace": self._order.namespace,
                "labels": marks.labels(self._order),
                "annotations": annotations,
            },
            spec={
                "source": {"pvc": {"namespace": space, "name": name}},
                "storage": {
                    "storageClassName": self._class.name,
                    "accessModes": list(source.spec.access_modes),
                    "volumeMode": source.spec.volume_mode,
                    "resources": {"requests": {"storage": str(round_up(self._size, MiB))}},
                },
            },
        )

    async def _succeeded(self, uid: str) -> None:
        space, name = self._order.namespace, self._order.name
        async with aclosing(follow(self._cluster, DATA_VOLUMES, space, name, uid)) as states:
            async for found in states:
                if found is None:
                    raise ObjectGone(f"{self._shown} is gone: somebody deleted it")
                volume = view(DataVolume, found)
                if volume.status.phase == "Succeeded":
                    return
                if volume.status.phase == "Failed":
                    words = await self._last_words(uid)
                    raise TargetError(f"{self._shown} has failed: {words or 'no reason given'}")
                self._say(volume)

    def _say(self, volume: DataVolume) -> None:
        percent = volume.status.progress.partition(".")[0].rstrip("%")
        phase = volume.status.phase or "Pending"
        if percent.isdecimal():
            self._tell(f"DataVolume is {phase}", int(percent), 100)
        else:
            self._tell(f"DataVolume is {phase}")

    async def _last_words(self, uid: str) -> str:
        found = await self._cluster.find(DATA_VOLUMES, self._order.namespace, self._order.name)
        if found:
            running = view(DataVolume, found).status.condition("Running")
            if not running.holds and running.message:
                return running.message
        told = await warnings(self._cluster, self._order.namespace, self._order.name, uid)
        return told[0] if told else ""

    @property
    def _shown(self) -> str:
        return f"DataVolume {self._order.namespace}/{self._order.name}"


def _bound(found: Object) -> Claim | None:
    claim = view(Claim, found)
    if claim.status.phase == "Lost":
        raise TargetError(f"{claim} has lost its volume")
    return claim if claim.status.phase == "Bound" else None
