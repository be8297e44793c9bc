"""Waiting until a DataVolume takes bytes, and saying what it waits for.

CDI's phases say little: a claim that nobody can provision, a pod that no node takes, an image that
cannot be pulled all look like ``Pending`` or ``UploadScheduled``. So the conditions, the pod and
the events are looked at too (CDI: pkg/controller/datavolume/upload-controller.go:221-261).
"""

import asyncio
from contextlib import aclosing

from importer.errors import ImporterError, ObjectGone, TargetError, TargetTimeout
from importer.kube.cluster import Cluster
from importer.kube.events import warnings
from importer.kube.objects import Claim, DataVolume, Pod, view
from importer.kube.resources import CLAIMS, DATA_VOLUMES, PODS
from importer.kube.wait import follow
from importer.targets import Tell
from importer.targets.cdi import objects

_INVALID = "ErrClaimNotValid"
"""Reason of the condition Bound: no claim will ever be made of this DataVolume."""

_SILENT = ("No PVC found",)


class Ready:
    """The DataVolume *namespace*/*name* of that *uid*, until its pod takes bytes."""

    def __init__(
        self, cluster: Cluster, namespace: str, name: str, uid: str, tell: Tell, quiet: float
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._uid = uid
        self._tell = tell
        self._quiet = quiet
        self._said: dict[str, str] = {}
        """Who said what last: the DataVolume, its pod, the events about them."""

        self._claim: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        self._news = asyncio.Event()
        self.pod = ""
        """Name of the pod that takes the bytes."""

    async def takes_bytes(self, seconds: float) -> None:
        """Return when it does. Raises TargetTimeout with the reason, ObjectGone, TargetError."""
        self._say("DataVolume", "CDI makes the volume and its upload pod")
        helpers = [asyncio.create_task(work) for work in (self._follow_pod(), self._ask_events())]
        volume = asyncio.create_task(self._follow_volume())
        try:
            async with asyncio.timeout(seconds):
                await _first(volume, *helpers)
        except TimeoutError as exc:
            raise await self._late(seconds) from exc
        finally:
            for task in (volume, *helpers):
                task.cancel()
            await asyncio.gather(volume, *helpers, return_exceptions=True)
            self._claim.cancel()

    async def _late(self, seconds: float) -> TargetTimeout:
        """Return the error of a DataVolume that did not get ready, with every reason there is."""
        try:
            async with asyncio.timeout(10):
                await self._events_now()
        except (ImporterError, TimeoutError):
            pass
        why = "; ".join(f"{who}: {what}" for who, what in self._said.items() if what)
        return TargetTimeout(f"{self._shown} takes no bytes after {seconds:g} s: {why}")

    # --- the DataVolume

    async def _follow_volume(self) -> None:
        states = follow(self._cluster, DATA_VOLUMES, self._namespace, self._name, self._uid)
        async with aclosing(states):
            async for found in states:
                if found is None:
                    raise ObjectGone(f"{self._shown} is gone: somebody deleted it")
                volume = view(DataVolume, found)
                self._news.set()
                await self._note_claim(volume)
                if volume.status.phase == "UploadReady":
                    return
                self._look(volume)

    def _look(self, volume: DataVolume) -> None:
        """Say how far it is; raise what will not get better."""
        phase, told = volume.status.phase or "Pending", []
        for kind in ("Bound", "Running"):
            condition = volume.status.condition(kind)
            if condition.reason == _INVALID:
                raise TargetError(
                    f"{self._shown}: {_INVALID}: {condition.message}; give spec.target.accessModes "
                    "and volumeMode, or complete the class's StorageProfile"
                )
            if not condition.holds and condition.message and condition.message not in _SILENT:
                told.append(f"{condition.reason}: {condition.message}".strip(": "))
        if phase == "Failed":
            raise TargetError(f"{self._shown} has failed: {'; '.join(told) or 'no reason given'}")
        if phase in ("Succeeded", "Paused"):
            raise TargetError(f"{self._shown} takes no bytes: it is {phase}")
        self._say("DataVolume", f"DataVolume is {phase}: {'; '.join(told)}".rstrip(": "))

    async def _note_claim(self, volume: DataVolume) -> None:
        if volume.status.claim_name and not self._claim.done():
            found = await self._cluster.find(CLAIMS, self._namespace, volume.status.claim_name)
            if found and not self._claim.done():
                claim = view(Claim, found)
                self._claim.set_result(claim)
                self.pod = objects.upload_pod(claim)

    # --- its pod

    async def _follow_pod(self) -> None:
        name = objects.upload_pod(await self._claim)
        async with aclosing(follow(self._cluster, PODS, self._namespace, name)) as states:
            async for found in states:
                self._news.set()
                pod = view(Pod, found) if found else None
                if pod and pod.status.phase != "Running":
                    why = pod.held_by or pod.last_words or pod.status.message
                    self._say("pod", f"pod {name} is {pod.status.phase}: {why}".rstrip(": "))

    # --- events

    async def _ask_events(self) -> None:
        """Ask for the reasons in events when nothing else says anything; seldom, for it is dear."""
        quiet = self._quiet
        while True:
            try:
                async with asyncio.timeout(quiet):
                    await self._news.wait()
                self._news.clear()
            except TimeoutError:
                await self._events_now()
                quiet *= 3

    async def _events_now(self) -> None:
        names = [self._name]
        if self._claim.done() and not self._claim.cancelled():
            names.append(f"{objects.prime(self._claim.result().metadata.uid)}-scratch")
        for name in names:
            if found := await warnings(self._cluster, self._namespace, name):
                self._say(name, found[0])

    def _say(self, who: str, what: str) -> None:
        if self._said.get(who) != what:
            self._said[who] = what
            self._tell(what)

    @property
    def _shown(self) -> str:
        return f"DataVolume {self._namespace}/{self._name}"


async def _first(volume: "asyncio.Task[None]", *helpers: "asyncio.Task[None]") -> None:
    """Return when *volume* is through; raise what any of them raises."""
    waiting = {volume, *helpers}
    while not volume.done():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
