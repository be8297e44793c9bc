"""What would be sent of an image, how many bytes, and why; nothing is sent.

A file is looked at here, as `importer upload` does; the service tells what the storage class takes
and how fast it is. Without a service, the class that one begins with is assumed.
"""

from dataclasses import replace
from pathlib import Path

import msgspec
import typer

from importer.cli import compact, display
from importer.cli.exits import Refused, print_json
from importer.cli.safe import plain
from importer.cli.session import Session
from importer.formats.survey import read, survey
from importer.jobs.rates import defaults
from importer.model import Candidate, Format, ImageInfo, PlanReport, StorageClass, WantedFormat
from importer.plan import HERE, Subject, place_named, report
from importer.targets.directory import ACCEPTS
from importer.units import human


async def plan_file(
    session: Session,
    path: Path,
    info: ImageInfo,
    storage_class: str | None,
    wanted: WantedFormat | None,
) -> PlanReport:
    """Return the plan for the file at *path*, which is what *info* says. Raises ImporterError."""
    place, assumed = await _place(session, storage_class)
    subject = Subject(info.format, info.compression, info.size, info.virtual_size, wanted)
    if disk := await compact.look(path):
        found = survey(disk.runs)
        subject = replace(subject, data=found.data, sizes=found.sizes)
    planned = report(info, subject, HERE, place)
    if planned.plan.wire == "raw+zstd" and info.format is not Format.QCOW2:
        # Zeros that were written as such are found only as they are sent.
        found = survey(await read(path))
        exact = replace(subject, data=found.data, sizes=found.sizes)
        planned = report(info, exact, HERE, place)
    return msgspec.structs.replace(planned, assumed=assumed)


async def _place(session: Session, name: str | None) -> tuple[StorageClass, bool]:
    """Return the class of that name, and whether it is only assumed. Raises UnknownStorageClass."""
    try:
        return place_named(await session.client.classes(), name), False
    except Refused as exc:
        if name or exc.problem.slug != "unreachable":
            raise
        return built_in(), True


def built_in() -> StorageClass:
    """Return the class that a new service begins with."""
    return StorageClass(
        name="local",
        provisioner="directory",
        backend="local",
        engine="local",
        default=True,
        wires=tuple(ACCEPTS.wires),
        formats=tuple(ACCEPTS.formats),
        stores=tuple(ACCEPTS.stores),
        converts=ACCEPTS.converts,
        hashes=ACCEPTS.hashes,
        exact=ACCEPTS.exact,
        libqcow=ACCEPTS.libqcow,
        rates=defaults("local"),
    )


def print_plan(planned: PlanReport, *, as_json: bool) -> None:
    """Print what the image is, every form it could travel in, and the reason for the one chosen."""
    if as_json:
        print_json(msgspec.to_builtins(planned))
        return
    typer.echo(_heading(planned))
    rows = [_row(planned, entry) for entry in planned.candidates]
    display.print_table(("", "FORM", "BYTES", "", "SECONDS", ""), rows)
    typer.echo(plain(f"{planned.plan.wire}: {planned.plan.why}"))


def _heading(planned: PlanReport) -> str:
    data = "" if planned.data is None else f", {human(planned.data)} of data"
    place = f"to storage class {planned.storage_class}"
    if planned.assumed:
        place += " as it begins: no service answers"
    return plain(f"{display.info_line(planned.image)}{data}, {place}")


def _row(planned: PlanReport, entry: Candidate) -> tuple[str, ...]:
    mark = "→" if entry.wire == planned.plan.wire else ""
    if entry.why_not is not None:
        return mark, entry.wire, "", "", "", f"not possible: {entry.why_not}"
    size = ("unknown", "") if entry.bytes is None else (str(entry.bytes), human(entry.bytes))
    seconds = "unknown" if entry.seconds is None else f"{entry.seconds:.1f}"
    return mark, entry.wire, *size, seconds, _steps(entry)


def _steps(entry: Candidate) -> str:
    return ", ".join(
        f"{step.name} {human(step.bytes)} in {step.seconds:.1f} s" for step in entry.steps
    )
