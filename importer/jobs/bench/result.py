"""What a bench is asked for, where it stands, and what it found."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from importer.model import Basis, Name, PhaseTime, Problem, Progress, Size, Strategy, Wire
from importer.units import GiB, MiB, TiB


class _Struct(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """camelCase in JSON, and no field that it does not know."""


ClassName = Annotated[str, Meta(min_length=1, max_length=253)]


class BenchRequest(_Struct, frozen=True, kw_only=True):
    """The body of ``POST /v1/bench``."""

    storage_classes: Annotated[tuple[ClassName, ...], Meta(min_length=1, max_length=16)]
    size: Annotated[int, Meta(ge=MiB, le=64 * TiB)] = 4 * GiB
    """Bytes of the disk, whole MiB."""

    data_share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Of the disk that is data; the rest are zeros."""

    runs: Annotated[int, Meta(ge=1, le=20)] = 1
    """Times that every class has its turn."""

    namespace: Name = "default"


class Imported(_Struct, frozen=True, kw_only=True):
    """An import that became Ready."""

    seconds: float
    """Of all phases but the waiting for a worker."""

    bytes_per_second: float
    """Bytes of the disk, zeros too, in those seconds."""

    phases: tuple[PhaseTime, ...]
    wire: Wire | None = None


class Copied(_Struct, frozen=True, kw_only=True):
    """A copy that came to its end."""

    strategy: Strategy | None
    """As in `Copy`; None where whoever copied does not tell."""

    seconds: float
    bytes_per_second: float
    """Bytes of the disk, zeros too, in those seconds."""

    bytes: Size
    """What was moved, as far as anybody tells."""

    basis: Basis
    """``measured``: `bytes` were counted; ``inferred``: it is the disk's size."""


class Run(_Struct, frozen=True, kw_only=True):
    """One turn of one class."""

    storage_class: str
    backend: str
    engine: str
    run: int
    """From 1."""

    imported: Imported | None = None
    copied: Copied | None = None
    note: str | None = None
    """Why nothing was copied, or why in this way."""

    error: Problem | None = None


class BenchState(StrEnum):
    """Where a bench stands."""

    RUNNING = "Running"
    CLEANING = "Cleaning"
    """It takes away what it made."""

    DONE = "Done"
    """Every class had its turns; each tells how they ended."""

    ENDED = "Ended"
    """It was ended before that, and nothing of it is left."""

    FAILED = "Failed"
    """Something of it could not be taken away: that is tried again."""


class Bench(_Struct, frozen=True, kw_only=True):
    """A bench as it is now."""

    id: str
    state: BenchState
    request: BenchRequest
    data: Size
    """Bytes of the disk that are data."""

    started_at: datetime
    doing: str = ""
    progress: Progress | None = None
    runs: tuple[Run, ...] = ()
    error: Problem | None = None
    """Why it was ended, or what is left of it."""
