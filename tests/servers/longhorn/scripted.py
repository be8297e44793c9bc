"""A clone by Longhorn as a test tells it, step by step: what its objects say, no bytes.

States as volume_controller.go goes through them: initiated, copy-completed-awaiting-healthy,
completed; failed, and initiated again with the next number. The engine says how far its replica is,
and forgets it before the next try.
"""

from dataclasses import dataclass

from tests.servers.kubernetes import FakeKubernetes, Object

SPACE = "longhorn-system"


def volume(kubernetes: FakeKubernetes, name: str, size: int, actual: int = 0) -> Object:
    """Create a volume that is no copy, and its engine."""
    spec = {"size": str(size), "dataEngine": "v2"}
    status = {"actualSize": actual, "cloneStatus": {"state": ""}}
    return _created(kubernetes, name, spec, status)


def _created(kubernetes: FakeKubernetes, name: str, spec: Object, status: Object) -> Object:
    meta = {"name": name, "namespace": SPACE}
    made = kubernetes.create("volumes", {"metadata": meta, "spec": spec, "status": status})
    engine = {"name": f"{name}-e-0", "namespace": SPACE}
    of = {"spec": {"volumeName": name}, "status": {"cloneStatus": None}}
    kubernetes.create("engines", {"metadata": engine, **of})
    return made


@dataclass
class Cloned:
    """A volume that is a copy of the volume *source*."""

    kubernetes: FakeKubernetes
    name: str
    source: str
    size: int
    mode: str = "full-copy"
    engine: str = "v2"

    def begin(self) -> None:
        """Create it, as the CSI driver does before it answers."""
        spec = {"size": str(self.size), "dataEngine": self.engine, "cloneMode": self.mode}
        spec["dataSource"] = f"vol://{self.source}"
        _created(self.kubernetes, self.name, spec, {})

    @property
    def uid(self) -> str:
        """The volume's."""
        return str(self.kubernetes.get("volumes", SPACE, self.name)["metadata"]["uid"])

    def bound(self, claim: str, namespace: str = "default") -> None:
        """Be of *claim*: remembered when it is of none any more."""
        told = {"namespace": namespace, "pvcName": claim}
        status = {"status": {"kubernetesStatus": told}}
        self.kubernetes.apply("volumes", SPACE, self.name, status)

    def initiate(self, attempt: int = 1) -> None:
        """Begin to copy."""
        self._replica(None)
        told = {"sourceVolume": self.source, "snapshot": "s", "attemptCount": attempt}
        self._state("initiated", **told)

    def progress(self, percent: int) -> None:
        """Be *percent* far."""
        told = {"isCloning": True, "progress": percent, "state": "in_progress", "error": ""}
        self._replica({"tcp://10.0.0.1:20001": told})

    def fail(self, error: str) -> None:
        """Fail."""
        engine = self.kubernetes.get("engines", SPACE, f"{self.name}-e-0")
        before = (engine["status"].get("cloneStatus") or {}).get("tcp://10.0.0.1:20001", {})
        told = {**before, "isCloning": False, "state": "error", "error": error}
        self._replica({"tcp://10.0.0.1:20001": told})
        self._state("failed")

    def copied(self) -> None:
        """Have all bytes in one replica."""
        self._state("copy-completed-awaiting-healthy")

    def complete(self) -> None:
        """Have all replicas."""
        self._state("completed")

    def delete(self) -> None:
        """Be gone."""
        self.kubernetes.delete("engines", SPACE, f"{self.name}-e-0")
        self.kubernetes.delete("volumes", SPACE, self.name)

    def _state(self, state: str, **more: object) -> None:
        status = {"status": {"cloneStatus": {"state": state, **more}}}
        self.kubernetes.apply("volumes", SPACE, self.name, status)

    def _replica(self, told: Object | None) -> None:
        status = {"status": {"cloneStatus": told}}
        self.kubernetes.apply("engines", SPACE, f"{self.name}-e-0", status)
