"""Which form an image travels in, and why: a pure function, so that it can be printed and tested.

For each form it asks whether it is possible and, step by step, what it would cost at the rates of
the storage class; the cheapest wins, and of those that cost about the same the simplest. Sizes are
bytes, rates bytes in a second. docs/plan.md explains it for people. Raises UnsupportedImage when no
form is possible.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from importer.errors import UnknownStorageClass, UnsupportedImage
from importer.model import (
    Candidate,
    Compression,
    Format,
    ImageInfo,
    Phase,
    Plan,
    PlanReport,
    Rates,
    Step,
    StepName,
    StorageClass,
    WantedFormat,
    Wire,
)
from importer.targets import Accepts
from importer.units import human

_RAW = (Format.RAW, Format.ISO)
_READ = (*_RAW, Format.QCOW2)
"""Formats whose guest data we read ourselves; qemu reads the others, on the finished file."""

_SAME_SECONDS, _SAME_SHARE = 0.1, 0.05
"""What a simpler form may cost more than the cheapest: nobody notices so little."""

_WORTH = 0.9
"""Share of a simpler form's bytes that a client must at most send in another to be worth it. As it
is, the service hashes and reports the user's own file; in another form it cannot."""

_GUESS = 0.5
"""Share of a disk that is taken for data while nothing is known of it."""

_BLOCK = 128 * 1024
_SIMPLEST_FIRST: tuple[Wire, ...] = get_args(Wire)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of the image when the plan is made."""

    format: Format
    compression: Compression | None = None
    size: int | None = None
    """Bytes of the published file."""

    virtual_size: int | None = None
    wanted: WantedFormat | None = None
    """None: qcow2 stays qcow2 where the target stores that, everything else becomes raw."""

    data: int | None = None
    """Guest bytes that are data, where a map told."""

    sizes: Mapping[Wire, int] = field(default_factory=dict)
    """Exact bytes of forms, where a map told."""

    unfit: str = ""
    """Why the target could not use the file as it is, though it takes its format."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What can be done with the source."""

    here: bool = False
    """A file beside the client that sends it: every form goes to the service first, and what is
    sent as it is can still be undone there on its way."""

    can_seek: bool = False
    """Any part of it can be read at any time: a local file, a server that knows ranges."""

    shuffled: str = ""
    """Why it cannot be read in one pass, when an earlier try found that out."""


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
    case = _Case(subject, reach, accepts, rates)
    found = [_candidate(case, wire) for wire in _SIMPLEST_FIRST]
    possible = [candidate for candidate in found if candidate.why_not is None]
    if not possible:
        reasons = "; ".join(f"{entry.wire}: {entry.why_not}" for entry in found)
        raise UnsupportedImage(f"no form of this {subject.format} image can be sent: {reasons}")
    best = _best(case, possible)
    ranked = sorted(found, key=lambda entry: _rank(entry, best))
    plan = Plan(wire=best.wire, why=_why(case, ranked), bytes=best.bytes, seconds=best.seconds)
    return Choice(plan, tuple(ranked))


def report(info: ImageInfo, subject: Subject, reach: Reach, place: StorageClass) -> PlanReport:
    """Return the plan for the image of which *info* tells, made in *place*, as it is shown."""
    choice = choose(subject, reach, accepted(place), place.rates)
    return PlanReport(
        image=info,
        data=subject.data,
        storage_class=place.name,
        plan=choice.plan,
        candidates=choice.candidates,
    )


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
    )


def stored_as(kind: Format, wanted: WantedFormat | None, accepts: Accepts) -> WantedFormat:
    """Return the format that an image of *kind* is to have in the end."""
    if wanted:
        return wanted
    return "qcow2" if kind is Format.QCOW2 and "qcow2" in accepts.stores else "raw"


@dataclass(frozen=True, slots=True)
class _Case:
    """All that a plan depends on, and what follows from it at once."""

    subject: Subject
    reach: Reach
    accepts: Accepts
    rates: Rates

    def stored(self, wire: Wire) -> str:
        """Return the format that the image has in the end when it travels as *wire*."""
        subject, form = self.subject, _form(self, wire)
        if not subject.wanted and not self.accepts.converts and form in self.accepts.stores:
            return form  # Nobody converts and nobody asked: guests see the same disk in either.
        return stored_as(subject.format, subject.wanted, self.accepts)

    def fits(self, wire: Wire) -> bool:
        """Say whether what arrives as *wire* is stored as it comes."""
        return _form(self, wire) == self.stored(wire)

    @property
    def seeks(self) -> bool:
        """Say whether any part of the disk image file can be read: not through a compression."""
        return self.reach.can_seek and self.subject.compression is None

    @property
    def has_map(self) -> bool:
        """Say whether all extents are known before the first byte."""
        told = self.reach.here or self.subject.format is Format.QCOW2
        return self.seeks and told

    @property
    def on_the_way(self) -> bool:
        """Say whether the service itself lays out the disk on the target, as raw."""
        return "raw" in self.accepts.wires

    @property
    def file(self) -> int | None:
        """Bytes of the disk image file inside any compression, None where nobody knows."""
        if self.subject.compression is None:
            return self.subject.size
        return self.subject.virtual_size if self.subject.format in _RAW else None

    @property
    def disk(self) -> int | None:
        """Bytes of the disk: the file's own where only its end will tell."""
        size = self.subject.virtual_size
        return self.file or self.subject.size if size is None else size

    @property
    def data(self) -> int | None:
        """Bytes of data on the disk; a guess where no map told."""
        if self.subject.data is not None or self.disk is None:
            return self.subject.data
        if self.subject.format in _RAW or self.file is None:
            return int(self.disk * _GUESS)
        return min(self.disk, self.file)


def _candidate(case: _Case, wire: Wire) -> Candidate:
    if why_not := _why_not(case, wire):
        return Candidate(wire=wire, why_not=why_not)
    known, steps = _known(case, wire), _steps(case, wire)
    if steps is None:
        return Candidate(wire=wire, bytes=known)
    seconds = sum(step.seconds for step in steps)
    return Candidate(wire=wire, bytes=known, seconds=seconds, steps=steps)


def _why_not(case: _Case, wire: Wire) -> str | None:
    """Return why *wire* is not possible, None when it is."""
    if (stored := case.stored(wire)) not in case.accepts.stores:
        return f"the storage class cannot store {stored}"
    if wire == "as-is":
        return _why_not_as_is(case)
    if case.subject.format not in _READ:
        return f"only qemu reads {case.subject.format}, on the finished file"
    if reason := _why_not_taken(case, wire):
        return reason
    if case.reach.here and case.subject.compression:
        return f"the file is in {case.subject.compression}, which is undone by the service"
    if wire == "qcow2":
        return _why_no_qcow2(case)
    if case.subject.format is Format.QCOW2 and not case.seeks and case.reach.shuffled:
        return f"its data cannot be had in guest order: {case.reach.shuffled}"
    return None


def _why_not_as_is(case: _Case) -> str | None:
    kind, accepts = case.subject.format, case.accepts
    if "as-is" not in accepts.wires or kind not in accepts.formats:
        return f"the storage class takes no {kind} file"
    if case.subject.unfit:
        return case.subject.unfit
    if not (case.fits("as-is") or accepts.converts or _undone(case, "as-is")):
        return f"the storage class does not make {case.stored('as-is')} of {kind}"
    return None


def _why_not_taken(case: _Case, wire: Wire) -> str | None:
    """Return why the target, or the service on its behalf, does not take *wire*."""
    if wire == "raw" and case.reach.here:
        return "a client sends raw+zstd instead, whose zeros do not travel"
    if wire == "raw+zstd" and case.on_the_way and not case.reach.here:
        return "the target is on this machine: raw leaves the zeros out as well"
    expands = case.reach.here and case.on_the_way
    if wire not in case.accepts.wires and not expands:
        return f"the storage class does not take {wire}"
    if expands and not case.fits(wire):
        return f"the image is to be {case.stored(wire)} in the end"
    if not (case.fits(wire) or case.accepts.converts):
        return f"the storage class does not make {case.stored(wire)} of {_form(case, wire)}"
    return None


def _why_no_qcow2(case: _Case) -> str | None:
    if case.has_map:
        sizes = case.subject.sizes
        return "no qcow2 of ours can be so large" if sizes and "qcow2" not in sizes else None
    if case.subject.compression:
        return f"the file is in {case.subject.compression}: no map before its last byte"
    if case.seeks:
        return "a raw file elsewhere has no map: its zeros show only as it is read"
    return "the source cannot seek: no map before its last byte"


def _steps(case: _Case, wire: Wire) -> tuple[Step, ...] | None:
    """Return what *wire* costs, None when no size is known at all."""
    travels, disk, data = _travels(case, wire), case.disk, case.data
    if travels is None or disk is None or data is None:
        return None
    steps = [_step(case, "receive", travels)]
    if not (case.fits(wire) or _undone(case, wire)):
        steps += [
            _step(case, "scratch", data if _form(case, wire) == "raw" else travels),
            _step(case, "write", data, Phase.PROCESSING),
        ]
    elif case.stored(wire) == "qcow2":
        steps.append(_step(case, "write", travels))
    else:
        steps += [_step(case, "write", data), _step(case, "zero", disk - min(data, disk))]
    if case.accepts.hashes:
        stored = disk if case.stored(wire) == "raw" else travels
        steps.append(_step(case, "hash", stored, Phase.PROCESSING))
    return tuple(step for step in steps if step.bytes)


def _step(case: _Case, name: StepName, size: int, phase: Phase = Phase.TRANSFERRING) -> Step:
    return Step(name=name, phase=phase, bytes=size, rate=getattr(case.rates, name))


def _known(case: _Case, wire: Wire) -> int | None:
    """Return the bytes that travel as *wire*, None where that is no more than a guess."""
    subject = case.subject
    if wire in subject.sizes:
        return subject.sizes[wire]
    if wire == "as-is":
        return subject.size if case.reach.here else case.file
    if wire == "raw":
        return subject.data
    if wire == "raw+zstd" and subject.data is not None and case.disk is not None:
        return _framed(case.disk, subject.data)
    return None


def _travels(case: _Case, wire: Wire) -> int | None:
    """Return the bytes that have to be taken in for *wire*, guessed where need be."""
    if wire == "raw" and not case.has_map:
        return case.file or case.subject.size  # All of it passes, zeros and tables too.
    known = _known(case, wire)
    if known is not None:
        return known
    if wire == "as-is":
        return case.subject.size or case.disk
    if case.data is None or case.disk is None:
        return None
    return _framed(case.disk, case.data) if wire == "raw+zstd" else case.data


def _framed(disk: int, data: int) -> int:
    """Return about what a zstd frame has: 3 bytes more for a block of data, 4 for one of zeros."""
    return data + 3 * -(-data // _BLOCK) + 4 * -(-(disk - min(data, disk)) // _BLOCK) + 14


def _form(case: _Case, wire: Wire) -> str:
    """Return the format that arrives, in qemu-img's words; ISO is raw."""
    if wire == "as-is":
        return "raw" if case.subject.format in _RAW else str(case.subject.format)
    return "qcow2" if wire == "qcow2" else "raw"


def _undone(case: _Case, wire: Wire) -> bool:
    """Say whether the service reads the file on its way, so that it is never put down."""
    if not (case.reach.here and case.on_the_way and case.stored(wire) == "raw"):
        return False
    return wire == "as-is" and case.subject.format in _READ and not case.reach.shuffled


def _best(case: _Case, possible: Sequence[Candidate]) -> Candidate:
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


def _is_roundabout(case: _Case, wire: Wire) -> bool:
    """Say whether a file would be converted that need not be: the service lays out the disk."""
    return wire == "as-is" and case.on_the_way and not case.fits(wire)


def _received(candidate: Candidate) -> int:
    return sum(step.bytes for step in candidate.steps if step.name == "receive")


def _rank(candidate: Candidate, best: Candidate) -> tuple[bool, bool, float]:
    seconds = float("inf") if candidate.seconds is None else candidate.seconds
    return candidate is not best, candidate.why_not is not None, seconds


def _why(case: _Case, ranked: Sequence[Candidate]) -> str:
    """Return the reason in one sentence, with the numbers that decided."""
    best, *others = ranked
    parts = [_share(case, best.wire)] if case.disk else []
    rivals = [entry for entry in others if entry.why_not is None]
    if best.seconds is not None:
        guess = "about " if case.subject.data is None else ""
        seconds = [f"{guess}{best.seconds:.1f} s predicted"]
        seconds += [f"{e.wire} {e.seconds:.1f} s" for e in rivals if e.seconds is not None]
        parts.append(", ".join(seconds))
    if any(round((best.seconds or 0) - (entry.seconds or 0), 1) > 0 for entry in rivals):
        parts.append("so small a difference is not worth another form")
    if reason := _reason(others, "as-is"):
        parts.append(f"as-is is not possible: {reason}")
    elif not rivals:
        nearest: Wire = "raw" if case.on_the_way and not case.reach.here else "raw+zstd"
        parts.append(f"nothing else is possible: {_reason(others, nearest)}")
    return "; ".join(parts)


def _share(case: _Case, wire: Wire) -> str:
    disk, data = human(case.disk or 0), case.subject.data
    if data is not None:
        return f"{human(data)} of {disk} is data"
    if wire == "as-is" and case.fits(wire):
        return "it is stored as it comes"
    return f"nobody knows yet how much of {disk} is data"


def _reason(candidates: Sequence[Candidate], wire: Wire) -> str | None:
    return next((entry.why_not for entry in candidates if entry.wire == wire), None)
