"""How a status changes when an image goes from phase to phase. Pure."""

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from importer.errors import ImporterError
from importer.model import OVER, RUNNING, Phase, PhaseTime, Problem, Progress, Status

_WINDOW = 5.0
"""Seconds over which a rate is taken: long enough to be steady, short enough to be of now."""


def entered(status: Status, phase: Phase, at: datetime) -> Status:
    """Return *status* as *phase* begins: the one before gets its seconds, a new try a new list."""
    phases = () if phase is Phase.PENDING else _closed(status.phases, at)
    if phase not in OVER:
        phases += (PhaseTime(name=phase, started_at=at),)
    error = None if phase in RUNNING | {Phase.READY} else status.error
    return msgspec.structs.replace(status, phase=phase, phases=phases, progress=None, error=error)


def failed(status: Status, phase: Phase, error: ImporterError | None, at: datetime) -> Status:
    """Return *status* as a try ends in *phase* because of *error*."""
    problem = None if error is None else problem_of(error)
    return msgspec.structs.replace(entered(status, phase, at), error=problem)


def problem_of(error: ImporterError) -> Problem:
    """Return what is told about *error*."""
    return Problem(slug=error.slug, side=error.side, retryable=error.retryable, message=str(error))


def seconds_in(status: Status, phase: Phase) -> float | None:
    """Return how long *phase* took in the last try, if it was there and is over."""
    for entry in reversed(status.phases):
        if entry.name is phase:
            return entry.seconds
    return None


def lasted(status: Status, at: datetime) -> float | None:
    """Return how long the phase that *status* is in has lasted at *at*, if it has begun."""
    is_open = status.phases and status.phases[-1].seconds is None
    return _closed(status.phases, at)[-1].seconds if is_open else None


def _closed(phases: tuple[PhaseTime, ...], at: datetime) -> tuple[PhaseTime, ...]:
    if not phases or phases[-1].seconds is not None:
        return phases
    last = phases[-1]
    seconds = max(0.0, round((at - last.started_at).total_seconds(), 3))
    return (*phases[:-1], msgspec.structs.replace(last, seconds=seconds))


@dataclass(slots=True)
class Speed:
    """The rate of something that grows, over the last few seconds."""

    _marks: list[tuple[float, int]] = field(default_factory=list)

    def progress(self, at: float, done: int, total: int | None) -> Progress:
        """Return the progress at *at* seconds (any clock), *done* of *total* bytes."""
        self._marks.append((at, done))
        while len(self._marks) > 2 and self._marks[1][0] <= at - _WINDOW:
            del self._marks[0]
        since, before = self._marks[0]
        rate = (done - before) / (at - since) if at > since else 0.0
        left = None if total is None or not rate else round(max(0, total - done) / rate, 1)
        return Progress(done=done, total=total, bytes_per_second=round(rate, 1), eta_seconds=left)
