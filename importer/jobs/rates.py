"""What a storage class does in a second: where a plan's rates begin, and how they are learnt."""

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from importer.model import Phase, Rates, Step
from importer.units import MiB

_LEAST, _MOST = 1e6, 1e11
"""Bytes in a second that a rate can have: slower than any disk, faster than any memory."""

_SHORT = 0.2
"""Seconds under which a clock tells more of start-up than of rates."""

_SMALL = 16 * MiB
_GAIN = 0.3
"""Share of an error that one import corrects: one odd import in ten moves a rate little, and ten
alike have taken the error down to 3 %."""

_STEP = math.log(4)

DEFAULTS: Mapping[str, Rates] = {
    # A laptop's SSD; every zero is a hole, which costs looking at it at most.
    "local": Rates(receive=1.0e9, write=5.0e8, zero=2.0e10, scratch=5.0e8, hash=1.5e9),
    # Least squares, in shares, over the medians of six imports through CDI's own upload server:
    # disks of 8 GiB with 0.5 GiB of data and 4 GiB with 1.5 GiB took 7.4 and 7.3 s raw, 2.1 and
    # 7.7 s as qcow2, 5.3 and 5.7 s raw in a zstd frame. These give 7.6, 7.0, 2.4, 7.2, 5.2, 6.1.
    "cdi": Rates(receive=3.4e9, write=3.65e8, zero=2.25e9, scratch=7.0e8, hash=1.5e9),
    # Longhorn's receiver took 340 MB/s of data and 590 MB/s of zeros; then it hashes what it has
    # at 330 MB/s (8 GiB, sparse) to 600 MB/s (1.5 GiB). Zeros are seeks: they cost their receiving.
    "backingimage": Rates(receive=5.9e8, write=8.0e8, zero=2.0e10, scratch=5.0e8, hash=4.0e8),
}
"""By backend."""


def defaults(backend: str) -> Rates:
    """Return the rates of a class that has not imported anything yet."""
    return DEFAULTS.get(backend, DEFAULTS["cdi"])


def learnt(
    rates: Rates, steps: Iterable[Step], transferring_seconds: float, processing_seconds: float
) -> Rates:
    """Return *rates* corrected by one finished import that took *steps*.

    *transferring_seconds*: without those in which the source was waited for; they are no fault of
    the target. Phases too short or too small to tell change nothing.
    """
    planned = list(steps)
    for phase, seconds in (
        (Phase.TRANSFERRING, transferring_seconds),
        (Phase.PROCESSING, processing_seconds),
    ):
        rates = _corrected(rates, [step for step in planned if step.phase is phase], seconds)
    return rates


def _corrected(rates: Rates, steps: Sequence[Step], seconds: float) -> Rates:
    """Return *rates* after one phase.

    Normalised least mean squares on logarithms: each rate moves by its share of the predicted time,
    so one that hardly took part hardly moves.
    """
    if not _SHORT <= seconds < math.inf or max((step.bytes for step in steps), default=0) < _SMALL:
        return rates
    times = {step.name: step.bytes / getattr(rates, step.name) for step in steps if step.bytes}
    predicted = sum(times.values())
    error = _within(math.log(predicted / seconds), _STEP)
    shares = {name: time / predicted for name, time in times.items()}
    power = sum(share * share for share in shares.values())
    moved = {
        name: _bounded(
            getattr(rates, name) * math.exp(_within(_GAIN * error * share / power, _STEP))
        )
        for name, share in shares.items()
    }
    return msgspec.structs.replace(rates, **moved)


def _within(value: float, most: float) -> float:
    return max(-most, min(most, value))


def _bounded(rate: float) -> float:
    return max(_LEAST, min(_MOST, rate))
