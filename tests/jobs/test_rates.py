"""Rates are learnt from finished imports, whatever those were, and never run away."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer.jobs.rates import DEFAULTS, learnt
from importer.model import Format, Phase, Rates, Step, StepName
from importer.plan import Choice, Reach, Subject, choose
from importer.units import GiB, MiB
from tests.plan.test_plan import BACKENDS

START = DEFAULTS["cdi"]
NAMES: tuple[StepName, ...] = ("receive", "write", "zero", "scratch", "hash")
SIZES = [(8.0, 0.5), (4.0, 1.5), (2.0, 2.0), (20.0, 1.0), (1.0, 0.25)]
"""GiB of disks and of their data."""

PHASES = (Phase.TRANSFERRING, Phase.PROCESSING)


def rates_of(factors: list[float]) -> Rates:
    """Return the defaults, each multiplied by its factor."""
    return Rates(**{n: getattr(START, n) * f for n, f in zip(NAMES, factors, strict=True)})


def plan_of(disk: float, data: float, format: Format, backend: str, rates: Rates) -> Choice:
    """Return the plan of a local file."""
    size = int(disk * GiB) if format is Format.RAW else int(data * GiB)
    subject = Subject(format, size=size, virtual_size=int(disk * GiB), data=int(data * GiB))
    return choose(subject, Reach(here=True, can_seek=True), BACKENDS[backend], rates)


def took(steps: tuple[Step, ...], truth: Rates) -> list[float]:
    """Return the seconds of both phases where *truth* are the real rates."""
    return [
        sum(step.bytes / getattr(truth, step.name) for step in steps if step.phase is phase)
        for phase in PHASES
    ]


factors = st.lists(st.floats(0.2, 5.0), min_size=5, max_size=5)


@settings(max_examples=30, deadline=None)
@given(factors, st.sampled_from(sorted(BACKENDS)))
def test_predictions_come_true(wrong: list[float], backend: str) -> None:
    """After imports of many shapes, each is foretold within a quarter, however wrong the start."""
    truth, rates = rates_of(wrong), START
    shapes = [(*size, format) for size in SIZES for format in (Format.RAW, Format.QCOW2)]
    for _ in range(50):
        for disk, data, format in shapes:
            steps = plan_of(disk, data, format, backend, rates).chosen.steps
            rates = learnt(rates, steps, *took(steps, truth))
    for disk, data, format in shapes:
        steps = plan_of(disk, data, format, backend, rates).chosen.steps
        assert took(steps, rates) == pytest.approx(took(steps, truth), rel=0.25)


anything = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(PHASES), st.integers(0, 2**62))),
    anything,
    anything,
)
def test_rates_stay_rates(
    planned: list[tuple[StepName, Phase, int]], transferring: float, processing: float
) -> None:
    """No history, not even one of a clock gone mad, makes a rate that cannot be, or one more than
    four times another in a single step."""
    steps = [Step(name=n, phase=p, bytes=b, rate=1.0) for n, p, b in planned]
    after = learnt(START, steps, transferring, processing)
    for name in NAMES:
        assert 1e6 <= getattr(after, name) <= 1e11
        # Both phases may have a say.
        assert abs(math.log(getattr(after, name) / getattr(START, name))) <= 2 * math.log(4) + 1e-9


@pytest.mark.parametrize(
    ("size", "seconds"), [(GiB, 0.19), (15 * MiB, 60.0), (GiB, 0.0), (GiB, -1.0)]
)
def test_what_is_too_short_to_tell_changes_nothing(size: int, seconds: float) -> None:
    """Start-up is no rate."""
    steps = [Step(name="write", phase=Phase.TRANSFERRING, bytes=size, rate=START.write)]
    assert learnt(START, steps, seconds, seconds) == START


def test_only_rates_that_took_part_move() -> None:
    """A slow conversion says nothing of the network."""
    steps = [
        Step(name="receive", phase=Phase.TRANSFERRING, bytes=GiB, rate=START.receive),
        Step(name="write", phase=Phase.PROCESSING, bytes=GiB, rate=START.write),
    ]
    after = learnt(START, steps, GiB / START.receive, 2 * GiB / START.write)
    assert after == msgspec.structs.replace(START, write=pytest.approx(START.write * 0.5**0.3))
