"""What is kept of the cluster's objects: the few fields that tell of copies.

Thousands of objects are held for as long as the service runs, so each is one small tuple of short
strings. Texts that others wrote are cut and made one line; sizes are bytes, times seconds since
1970 (None: not told), percentages 0 to 100 (None: not told).
"""

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from importer.kube import quantity
from importer.kube.cluster import Object
from importer.kube.labels import UID
from importer.kube.objects import Claim, DataVolume, Engine, Volume, view
from importer.sources.secrets import shown

IMPORTS = frozenset({"http", "s3", "gcs", "registry", "imageio", "vddk"})
"""Sources from which CDI's own importer reads (types.go, DataVolumeSource)."""

_LONGEST = 300
"""Characters of a text that is kept."""

_OWNER = "cdi.kubevirt.io/OwnedByUID"
"""Label of what CDI makes on the way to a clone: the uid of the claim that is to be filled
(clone-populator.go)."""


@dataclass(frozen=True, slots=True)
class ClaimFact:
    """A claim, and what CDI writes on it of its being cloned."""

    uid: str
    namespace: str
    name: str
    created: float | None
    storage_class: str
    size: int
    """What it has, or asks for while it has nothing."""

    volume: str
    """Name of the volume that it is bound to."""

    owner: str
    """Uid of the claim for whose clone it was made."""

    clone: str
    """CDI's strategy: copy, snapshot, csi-clone; empty: CDI clones nothing into it."""

    fallback: str
    """Why it is not another."""

    phase: str
    error: str
    percent: float | None
    source: str
    is_lost: bool
    is_leaving: bool


@dataclass(frozen=True, slots=True)
class DataVolumeFact:
    """A DataVolume."""

    uid: str
    namespace: str
    name: str
    created: float | None
    kind: str
    """Of its source; empty where it has none of its own."""

    source: str
    origin: tuple[str, str]
    """Namespace and name of the claim that it is a clone of, or empty."""

    is_ours: bool
    phase: str
    percent: float | None
    error: str
    ready: float | None
    """Since when."""

    is_leaving: bool


@dataclass(frozen=True, slots=True)
class VolumeFact:
    """A volume of Longhorn's."""

    uid: str
    name: str
    created: float | None
    engine: str
    size: int
    actual: int
    """Bytes that it takes."""

    source: str
    """Name of the volume that it begins as; empty: it is no clone."""

    is_linked: bool
    """It shares its source's blocks; nothing is copied."""

    state: str
    attempt: int
    claim: tuple[str, str]
    """Namespace and name of its claim, or empty."""

    is_leaving: bool


@dataclass(frozen=True, slots=True)
class EngineFact:
    """A Longhorn volume's engine."""

    volume: str
    percent: float | None
    error: str


Fact = ClaimFact | DataVolumeFact | VolumeFact | EngineFact


@dataclass(slots=True)
class Facts:
    """Everything that is known at a moment."""

    claims: list[ClaimFact] = field(default_factory=list)
    data_volumes: list[DataVolumeFact] = field(default_factory=list)
    volumes: list[VolumeFact] = field(default_factory=list)
    engines: list[EngineFact] = field(default_factory=list)
    watched: frozenset[str] = frozenset()
    """Names of the kinds of objects that are up to date; of the others nothing new is known."""


def claim(found: Object) -> ClaimFact:
    """Return what is kept of a claim."""
    one = view(Claim, found)
    meta, spec, notes = one.metadata, one.spec, one.metadata.annotations
    return ClaimFact(
        uid=meta.uid,
        namespace=sys.intern(meta.namespace),
        name=meta.name,
        created=moment(meta.creation_timestamp),
        storage_class=sys.intern(spec.storage_class_name),
        size=_bytes(one.status.capacity) or _bytes(spec.resources.requests),
        volume=spec.volume_name,
        owner=meta.labels.get(_OWNER, ""),
        clone=_word(notes.get("cdi.kubevirt.io/cloneType", "")),
        fallback=_word(notes.get("cdi.kubevirt.io/cloneFallbackReason", "")),
        phase=_word(notes.get("cdi.kubevirt.io/clonePhase", "")),
        error=line(notes.get("cdi.kubevirt.io/cloneError", "")),
        percent=percent(one.cdi("populator.progress")),
        source=_origin(spec.data_source_ref if spec.data_source_ref.kind else spec.data_source),
        is_lost=one.status.phase == "Lost",
        is_leaving=bool(meta.deletion_timestamp),
    )


def data_volume(found: Object) -> DataVolumeFact:
    """Return what is kept of a DataVolume."""
    one = view(DataVolume, found)
    meta, status = one.metadata, one.status
    kind, fields = next(iter(one.spec.source.items()), ("", {}))
    ready, running = status.condition("Ready"), status.condition("Running")
    named = str(fields.get("namespace") or meta.namespace), str(fields.get("name") or "")
    return DataVolumeFact(
        uid=meta.uid,
        namespace=sys.intern(meta.namespace),
        name=meta.name,
        created=moment(meta.creation_timestamp),
        kind=_word(kind),
        source=_source(kind, fields, named),
        origin=named if kind == "pvc" else ("", ""),
        is_ours=UID in meta.labels,
        phase=_word(status.phase),
        percent=percent(status.progress),
        error=line(running.message) if running.reason == "Error" else "",
        ready=moment(ready.last_transition_time) if ready.holds else None,
        is_leaving=bool(meta.deletion_timestamp),
    )


def volume(found: Object) -> VolumeFact:
    """Return what is kept of a Longhorn volume."""
    one = view(Volume, found)
    meta, spec, status = one.metadata, one.spec, one.status
    clone, used = status.clone_status, status.kubernetes_status
    return VolumeFact(
        uid=meta.uid,
        name=meta.name,
        created=moment(meta.creation_timestamp),
        engine="longhorn-v2" if spec.data_engine == "v2" else "longhorn-v1",
        size=max(0, spec.size),
        actual=max(0, status.actual_size),
        source=clone.source_volume or _named(spec.data_source),
        is_linked=spec.clone_mode == "linked-clone",
        state=_word(clone.state),
        attempt=max(1, clone.attempt_count),
        claim=(used.namespace, used.pvc_name),
        is_leaving=bool(meta.deletion_timestamp),
    )


def engine(found: Object) -> EngineFact:
    """Return what is kept of an engine."""
    one = view(Engine, found)
    replicas = one.status.clone_status.values()
    done = [min(100, max(0, replica.progress)) for replica in replicas]
    return EngineFact(
        volume=one.spec.volume_name,
        percent=sum(done) / len(done) if done else None,
        error=line("; ".join(replica.error for replica in replicas if replica.error)),
    )


def moment(text: str) -> float | None:
    """Return an RFC 3339 time as seconds since 1970."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except (ValueError, OverflowError, OSError):
        return None


def percent(text: str) -> float | None:
    """Return ``45.30%`` as a number; None for ``N/A`` and whatever else is no share."""
    try:
        number = float(text.strip().removesuffix("%"))
    except ValueError:
        return None
    return min(100.0, max(0.0, number)) if math.isfinite(number) else None


def line(text: str) -> str:
    """Return the start of *text*, which is not ours, as one line."""
    told = " ".join(text[: 4 * _LONGEST].split())[:_LONGEST]
    return "".join(char if char.isprintable() else "?" for char in told)


def _word(text: str) -> str:
    """Return a short text that many objects have, kept once."""
    return sys.intern(line(text)[:120])


def _bytes(sizes: dict[str, str]) -> int:
    try:
        return max(0, quantity.parse(sizes.get("storage", "0")))
    except (ValueError, ArithmeticError):
        return 0


def _origin(reference: Any) -> str:
    return line(f"{reference.kind} {reference.name}".strip())


def _named(data_source: str) -> str:
    """Return the volume of ``vol://VOLUME`` or ``snap://VOLUME/SNAPSHOT``."""
    scheme, _, rest = data_source.partition("://")
    return line(rest.partition("/")[0]) if scheme in ("vol", "snap") else ""


def _source(kind: str, fields: dict[str, Any], named: Iterable[str]) -> str:
    if kind == "pvc":
        return line("PersistentVolumeClaim " + "/".join(named))
    if kind == "snapshot":
        return line("VolumeSnapshot " + "/".join(named))
    url = fields.get("url")
    return line(shown(url) if isinstance(url, str) and url else kind)
