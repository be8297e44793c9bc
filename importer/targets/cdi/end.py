"""CDI's own work after the last byte, until the volume is whole.

A 200 of ``upload-async`` promises nothing: the convert goes on, and when it fails its container
ends with 1 and is started again, empty. The DataVolume then says ``UploadReady`` as if nothing had
happened, with one more restart (CDI: uploadserver.go:348-401; kubevirt#3231).
"""

from contextlib import aclosing

from importer.errors import ImporterError, ObjectGone, TargetError, TargetUnavailable
from importer.kube.cluster import Cluster, Object
from importer.kube.events import warnings
from importer.kube.objects import Claim, DataVolume, Pod, view
from importer.kube.resources import DATA_VOLUMES, PODS
from importer.kube.wait import follow
from importer.targets import Tell
from importer.targets.cdi import answers


class End:
    """What becomes of the DataVolume *namespace*/*name* of that *uid*, once it has its bytes."""

    def __init__(
        self, cluster: Cluster, namespace: str, name: str, uid: str, as_is: bool, tell: Tell
    ) -> None:
        """*as_is*: it got a file to convert."""
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._uid = uid
        self._as_is = as_is
        self._tell = tell
        self._said = ""
        self._pod_name = ""
        self._pod_uid = ""
        self._restarts = 0

    async def note_pod(self, name: str) -> None:
        """Note the pod of that name as the one that takes the bytes, right before they are sent."""
        self._pod_name = name
        pod = await self._pod() if name else None
        self._pod_uid, self._restarts = (pod.metadata.uid, pod.restarts) if pod else ("", 0)

    async def succeeded(self) -> None:
        """Return when CDI says so. Raises what CDI's failure means, ObjectGone."""
        last = None
        states = follow(self._cluster, DATA_VOLUMES, self._namespace, self._name, self._uid)
        async with aclosing(states):
            async for found in states:
                if found is None:
                    raise ObjectGone(f"{self.shown} is gone: somebody deleted it")
                volume = view(DataVolume, found)
                if volume.status.phase == "Succeeded":
                    return
                if volume.status != last and await self._has_failed(volume):
                    raise await self._why(volume)
                last = volume.status
                self._say("CDI converts the disk" if self._as_is else "CDI writes the disk")

    async def _has_failed(self, volume: DataVolume) -> bool:
        status = volume.status
        if status.phase == "Failed" or status.restart_count > self._restarts:
            return True
        if not self._pod_uid:  # it goes by another name than we know
            return False
        pod = await self._pod()
        if pod and pod.metadata.uid == self._pod_uid and not _has_ended_badly(pod):
            return False
        # Pods go when they are through, too, and with their DataVolume, which is told by its own
        # end; what we hold may be a moment old.
        found = await self._cluster.find(DATA_VOLUMES, self._namespace, self._name)
        return found is not None and view(DataVolume, found).status.phase != "Succeeded"

    async def _pod(self) -> Pod | None:
        found = await self._cluster.find(PODS, self._namespace, self._pod_name)
        return view(Pod, found) if found else None

    async def _why(self, volume: DataVolume) -> ImporterError:
        """Return what CDI's failure means, in the pod's last words where it has left any."""
        words = await self.last_words(volume)
        if volume.status.phase == "Failed":
            return TargetError(f"{self.shown} has failed: {words or 'no reason given'}")
        if not words:
            return TargetUnavailable(f"{self.shown}: its upload pod was lost with what it had got")
        return answers.failure(f"{self.shown}: CDI failed after the upload", words, self._as_is)

    async def last_words(self, volume: DataVolume) -> str:
        """Return what is said of its end by the pod, the DataVolume, or the events."""
        pod = await self._pod() if self._pod_uid else None
        if pod and pod.metadata.uid == self._pod_uid and pod.last_words:
            return pod.last_words
        running = volume.status.condition("Running")
        if not running.holds and running.message:
            return running.message
        told = await warnings(self._cluster, self._namespace, self._name, self._uid)
        return told[0] if told else ""

    def bound(self, found: Object) -> Claim | None:
        """Return the claim when the volume is its own."""
        claim = view(Claim, found)
        if claim.status.phase == "Lost":
            raise TargetError(f"{claim} has lost its volume")
        if claim.status.phase == "Bound":
            return claim
        self._say("CDI gives the volume to its claim")
        return None

    def _say(self, what: str) -> None:
        if what != self._said:
            self._said = what
            self._tell(what)

    @property
    def shown(self) -> str:
        """It, for messages."""
        return f"DataVolume {self._namespace}/{self._name}"


def _has_ended_badly(pod: Pod) -> bool:
    return pod.status.phase == "Failed" or bool(pod.metadata.deletion_timestamp)
