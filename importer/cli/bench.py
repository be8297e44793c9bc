"""`importer bench`: begins a bench, asks how it goes, prints what it found.

Asking keeps it going. Ctrl-C ends it and waits until the service has taken away what it made.
"""

import asyncio
import re
from statistics import median

import msgspec
import typer

from importer.cli import display
from importer.cli.client import Client
from importer.cli.exits import Refused, print_json
from importer.cli.progress import Bar, Lines, Show, showing
from importer.cli.safe import plain
from importer.cli.session import Session
from importer.errors import CallerError
from importer.jobs.bench.result import Bench, BenchRequest, BenchState, Imported, Run
from importer.model import Phase, Problem
from importer.units import human

EVERY = 0.5
"""Seconds between two questions."""

TRIES = 20
"""Questions in a row that may get no answer."""

_OVER = (BenchState.DONE, BenchState.ENDED, BenchState.FAILED)
_SIZE = re.compile(r"(\d{1,15})(?:([KMGT])(?:i?B)?|B)?\Z", re.IGNORECASE)
_PHASES = (Phase.PREPARING, Phase.TRANSFERRING, Phase.PROCESSING)


def size_of(text: str) -> int:
    """Return the bytes that *text* says: ``4GiB``, ``512M``. Raises CallerError."""
    found = _SIZE.match(text)
    if not found or not int(found[1]):
        raise CallerError(f"--size {text}: give bytes, as 512MiB or 4GiB")
    return int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[(found[2] or "").upper()]


def request_of(
    classes: list[str], size: str, data_share: float, runs: int, namespace: str | None
) -> BenchRequest:
    """Return what the service is asked for. Raises CallerError."""
    values = {
        "storageClasses": classes,
        "size": size_of(size),
        "dataShare": data_share,
        "runs": runs,
        "namespace": namespace or "default",
    }
    try:
        return msgspec.convert(values, BenchRequest)
    except msgspec.ValidationError as exc:
        raise CallerError(f"the options make no bench: {exc}") from exc


async def bench(session: Session, request: BenchRequest) -> None:
    """Run it to its end and print the comparison. Raises Refused when anything went wrong."""
    with showing(as_json=session.as_json) as show:
        found = await _followed(session.client, request, show)
    if session.as_json:
        print_json(msgspec.to_builtins(found))
    else:
        print_bench(found)
    problems = [found.error, *(run.error for run in found.runs)]
    for problem in problems:
        if problem:
            raise Refused(problem)


async def _followed(client: Client, request: BenchRequest, show: Show) -> Bench:
    beginning = asyncio.ensure_future(client.begin_bench(request))
    try:
        found = await asyncio.shield(beginning)
        return await _over(client, found.id, show)
    except asyncio.CancelledError:
        await _end(client, await beginning, show)
        raise


async def _over(client: Client, id: str, show: Show) -> Bench:
    """Return the bench when it is over."""
    tries = 0
    while True:
        try:
            found = await client.bench(id)
            tries = 0
        except Refused as exc:
            tries += 1
            if exc.problem.slug == "not-found":
                raise Refused(_restarted(id)) from exc
            if exc.problem.slug != "unreachable" or tries == TRIES:
                raise
        else:
            if found.state in _OVER:
                return found
            _show(show, found)
        await asyncio.sleep(EVERY)


async def _end(client: Client, begun: Bench, show: Show) -> None:
    """End the bench, and wait until nothing of it is left."""
    typer.echo(f"bench {begun.id} is ended; waiting until what it made is gone", err=True)
    try:
        await client.end_bench(begun.id)
        ended = await _over(client, begun.id, show)
    except Refused as exc:
        said = f"{exc.problem.message}; the service cleans up by itself"
    else:
        said = ended.error.message if ended.error else "it was over already"
    typer.echo(plain(f"bench {begun.id}: {said}"), err=True)


def _show(show: Show, found: Bench) -> None:
    if isinstance(show, Bar | Lines):
        far = display.share(found.progress) if found.progress else ""
        doing = ", ".join(part for part in (found.doing, far) if part)
        done, total = (found.progress.done, found.progress.total) if found.progress else (0, None)
        show.target("bench", doing, done, total)


def print_bench(found: Bench) -> None:
    """Print a row for every turn, and one for the median of every class that had several."""
    request = found.request
    typer.echo(
        f"disk of {human(request.size)}, {human(found.data)} of it data; rates are of the whole "
        "disk, zeros too"
    )
    heads = (
        *("CLASS", "ENGINE", "RUN", "IMPORT", "RATE", "FORM"),
        *(phase.value.upper() for phase in _PHASES),
        *("COPY", "SECONDS", "RATE", "MOVED", ""),
    )
    rows = [_row(run) for run in found.runs]
    if request.runs > 1:
        rows += [_median(found, name) for name in request.storage_classes]
    display.print_table(heads, rows)


def _row(run: Run) -> tuple[str, ...]:
    imported, copied = run.imported, run.copied
    note = f"{run.error.message} ({run.error.slug})" if run.error else run.note or ""
    return (
        *(run.storage_class, run.engine, str(run.run)),
        *(
            (_seconds(imported.seconds), _rate(imported.bytes_per_second), imported.wire or "")
            if imported
            else ("", "", "")
        ),
        *(_in_phase(imported, phase) for phase in _PHASES),
        *(
            (
                copied.strategy or "unknown",
                _seconds(copied.seconds),
                _rate(copied.bytes_per_second),
                f"{human(copied.bytes)} {copied.basis}",
            )
            if copied
            else ("", "", "", "")
        ),
        note,
    )


def _median(found: Bench, name: str) -> tuple[str, ...]:
    runs = [run for run in found.runs if run.storage_class == name]
    imports = [run.imported.seconds for run in runs if run.imported]
    copies = [run.copied.seconds for run in runs if run.copied]
    size = found.request.size
    return (
        *(name, runs[0].engine if runs else "", "median"),
        *(*_middle(imports, size), "", *("" for _ in _PHASES)),
        *("", *_middle(copies, size), "", f"of {len(imports)} and {len(copies)}"),
    )


def _middle(seconds: list[float], size: int) -> tuple[str, str]:
    """Return the median of *seconds*, and the rate that it makes of *size* bytes."""
    if not seconds:
        return "", ""
    middle = median(seconds)
    return _seconds(middle), _rate(size / max(middle, 1e-3))


def _in_phase(imported: Imported | None, phase: Phase) -> str:
    told = [one.seconds for one in imported.phases if one.name is phase] if imported else []
    return _seconds(told[-1] or 0.0) if told else ""


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _rate(rate: float) -> str:
    return f"{rate / 1e6:.1f} MB/s"


def _restarted(id: str) -> Problem:
    message = f"bench {id} is not known any more: the service was started anew, and cleans up"
    return Problem(slug="not-found", side="internal", retryable=True, message=message)
