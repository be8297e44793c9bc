"""What a form costs: bytes that travel, and steps with their rates (docs/plan.md)."""

from importer.model import Phase, Step, StepName, Wire
from importer.plan.case import Case
from importer.units import KiB

_BLOCK = 128 * KiB
"""Guest bytes in one block of a zstd frame (formats.encode.zstd_frame)."""


def steps_of(case: Case, wire: Wire) -> tuple[Step, ...] | None:
    """Return what *wire* costs, None when no size is known at all."""
    travels, disk, data = _travels(case, wire), case.disk, case.data
    if travels is None or disk is None or data is None:
        return None
    steps = [_step(case, "receive", travels)]
    if not (case.fits(wire) or case.undone(wire)):
        steps += [
            _step(case, "scratch", data if case.form(wire) == "raw" else travels),
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


def _step(case: Case, name: StepName, size: int, phase: Phase = Phase.TRANSFERRING) -> Step:
    return Step(name=name, phase=phase, bytes=size, rate=getattr(case.rates, name))


def known_bytes(case: Case, wire: Wire) -> int | None:
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


def _travels(case: Case, wire: Wire) -> int | None:
    """Return the bytes that have to be taken in for *wire*, guessed where need be."""
    if wire == "raw" and not case.has_map:
        return case.file or case.subject.size  # All of it passes, zeros and tables too.
    known = known_bytes(case, wire)
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
