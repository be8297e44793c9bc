"""What Longhorn's webhooks change and refuse (LHM: webhook/resources/backingimage/)."""

import hashlib
import re
from dataclasses import dataclass

from tests.servers.kubernetes import FakeKubernetes, Object, denied

NAME = "validator.longhorn.io"
FINALIZER = "longhorn.io"
LONGEST_NAME = 40
"""datastore/longhorn.go:45. Longer names are changed, silently."""


@dataclass
class Webhooks:
    """They stand before the API, for its clients."""

    kubernetes: FakeKubernetes
    namespace: str
    v2: bool
    """Whether BackingImages of engine v2 are taken."""

    def admit(self, verb: str, new: Object, old: Object | None) -> None:
        """Do what LHM: webhook/resources/backingimage/{mutator,validator}.go do."""
        name = new["metadata"]["name"]
        if verb == "create":
            self._mutate(new)
            self._validate(new)
        elif verb == "delete" and self._used(name):
            used = f"cannot delete backing image {name} since there are replicas using it"
            raise denied(NAME, used, 422, "Invalid")

    def _mutate(self, new: Object) -> None:
        meta, spec = new["metadata"], new.setdefault("spec", {})
        meta["name"] = corrected(meta["name"])
        meta["finalizers"] = [FINALIZER]
        spec["checksum"] = (spec.get("checksum") or "").strip()
        spec["minNumberOfCopies"] = spec.get("minNumberOfCopies") or 1
        spec["dataEngine"] = spec.get("dataEngine") or "v1"

    def _validate(self, new: Object) -> None:
        name, checksum = new["metadata"]["name"], new["spec"]["checksum"]
        why = ""
        if checksum and not re.fullmatch(r"[a-f0-9]{128}", checksum):
            why = f"invalid checksum {checksum}"
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]+", name):
            why = f"invalid name {name}"
        if new["spec"]["dataEngine"] == "v2" and not self.v2:
            why = "v2 backing image is not supported"
        if why:
            raise denied(NAME, why, 422, "Invalid")

    def _used(self, name: str) -> bool:
        replicas = self.kubernetes.all("replicas", self.namespace)
        labels = (one["metadata"].get("labels") or {} for one in replicas)
        return any(one.get("longhorn.io/backing-image") == name for one in labels)


def corrected(name: str) -> str:
    """Return the name that Longhorn makes of one that is too long (util.AutoCorrectName)."""
    if len(name) <= LONGEST_NAME:
        return name.lower()
    suffix = "-" + hashlib.sha512(name.encode()).hexdigest()[:8]
    return name.lower()[: LONGEST_NAME - len(suffix)].rstrip("-") + suffix
