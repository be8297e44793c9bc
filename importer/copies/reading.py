"""What objects say of copies at one moment. No I/O, no clock: facts in, what is seen out.

One copy is one `Seen`, however many objects tell of it. A clone that CDI has Longhorn make is
CDI's: its claim says whose it is, Longhorn's volume and engine how far it is. Who belongs to whom:

* CDI clones into a claim ``tmp-pvc-UID`` that carries the uid of the claim that is wanted, and
  binds its volume to that one in the end (CDI: clone/planner.go, clone/rebind.go).
* A Longhorn volume made by CSI is called ``pvc-`` and the uid of the claim it was made for.

Longhorn's CSI driver answers before anything is copied (csi/controller_server.go), so CDI may say
Succeeded while Longhorn copies: where both tell, the copy is over when Longhorn's bytes are there.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from importer.copies.facts import IMPORTS, ClaimFact, DataVolumeFact, Facts, VolumeFact
from importer.copies.seen import (
    CLAIMS,
    DATA_VOLUMES,
    UNKNOWN,
    VOLUMES,
    ClassFact,
    Reading,
    Seen,
    State,
)
from importer.copies.strategies import STRATEGIES
from importer.model import Strategy

ERROR_LASTS = 60.0
"""Seconds for which CDI must say Error until it is believed: it says so too of an update that
another's was faster than, and tries again at once (clone-populator.go, updateClonePhaseError)."""

LONGHORN_COMES = 10.0
"""Seconds in which the volume of a finished clone must have been seen among Longhorn's, before CDI
alone is believed: the two are watched over connections of their own."""

TRIES = 20
"""Tries at one volume that are told apart; Longhorn makes 10 (volume_controller.go,
maxCloneRetry)."""

_AT_WORK = frozenset({"HostClone", "CSIClone", "Snapshot", "SnapshotClone", "PrepClaim", "Rebind"})
_COPIED = frozenset({"copy-completed-awaiting-healthy", "completed"})
_PASSING = "tmp-pvc-"
"""Beginning of the name of a claim that CDI makes on the way (planner.go, createDesiredClaim)."""

_REPLICAS = "Longhorn makes the other replicas"


@dataclass(slots=True)
class Reader:
    """Reads facts. It remembers which volume is a part of whose copy: while CDI moves a volume
    from one claim to the other, nothing says so."""

    _links: dict[str, str] = field(default_factory=dict)
    """Uid of a Longhorn volume → uid of the claim that CDI fills."""

    def read(
        self,
        facts: Facts,
        classes: Mapping[str, ClassFact],
        counted: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    ) -> Reading:
        """Return what *facts* say of copies that are not *counted* yet, and of those that Longhorn
        still works at. *counted*: uid → kind of its object, and why it failed."""
        return _Look(facts, classes, counted, self._links).reading()


class _Look:
    """One look at all facts."""

    def __init__(
        self,
        facts: Facts,
        classes: Mapping[str, ClassFact],
        counted: Mapping[str, tuple[str, str]],
        links: dict[str, str],
    ) -> None:
        self._facts, self._classes, self._counted = facts, classes, counted
        self._claims = {one.uid: one for one in facts.claims}
        self._named = {(one.namespace, one.name): one for one in facts.claims}
        self._holders = {one.volume: one for one in facts.claims if one.volume}
        self._volumes = {one.name: one for one in facts.volumes}
        self._engines = {one.volume: one for one in facts.engines}
        self._data_volumes = {(one.namespace, one.name): one for one in facts.data_volumes}
        self._links = links

    def reading(self) -> Reading:
        parts = self._parts()
        every = itertools.chain(
            self._clones(parts),
            self._imports(),
            *(self._tries(one) for one in self._volumes.values() if self._is_alone(one)),
        )
        return Reading({one.uid: one for one in every}, frozenset(self._links))

    # --- which volume is whose

    def _parts(self) -> dict[str, VolumeFact]:
        """Return the volume that is copied for each claim that CDI fills."""
        clones = [one for one in self._facts.volumes if one.source]
        for one in clones:
            if whose := self._whose(one):
                self._links[one.uid] = whose
        known = {one.uid for one in clones}
        for gone in self._links.keys() - known:
            del self._links[gone]
        return {self._links[one.uid]: one for one in clones if one.uid in self._links}

    def _whose(self, volume: VolumeFact) -> str:
        """Return the uid of the claim that CDI fills with *volume*; empty when it is none."""
        claim = self._claim_of(volume)
        if claim:
            return claim.owner or (claim.uid if claim.clone in STRATEGIES else "")
        # Longhorn remembers the claim that it had last, whose name tells for which it was made.
        wanted = volume.claim[1].removeprefix(_PASSING)
        return wanted if wanted in self._claims else ""

    def _claim_of(self, volume: VolumeFact) -> ClaimFact | None:
        return (
            self._claims.get(volume.name.removeprefix("pvc-"))
            or self._holders.get(volume.name)
            or self._named.get(volume.claim)
        )

    def _is_alone(self, volume: VolumeFact) -> bool:
        is_whole = bool(volume.source) and not volume.is_leaving
        return is_whole and volume.uid not in self._links

    # --- clones by CDI

    def _clones(self, parts: Mapping[str, VolumeFact]) -> Iterator[Seen]:
        for claim in self._facts.claims:
            strategy = STRATEGIES.get(claim.clone)
            if strategy is None or claim.owner or claim.is_leaving:
                continue
            claim = claim if claim.phase else self._told(claim)
            volume = None if strategy == "host-assisted" else parts.get(claim.uid)
            has_failed = claim.is_lost or claim.phase == "Error"
            if volume is None or (has_failed and not volume.state):
                number = self._next(claim)
                if number:
                    yield self._by_cdi(claim, strategy, number)
            elif volume.uid not in self._counted:
                yield from self._by_both(claim, strategy, volume)

    def _told(self, claim: ClaimFact) -> ClaimFact:
        """Return a claim on which CDI writes no phase with what its DataVolume says instead."""
        one = self._data_volumes.get((claim.namespace, claim.name))
        if one is None:
            return claim
        phase = _CLONING.get(one.phase, "")
        return replace(claim, phase=phase, percent=one.percent, is_lost=one.phase == "Failed")

    def _next(self, claim: ClaimFact) -> int:
        """Return which try of CDI's it is that is not counted; 0: there is none.

        One that failed is made again: CDI never gives up.
        """
        for number in range(1, TRIES + 1):
            counted = self._counted.get(_uid(claim.uid, number))
            if counted is None:
                return number
            if not counted[1]:
                return 0
        return 0

    def _by_cdi(self, claim: ClaimFact, strategy: Strategy, number: int) -> Seen:
        data_volume = self._data_volumes.get((claim.namespace, claim.name))
        of = self._class(claim)
        total = self._cloned(claim, data_volume)
        state, lasts = self._state(claim, strategy, of)
        tells = strategy == "host-assisted"  # of the others it is 100 at the end, or nothing
        return Seen(
            uid=_uid(claim.uid, number),
            kind=CLAIMS,
            namespace=claim.namespace,
            name=claim.name,
            of=of,
            strategy=strategy,
            state=state,
            is_again=number > 1,
            total=total,
            source=_source(claim, data_volume),
            why=claim.fallback,
            phase=claim.phase or None,
            done=_share(total, claim.percent if tells else None),
            error=claim.error,
            reason=_reason(claim) if state == "failed" else "",
            began=None if of.waits or number > 1 else claim.created,
            ended=data_volume.ready if data_volume else None,
            lasts=lasts,
        )

    def _state(self, claim: ClaimFact, strategy: Strategy, of: ClassFact) -> tuple[State, float]:
        """Return what CDI says of a clone, and for how long it must say so."""
        if claim.is_lost:
            return "failed", 0.0
        if claim.phase in _AT_WORK:
            return "running", 0.0
        if claim.phase == "Succeeded":
            told = of.engine.startswith("longhorn-") and VOLUMES in self._facts.watched
            return "done", LONGHORN_COMES if told and strategy != "host-assisted" else 0.0
        return ("failed", ERROR_LASTS) if claim.phase == "Error" else ("waiting", 0.0)

    def _cloned(self, claim: ClaimFact, data_volume: DataVolumeFact | None) -> int:
        origin = self._named.get(data_volume.origin) if data_volume else None
        return origin.size if origin and origin.size else claim.size

    def _by_both(self, claim: ClaimFact, strategy: Strategy, volume: VolumeFact) -> Iterator[Seen]:
        data_volume = self._data_volumes.get((claim.namespace, claim.name))
        of = self._class(claim)
        whose = Seen(
            uid=claim.uid,
            kind=CLAIMS,
            namespace=claim.namespace,
            name=claim.name,
            of=of,
            strategy="linked-clone" if volume.is_linked else strategy,
            state="waiting",
            total=None,
            source=_source(claim, data_volume),
            why=claim.fallback,
        )
        at_work = claim.phase in _AT_WORK or claim.phase == "Succeeded"
        before = self._before(claim)
        yield from self._copied(whose, volume, "running" if at_work else "waiting", before)

    def _before(self, claim: ClaimFact) -> int:
        """Return how many tries of CDI's failed before Longhorn's first."""
        found = 0
        for number in range(1, TRIES + 1):
            reason = self._counted.get(_uid(claim.uid, number), ("", ""))[1]
            found += reason not in ("", "volume-failed")
        return found

    # --- clones by Longhorn

    def _tries(self, volume: VolumeFact) -> Iterator[Seen]:
        claim = self._claim_of(volume)
        namespace, name = (claim.namespace, claim.name) if claim else volume.claim
        of = self._class(claim) if claim else ClassFact(UNKNOWN, UNKNOWN, volume.engine)
        whose = Seen(
            uid=volume.uid,
            kind=VOLUMES,
            namespace=namespace,
            name=name or volume.name,
            of=of,
            strategy="linked-clone" if volume.is_linked else "full-copy",
            state="waiting",
            total=None,
            source=claim.source if claim and claim.source else f"Volume {volume.source}",
        )
        return self._copied(whose, volume, "waiting")

    def _copied(
        self, whose: Seen, volume: VolumeFact, begins: State, before: int = 0
    ) -> Iterator[Seen]:
        """Yield every try of Longhorn's at *volume*; the last is what it does now.

        *begins*: the state of one that Longhorn has not begun yet. *before*: tries that were none
        of Longhorn's.
        """
        error = f"Longhorn could not copy volume {volume.source}"
        last = min(before + volume.attempt, TRIES)
        for number in range(before + 1, last):
            yield _again(whose, number, state="failed", reason="volume-failed", error=error)
        total = self._moved(volume)
        told = self._engines.get(volume.name)
        now: dict[str, object] = {"state": begins, "total": total, "phase": "Longhorn prepares"}
        now["began"] = volume.created if volume.attempt == 1 else None
        if volume.state == "initiated":
            percent = 0.0 if volume.is_linked else told.percent if told else None
            done = _share(total, percent)
            now |= {"state": "running", "phase": "Longhorn copies", "done": done}
        elif volume.state in _COPIED:
            phase = None if volume.state == "completed" else _REPLICAS
            now |= {"state": "done", "phase": phase, "done": total}
        elif volume.state == "failed":
            why = {"reason": "volume-failed", "error": (told and told.error) or error}
            done = _share(total, told.percent if told else None)
            now |= {"state": "failed", "phase": "failed", "done": done, **why}
        yield _again(whose, last, **now)

    def _moved(self, volume: VolumeFact) -> int:
        """Return the bytes that Longhorn copies: what its source takes, not what it could hold.

        SPDK's deep copy goes through the clusters that are allocated (replica.go:3150-3175). What
        a volume takes counts its snapshots one by one, hence no more than its size.
        """
        if volume.is_linked:
            return 0
        source = self._volumes.get(volume.source)
        return min(source.actual, volume.size) if source and source.actual else volume.size

    # --- imports by CDI

    def _imports(self) -> Iterator[Seen]:
        for one in self._facts.data_volumes:
            is_import = one.kind in IMPORTS and not one.is_ours and not one.is_leaving
            if is_import and one.uid not in self._counted:
                yield self._imported(one)

    def _imported(self, one: DataVolumeFact) -> Seen:
        claim = self._named.get((one.namespace, one.name))
        of = self._class(claim) if claim else ClassFact(UNKNOWN, UNKNOWN, UNKNOWN)
        total = claim.size if claim and claim.size else None
        return Seen(
            uid=one.uid,
            kind=DATA_VOLUMES,
            namespace=one.namespace,
            name=one.name,
            of=of,
            strategy="cdi-import",
            state=_IMPORTING.get(one.phase, "waiting"),
            total=total,
            source=one.source,
            phase=one.phase or None,
            done=_share(total, one.percent),
            error=one.error,
            reason="claim-lost" if one.phase == "Failed" else "",
            began=None if of.waits else one.created,
            ended=one.ready,
        )

    def _class(self, claim: ClaimFact) -> ClassFact:
        return self._classes.get(claim.storage_class) or ClassFact(UNKNOWN, UNKNOWN, UNKNOWN)


_CLONING = {
    "CloneInProgress": "HostClone",
    "CSICloneInProgress": "CSIClone",
    "SnapshotForSmartCloneInProgress": "Snapshot",
    "CloneFromSnapshotSourceInProgress": "SnapshotClone",
    "SmartClonePVCInProgress": "SnapshotClone",
    "PrepClaimInProgress": "PrepClaim",
    "RebindInProgress": "Rebind",
    "Succeeded": "Succeeded",
}
"""Phases of DataVolumes → those of claims that mean the same."""

_IMPORTING: Mapping[str, State] = {
    "ImportInProgress": "running",
    "Paused": "running",
    "Succeeded": "done",
    "Failed": "failed",
}
"""CDI's phases of an import (types.go:361-433); in all others nothing is copied yet."""


def _again(whose: Seen, number: int, **now: object) -> Seen:
    """Return try *number* of a copy."""
    return replace(whose, uid=_uid(whose.uid, number), **now)  # type: ignore[arg-type]


def _uid(uid: str, number: int) -> str:
    return uid if number == 1 else f"{uid}/{number}"


def _share(total: int | None, percent: float | None) -> int | None:
    if total is None or percent is None:
        return None
    # In ten thousandths, as CDI writes them: a product of floats would be off at petabytes.
    return total * round(percent * 100) // 10_000


def _source(claim: ClaimFact, data_volume: DataVolumeFact | None) -> str:
    return data_volume.source if data_volume and data_volume.source else claim.source


def _reason(claim: ClaimFact) -> str:
    """Return what kind of failure CDI's words are of."""
    if claim.is_lost:
        return "claim-lost"
    told = claim.error.lower()
    if any(text in told for text in ("exceeded quota", "no space", "insufficient storage")):
        return "no-space"
    missing = "not found" in told or "does not exist" in told
    return "source-missing" if missing else "clone-error"
