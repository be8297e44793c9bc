"""Waiting until an image's data source takes bytes: Longhorn's pod for one file.

Ready is: the BackingImageDataSource says ``pending``, and its pod runs (LHM:
api/forwarder.go:175-212). A pod that nobody schedules stays; what it waits for is told.
"""

import asyncio
from contextlib import aclosing

from importer.errors import ObjectGone, TargetTimeout, TargetUnavailable
from importer.kube.cluster import Cluster
from importer.kube.objects import BackingImageDataSource, Pod, view
from importer.kube.resources import DATA_SOURCES, PODS
from importer.kube.wait import follow
from importer.targets import Tell

POD = "backing-image-ds-"
"""Before the image's name: the name of its pod."""


class DataSource:
    """The data source of BackingImage *name*, whose uid is *owner*."""

    def __init__(self, cluster: Cluster, namespace: str, name: str, owner: str, tell: Tell) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._owner = owner
        self._tell = tell
        self._last = ""
        self._running = asyncio.Event()

    async def takes_bytes(self, seconds: float) -> None:
        """Return when it does. Raises TargetTimeout, ObjectGone, TargetUnavailable."""
        self._say("Longhorn makes the image's data source")
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                pod = group.create_task(self._watch_pod())
                await self._pending()
                await self._running.wait()
                pod.cancel()
        except TimeoutError as exc:
            raise TargetTimeout(
                f"BackingImage {self._namespace}/{self._name} takes no bytes after {seconds:g} s: "
                f"{self._last}"
            ) from exc
        except ExceptionGroup as exc:
            raise exc.exceptions[0] from exc

    async def _pending(self) -> None:
        seen = False
        states = follow(self._cluster, DATA_SOURCES, self._namespace, self._name)
        async with aclosing(states):
            async for found in states:
                source = view(BackingImageDataSource, found) if found else None
                if source and self._is_ours(source):
                    seen = True
                    if self._takes(source):
                        return
                elif seen:
                    raise ObjectGone(f"{self._shown} is gone: somebody deleted the image")

    def _is_ours(self, source: BackingImageDataSource) -> bool:
        """Whether it is not what is left of an earlier image of that name."""
        owners = source.metadata.owner_references
        images = {one.uid for one in owners if one.kind == "BackingImage"}
        return not images or self._owner in images

    def _takes(self, source: BackingImageDataSource) -> bool:
        state, message = source.status.current_state, source.status.message
        if state.startswith("failed"):
            raise TargetUnavailable(f"{self._shown}: {state}: {message or 'no reason given'}")
        return state == "pending"

    async def _watch_pod(self) -> None:
        pods = follow(self._cluster, PODS, self._namespace, POD + self._name)
        async with aclosing(pods):
            async for found in pods:
                self._running.clear()
                pod = view(Pod, found) if found else None
                if pod and not pod.metadata.deletion_timestamp:
                    self._look_at(pod)

    def _look_at(self, pod: Pod) -> None:
        """Note whether *pod* runs, and tell why it does not. One that failed is not made again."""
        why = pod.held_by or pod.last_words or pod.status.message
        state = f"pod {pod.name} is {pod.status.phase}: {why}".rstrip(": ")
        if pod.status.phase == "Failed":
            raise TargetUnavailable(state)
        if pod.status.phase != "Running":
            return self._say(state)
        self._running.set()
        return self._say("Longhorn's data source starts")

    def _say(self, what: str) -> None:
        if what != self._last:
            self._last = what
            self._tell(what)

    @property
    def _shown(self) -> str:
        return f"BackingImageDataSource {self._namespace}/{self._name}"
