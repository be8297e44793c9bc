"""docs/plan.md says what the plan does: its forms, steps, rates and measured times."""

from typing import get_args

import pytest

from importer.cli.plan import HERE, built_in, print_plan
from importer.formats.survey import survey
from importer.jobs.rates import DEFAULTS
from importer.model import Format, ImageInfo, StepName, Wire
from importer.plan import SPOOL, Subject, report
from importer.stream.extent import Run
from importer.targets.backingimage.shelf import ACCEPTS as LONGHORN
from importer.targets.cdi.shelf import ACCEPTS as CDI
from importer.units import GiB, MiB
from tests.docs.pages import page, rows, section, ticked
from tests.plan.test_plan import MEASURED

PAGE = page("plan")


def test_the_forms_are_in_the_order_of_preference() -> None:
    """Every form has its row, the simplest first."""
    assert [ticked(row[0])[0] for row in rows(section(PAGE, "## The forms"))] == list(
        get_args(Wire)
    )


def test_every_step_has_its_row() -> None:
    """No step is paid for that the page does not tell of."""
    named = {ticked(row[0])[0] for row in rows(section(PAGE, "## What they cost"))}
    assert named == set(get_args(StepName))


def test_what_classes_ask_is_what_they_accept() -> None:
    """The page's table is what the cluster's targets say, field by field."""
    told = {ticked(row[0])[0]: row[1:3] for row in rows(section(PAGE, "## In a cluster"))}
    for column, accepts in enumerate((LONGHORN, CDI)):
        assert set(ticked(told["wires"][column])) == accepts.wires
        assert set(told["stores"][column].split(", ")) == accepts.stores
        for name in ("converts", "hashes", "exact", "libqcow"):
            assert told[name][column] == ("yes" if getattr(accepts, name) else "no"), name


def test_the_disk_of_the_service_is_as_fast_as_said() -> None:
    """What putting a file down is reckoned with stands on the page."""
    assert f"at {SPOOL / 1e6:.0f} MB/s in predictions" in PAGE


def test_the_rates_are_the_defaults() -> None:
    """The page has the numbers that a class begins with."""
    table = rows(section(PAGE, "## The rates"))
    said = {ticked(name)[0]: [float(rate) * 1e6 for rate in rates] for name, *rates in table}
    assert said == {
        name: [rates.receive, rates.write, rates.zero, rates.scratch, rates.hash]
        for name, rates in DEFAULTS.items()
    }


def test_the_measured_times_are_those_that_are_tested() -> None:
    """The page's table is that of tests/plan/test_plan.py."""
    table = rows(section(PAGE, "## The rates").partition("within 15 %")[2])
    said = [
        (ticked(backend)[0], float(disk), float(data), ticked(form)[0], float(seconds))
        for backend, disk, data, form, seconds in table
    ]
    assert said == MEASURED


def test_the_example_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The page shows what the command prints of an 8 GiB disk with 512 MiB of data."""
    info = ImageInfo(format=Format.RAW, virtual_size=8 * GiB, size=8 * GiB)
    found = survey((Run(0, 512 * MiB, False), Run(512 * MiB, 8 * GiB - 512 * MiB, True)))
    subject = Subject(Format.RAW, None, info.size, info.virtual_size, None, found.data, found.sizes)
    print_plan(report(info, subject, HERE, built_in()), as_json=False)
    example = PAGE.partition("    importer plan debian-12.raw\n")[2].partition("\n\n")[0]
    printed = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in example.splitlines()] == [line.strip() for line in printed]
