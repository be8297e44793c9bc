"""Which form an image travels in, and why: a pure function, so that it can be printed and tested.

For each form it asks whether it is possible and, step by step, what it would cost at the rates of
the storage class; the cheapest wins, and of those that cost about the same the simplest. Sizes are
bytes, rates bytes in a second. docs/plan.md explains it for people. Raises UnsupportedImage when no
form is possible.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import get_args

import msgspec

from importer.errors import UnknownStorageClass, UnsupportedImage
from importer.model import Candidate, Format, ImageInfo, Plan, PlanReport, Rates, StorageClass, Wire
from importer.plan.case import READ, Case, Reach, Subject, stored_as
from importer.plan.cost import known_bytes, steps_of
from importer.plan.possible import why_not
from importer.plan.reason import reason
from importer.targets import Accepts

__all__ = [
    "HERE",
    "SPOOLED",
    "Choice",
    "Reach",
    "Road",
    "Subject",
    "accepted",
    "choose",
    "choose_spool",
    "from_disk",
    "place_named",
    "report",
    "road",
    "stored_as",
]

HERE = Reach(here=True, can_seek=True)
"""A file on the client's machine."""

SPOOLED = Reach(can_seek=True, spooled=True)
"""A file on the service's own disk."""

_FIRST = "put down by the service first, to know its map"
_ONCE = "it is sent once, and only its end tells whether all of it is in order"
_TABLES = "whether Longhorn reads it right shows only in all of its tables"

_SAME_SECONDS, _SAME_SHARE = 0.1, 0.05
"""What a simpler form may cost more than the cheapest: nobody notices so little."""

_WORTH = 0.9
"""Share of a simpler form's bytes that a client must at most send in another to be worth it. As it
is, the service hashes and reports the user's own file; in another form it cannot."""

SPOOL = 5e8
"""Bytes in a second that the service's own disk takes, before a file is read from it again."""

_SIMPLEST_FIRST: tuple[Wire, ...] = get_args(Wire)


@dataclass(frozen=True, slots=True)
class Choice:
    """The plan and what it was chosen from."""

    plan: Plan
    candidates: tuple[Candidate, ...]
    """The chosen one first, then by seconds, then those that are not possible."""

    @property
    def chosen(self) -> Candidate:
        """The candidate that the plan follows."""
        return self.candidates[0]


def choose(subject: Subject, reach: Reach, accepts: Accepts, rates: Rates) -> Choice:
    """Return the cheapest form in which *subject* can travel. Raises UnsupportedImage."""
    case = Case(subject, reach, accepts, rates)
    found = [_candidate(case, wire) for wire in _SIMPLEST_FIRST]
    possible = [candidate for candidate in found if candidate.why_not is None]
    if not possible:
        reasons = "; ".join(f"{entry.wire}: {entry.why_not}" for entry in found)
        raise UnsupportedImage(f"no form of this {subject.format} image can be sent: {reasons}")
    best = _best(case, possible)
    ranked = sorted(found, key=lambda entry: _rank(entry, best))
    plan = Plan(wire=best.wire, why=reason(case, ranked), bytes=best.bytes, seconds=best.seconds)
    return Choice(plan, tuple(ranked))


def choose_spool(
    subject: Subject, reach: Reach, accepts: Accepts, rates: Rates
) -> tuple[Choice, bool]:
    """Return the cheapest form, and whether the file has to be put down by the service for it.

    Put down, everything is known of it; that costs a pass over the service's own disk. What is
    predicted then is chosen anew once it lies there. Raises UnsupportedImage.
    """
    laid = replace(subject, compression=None, unfit="", sizes={})
    if laid.format not in READ:
        laid = replace(laid, format=Format.RAW)
    if subject.virtual_size is None or subject.compression:
        laid = replace(laid, size=subject.virtual_size or subject.size)
    put = _put_down(laid, accepts, rates)
    try:
        direct = choose(subject, reach, accepts, rates)
    except UnsupportedImage:
        return put, True
    if (put.plan.seconds or 0) < (direct.plan.seconds or math.inf):
        return put, True
    return direct, False


@dataclass(frozen=True, slots=True)
class Road:
    """How a file that comes to the service as a stream goes on to its target."""

    choice: Choice
    spools: bool
    """The service puts it down first; `from_disk` then chooses anew."""

    subject: Subject
    reach: Reach


def road(
    subject: Subject, reach: Reach, accepts: Accepts, rates: Rates, *, once: bool = False
) -> Road:
    """Return the road of *subject*, of which no more is known than its head tells: an import
    takes it, and a plan foretells it. Raises UnsupportedImage.

    *once*: the source cannot be read again, so no road is taken that may lead nowhere.
    """
    if "raw" in accepts.wires:
        return Road(choose(subject, reach, accepts, rates), False, subject, reach)
    if accepts.libqcow and subject.format is Format.QCOW2:
        subject = replace(subject, unfit=_TABLES)
    if once and subject.format is Format.QCOW2 and not reach.shuffled:
        reach = replace(reach, shuffled=_ONCE)
    if accepts.made and not (reach.shuffled and subject.format.is_raw):
        with suppress(UnsupportedImage):
            return Road(choose(subject, reach, accepts, rates), False, subject, reach)
    choice, spools = choose_spool(subject, reach, accepts, rates)
    return Road(choice, spools or bool(reach.shuffled and subject.format.is_raw), subject, reach)


def from_disk(laid: Subject, accepts: Accepts, rates: Rates) -> Choice:
    """Return the cheapest form of *laid*, a file that the service has put down.

    Raises UnsupportedImage.
    """
    choice = choose(laid, SPOOLED, accepts, rates)
    why = f"{_FIRST}; {choice.plan.why}"
    return replace(choice, plan=msgspec.structs.replace(choice.plan, why=why))


def _put_down(laid: Subject, accepts: Accepts, rates: Rates) -> Choice:
    """Return what `from_disk` does, with what putting the file down costs beforehand."""
    choice = from_disk(laid, accepts, rates)
    if choice.plan.seconds is None:
        return choice
    seconds = choice.plan.seconds + (laid.size or laid.virtual_size or 0) / SPOOL
    return replace(choice, plan=msgspec.structs.replace(choice.plan, seconds=seconds))


def report(info: ImageInfo, subject: Subject, reach: Reach, place: StorageClass) -> PlanReport:
    """Return the plan for the image of which *info* tells, made in *place*, as it is shown.

    Of *subject*, all is told that is known, also what its import learns only on its way.
    """
    accepts = accepted(place)
    if "raw" in accepts.wires:
        choice = choose(subject, reach, accepts, place.rates)
    elif reach.here:
        choice = _sent_on(subject, reach, accepts, place.rates)
    else:
        choice = _foretold(subject, reach, accepts, place.rates)
    return PlanReport(
        image=info,
        data=subject.data,
        storage_class=place.name,
        plan=choice.plan,
        candidates=choice.candidates,
    )


def _sent_on(subject: Subject, reach: Reach, accepts: Accepts, rates: Rates) -> Choice:
    """Return what a client sends of *subject*: what no form is for, the service makes one of."""
    try:
        return choose(subject, reach, accepts, rates)
    except UnsupportedImage:
        then = road(subject, Reach(), accepts, rates, once=True).choice.plan
    case = Case(subject, reach, accepts, rates)
    others = (Candidate(wire=wire, why_not=why_not(case, wire)) for wire in _SIMPLEST_FIRST[1:])
    sent = Candidate(wire="as-is", bytes=subject.size, seconds=then.seconds)
    why = f"the service takes it as it is, and sends it on as {then.wire}: {then.why}"
    plan = Plan(wire="as-is", why=why, bytes=subject.size, seconds=then.seconds)
    return Choice(plan, (sent, *others))


def _foretold(subject: Subject, reach: Reach, accepts: Accepts, rates: Rates) -> Choice:
    """Return what the import of *subject* will choose, which at first knows its head alone."""
    begun = road(replace(subject, data=None, sizes={}, unfit=""), reach, accepts, rates)
    if not begun.spools:
        return begun.choice
    if subject.compression:
        return _unsure(begun.choice)
    if subject.format in READ:
        laid = replace(subject, size=subject.size or subject.virtual_size)
    else:
        laid = replace(subject, format=Format.RAW, size=subject.virtual_size, unfit="")
    choice = _put_down(laid, accepts, rates)
    return choice if subject.sizes else _unsure(choice)


def _unsure(choice: Choice) -> Choice:
    """Return *choice* without its bytes: another may be made once the file lies there."""
    return replace(choice, plan=msgspec.structs.replace(choice.plan, bytes=None))


def place_named(places: Sequence[StorageClass], name: str | None) -> StorageClass:
    """Return the class of that name, None meaning the default. Raises UnknownStorageClass."""
    for place in places:
        if place.name == name or (name is None and place.default):
            return place
    known = ", ".join(place.name for place in places)
    raise UnknownStorageClass(f"no storage class {name!r}; there are {known}")


def accepted(place: StorageClass) -> Accepts:
    """Return what *place* says that it takes."""
    return Accepts(
        frozenset(place.wires),
        frozenset(place.formats),
        frozenset(place.stores),
        place.converts,
        place.hashes,
        place.exact,
        place.libqcow,
    )


def _candidate(case: Case, wire: Wire) -> Candidate:
    if refusal := why_not(case, wire):
        return Candidate(wire=wire, why_not=refusal)
    known, steps = known_bytes(case, wire), steps_of(case, wire)
    if steps is None:
        return Candidate(wire=wire, bytes=known)
    seconds = sum(step.seconds for step in steps)
    return Candidate(wire=wire, bytes=known, seconds=seconds, steps=steps)


def _best(case: Case, possible: Sequence[Candidate]) -> Candidate:
    """Return the simplest of those that cost about as little as the cheapest.

    For a client, one of those that send few bytes: nobody knows how slow its network is.
    """
    known = [entry.seconds for entry in possible if entry.seconds is not None]
    if not known:
        return possible[0]
    enough = max(min(known) * (1 + _SAME_SHARE), min(known) + _SAME_SECONDS)
    near = [entry for entry in possible if entry.seconds is not None and entry.seconds <= enough]
    most = min(map(_received, near)) / _WORTH if case.reach.here else math.inf
    near.sort(key=lambda entry: _is_roundabout(case, entry.wire))
    return next(entry for entry in near if _received(entry) <= most)


def _is_roundabout(case: Case, wire: Wire) -> bool:
    """Say whether a file would be converted that need not be: the service lays out the disk."""
    return wire == "as-is" and case.on_the_way and not case.fits(wire)


def _received(candidate: Candidate) -> int:
    return sum(step.bytes for step in candidate.steps if step.name == "receive")


def _rank(candidate: Candidate, best: Candidate) -> tuple[bool, bool, float]:
    seconds = float("inf") if candidate.seconds is None else candidate.seconds
    return candidate is not best, candidate.why_not is not None, seconds
