"""Why a form was chosen: one sentence, with the numbers that decided."""

from collections.abc import Sequence

from importer.model import Candidate, Wire
from importer.plan.case import Case
from importer.units import human


def reason(case: Case, ranked: Sequence[Candidate]) -> str:
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
        parts.append("so small a difference does not count")
    if missing := _of(others, "as-is"):
        parts.append(f"as-is is not possible: {missing}")
    elif not rivals:
        nearest: Wire = "raw" if case.on_the_way and not case.reach.here else "raw+zstd"
        parts.append(f"nothing else is possible: {_of(others, nearest)}")
    return "; ".join(parts)


def _share(case: Case, wire: Wire) -> str:
    disk, data = human(case.disk or 0), case.subject.data
    if data is not None:
        return f"{human(data)} of {disk} is data"
    if wire == "as-is" and case.fits(wire):
        return "it is stored as it comes"
    return f"nobody knows yet how much of {disk} is data"


def _of(candidates: Sequence[Candidate], wire: Wire) -> str | None:
    return next((entry.why_not for entry in candidates if entry.wire == wire), None)
