"""Kubernetes' own objects: claims, pods, events."""

import msgspec

from importer.kube import quantity
from importer.kube.objects.base import Conditions, Part, View


class _Resources(Part, frozen=True, kw_only=True):
    requests: dict[str, str] = msgspec.field(default_factory=dict)


class Reference(Part, frozen=True, kw_only=True):
    """Another object: what a claim begins as."""

    kind: str = ""
    name: str = ""
    namespace: str = ""


class ClaimSpec(Part, frozen=True, kw_only=True):
    """What is claimed."""

    access_modes: tuple[str, ...] = ()
    volume_mode: str = "Filesystem"
    storage_class_name: str = ""
    volume_name: str = ""
    resources: _Resources = _Resources()
    data_source: Reference = Reference()
    data_source_ref: Reference = Reference()


class ClaimStatus(Conditions, frozen=True, kw_only=True):
    """What it got."""

    phase: str = ""
    capacity: dict[str, str] = msgspec.field(default_factory=dict)


class Claim(View, frozen=True, kw_only=True):
    """``persistentvolumeclaims``."""

    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()

    @property
    def requested(self) -> int:
        """Bytes asked for."""
        return quantity.parse(self.spec.resources.requests.get("storage", "0"))

    @property
    def capacity(self) -> int:
        """Bytes that it has; 0 while it is not bound."""
        return quantity.parse(self.status.capacity.get("storage", "0"))

    def cdi(self, annotation: str) -> str:
        """Return CDI's annotation ``cdi.kubevirt.io/storage.ANNOTATION``, empty when not there."""
        return self.metadata.annotations.get(f"cdi.kubevirt.io/storage.{annotation}", "")


class Stopped(Part, frozen=True, kw_only=True):
    """Why a container waits, or how it ended."""

    reason: str = ""
    message: str = ""
    exit_code: int = 0


class ContainerState(Part, frozen=True, kw_only=True):
    """One of these, or neither while it runs."""

    waiting: Stopped | None = None
    terminated: Stopped | None = None


class Container(Part, frozen=True, kw_only=True):
    """One of ``containerStatuses``."""

    name: str
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodStatus(Conditions, frozen=True, kw_only=True):
    """How a pod is."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")
    container_statuses: tuple[Container, ...] = ()
    init_container_statuses: tuple[Container, ...] = ()


class Pod(View, frozen=True, kw_only=True):
    """``pods``."""

    status: PodStatus = PodStatus()

    @property
    def restarts(self) -> int:
        """Restarts of its containers together."""
        return sum(one.restart_count for one in self.status.container_statuses)

    @property
    def held_by(self) -> str:
        """What it waits for, in the cluster's words: scheduling, an image, a volume; or empty."""
        scheduled = self.status.condition("PodScheduled")
        if scheduled.status == "False":
            return f"{scheduled.reason}: {scheduled.message}".strip(": ")
        waiting = [one.state.waiting for one in self._containers if one.state.waiting]
        told = [f"{one.reason}: {one.message}".strip(": ") for one in waiting]
        return "; ".join(text for text in told if text)

    @property
    def last_words(self) -> str:
        """Why a container of it ended the last time, or empty."""
        for one in self._containers:
            for state in (one.state, one.last_state):
                if state.terminated and state.terminated.exit_code:
                    told = state.terminated.message or state.terminated.reason
                    return told or f"exit code {state.terminated.exit_code}"
        return ""

    @property
    def _containers(self) -> tuple[Container, ...]:
        return self.status.init_container_statuses + self.status.container_statuses


class Involved(Part, frozen=True, kw_only=True):
    """What an event is about."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""


class ClusterEvent(View, frozen=True, kw_only=True):
    """``events`` (core v1)."""

    involved_object: Involved = Involved()
    type: str = "Normal"
    reason: str = ""
    message: str = ""
    count: int = 1
    last_timestamp: str = ""
    event_time: str = ""

    @property
    def warns(self) -> bool:
        """Whether something is wrong."""
        return self.type == "Warning"

    @property
    def last_seen(self) -> str:
        """When it happened last."""
        return self.last_timestamp or self.event_time or self.metadata.creation_timestamp
