"""Storage classes side by side: what imports and copies came to on each. Pure.

Imports are those whose images are there still; an import's rate is its disk over the seconds of all
its phases but the waiting for a worker. Copies are all since counting began.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from importer.model import Basis, Copy, CopyTotals, Image, Phase, Size, StorageClass, Strategy

RECENT = 20
"""Imports of a class, the newest first, that its rate and its slowest phase are taken from."""


class _Struct(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """camelCase in JSON, and no field that it does not know."""


class SlowestPhase(_Struct, frozen=True, kw_only=True):
    """The phase that most of the time went to."""

    name: Phase
    seconds: float
    """On average of the recent imports."""

    share: float
    """Of their time, 0 to 1."""


class Imports(_Struct, frozen=True, kw_only=True):
    """What is there of a class."""

    ready: int = 0
    failed: int = 0
    bytes_per_second: float | None = None
    """The median of the recent ones."""

    slowest_phase: SlowestPhase | None = None
    failures: dict[str, int] = msgspec.field(default_factory=dict)
    """Slug → imports that failed with it."""


class ClassCopies(_Struct, frozen=True, kw_only=True):
    """Copies of one strategy."""

    strategy: Strategy
    basis: Basis
    done: int
    failed: int
    active: int
    remaining: Size
    """Bytes that the active ones have to copy still, where that is known."""

    bytes_per_second: float | None
    """All bytes of whole copies over all their seconds."""


class ClassReport(_Struct, frozen=True, kw_only=True):
    """One storage class."""

    storage_class: str
    backend: str
    engine: str
    imports: Imports = Imports()
    copies: tuple[ClassCopies, ...] = ()


class CopyList(_Struct, frozen=True, kw_only=True):
    """The answer to ``GET /v1/copies``."""

    items: list[Copy]
    """Those that run, oldest first, then the last ones that are over, newest first."""

    classes: list[ClassReport]
    watching: dict[str, bool]
    """Kind of object → whether it can be looked at just now; empty without a cluster."""


def reports(
    classes: Sequence[StorageClass], images: Iterable[Image], totals: Sequence[CopyTotals]
) -> list[ClassReport]:
    """Return a report of each of *classes*, and of classes that copies were counted on."""
    by_class: dict[str, list[Image]] = {}
    for image in images:
        by_class.setdefault(image.spec.storage_class or "", []).append(image)
    known = {one.name: (one.backend, one.engine) for one in classes}
    known |= {
        one.storage_class: (one.backend, one.engine)
        for one in totals
        if one.storage_class not in known and _is_any(one)
    }
    return [
        ClassReport(
            storage_class=name,
            backend=backend,
            engine=engine,
            imports=imports_of(by_class.get(name, [])),
            copies=tuple(
                _copies(one) for one in totals if one.storage_class == name and _is_any(one)
            ),
        )
        for name, (backend, engine) in known.items()
    ]


def imports_of(images: Sequence[Image]) -> Imports:
    """Return what the imports of one class came to; *images* oldest first."""
    ready = [image for image in images if image.phase is Phase.READY]
    failed = [image for image in images if image.phase is Phase.FAILED]
    recent = ready[-RECENT:]
    rates = [rate for image in recent if (rate := _rate(image)) is not None]
    return Imports(
        ready=len(ready),
        failed=len(failed),
        bytes_per_second=round(median(rates), 1) if rates else None,
        slowest_phase=_slowest(recent),
        failures=dict(Counter(image.status.error.slug for image in failed if image.status.error)),
    )


def seconds_of(image: Image) -> float:
    """Return how long the work on *image* took, without the time it waited for its turn."""
    phases = image.status.phases
    return sum(one.seconds or 0.0 for one in phases if one.name is not Phase.PENDING)


def _rate(image: Image) -> float | None:
    seconds, size = seconds_of(image), image.status.virtual_size
    return size / seconds if size and seconds else None


def _slowest(recent: Sequence[Image]) -> SlowestPhase | None:
    spent: dict[Phase, float] = {}
    for image in recent:
        for one in image.status.phases:
            if one.name is not Phase.PENDING:
                spent[one.name] = spent.get(one.name, 0.0) + (one.seconds or 0.0)
    total = sum(spent.values())
    if not total:
        return None
    name, seconds = max(spent.items(), key=lambda entry: entry[1])
    return SlowestPhase(
        name=name, seconds=round(seconds / len(recent), 3), share=round(seconds / total, 3)
    )


def _copies(totals: CopyTotals) -> ClassCopies:
    return ClassCopies(
        strategy=totals.strategy,
        basis=totals.basis,
        done=totals.done,
        failed=totals.failed,
        active=totals.active,
        remaining=totals.remaining,
        bytes_per_second=totals.bytes_per_second or None,
    )


def _is_any(totals: CopyTotals) -> bool:
    return bool(totals.done or totals.failed or totals.deleted or totals.active)
