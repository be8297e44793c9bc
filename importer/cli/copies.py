"""`importer copies` and the figures of `importer classes`: tables, lines, and what changes live.

A rate after ``~`` is a hint: it comes from a percentage that may be old (docs/copies.md).
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

import msgspec
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from importer.cli import display
from importer.cli.exits import Refused, print_json
from importer.cli.follow import PAUSE, TRIES
from importer.cli.progress import EVERY
from importer.cli.safe import plain
from importer.cli.session import Session
from importer.jobs.report import ClassCopies, ClassReport, CopyList
from importer.model import Copy, StorageClass
from importer.units import human

_HEADS = ("CLASS", "ENGINE", "STRATEGY", "STATE", "DONE", "RATE", "SECONDS", "WHAT")
_FIGURES = ("NAME", "READY", "RATE", "SLOWEST PHASE", "FAILED", "COPIES", "LAST COPY")


async def list_copies(session: Session, limit: int) -> None:
    """Print the copies that run, and the last that are over."""
    found = await session.client.copies(limit)
    if session.as_json:
        print_json(msgspec.to_builtins(found))
        return
    display.print_table(_HEADS, [_row(copy) for copy in found.items if _is_meant(session, copy)])
    if blind := [kind for kind, is_up in found.watching.items() if not is_up]:
        typer.echo(f"cannot be looked at just now: {', '.join(blind)}", err=True)


async def watch_copies(session: Session, limit: int) -> None:
    """Show copies as they change, until Ctrl-C. Raises Refused when the service is gone."""
    if session.as_json:
        async for copy in _changes(session):
            print_json(msgspec.to_builtins(copy))
    elif sys.stdout.isatty():
        with Live(console=Console(markup=False, highlight=False), screen=False) as live:
            shown = Shown(limit)
            live.update(shown.table())
            async for copy in _changes(session):
                shown.take(copy)
                live.update(shown.table())
    else:
        lines = Lines()
        async for copy in _changes(session):
            lines.take(copy)


async def print_classes(session: Session) -> None:
    """Print the storage classes, and what imports and copies came to on each."""
    classes = await session.client.classes()
    found = await session.client.copies(100)
    if session.as_json:
        reports = msgspec.to_builtins(found.classes)
        print_json({"items": msgspec.to_builtins(classes), "reports": reports})
        return
    display.print_classes(classes)
    typer.echo()
    display.print_table(_FIGURES, figures(classes, found))


def figures(classes: Iterable[StorageClass], found: CopyList) -> list[tuple[str, ...]]:
    """Return a row for each of *classes*."""
    reports = {report.storage_class: report for report in found.classes}
    last: dict[str, Copy] = {}
    for copy in found.items:  # the newest of those that are over come first
        if copy.state != "Running":
            last.setdefault(copy.storage_class, copy)
    return [
        _figures(reports[one.name], last.get(one.name)) for one in classes if one.name in reports
    ]


class Shown:
    """The copies on a terminal."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: dict[str, Copy] = {}
        self._over: dict[str, Copy] = {}

    def take(self, copy: Copy) -> None:
        """Take the newest state of *copy*."""
        if copy.state == "Running":
            self._running[copy.uid] = copy
            return
        self._running.pop(copy.uid, None)
        # Again at the same place: only its replicas are there now.
        self._over[copy.uid] = copy
        for uid in list(self._over)[: max(0, len(self._over) - self._limit)]:
            del self._over[uid]

    def table(self) -> Table | Group:
        """Return all of them as a table: those that run, then those that are over, newest first."""
        copies = [*self._running.values(), *reversed(self._over.values())]
        table = display.table(_HEADS, [_row(copy) for copy in copies])
        return table if copies else Group(table, "no copies yet")


class Lines:
    """A line when a copy's state or phase is new, and one every few seconds."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[str, float]] = {}

    def take(self, copy: Copy) -> None:
        """Print a line of *copy* when it is time."""
        what, moment = f"{copy.state} {copy.phase}", time.monotonic()
        before, at = self._said.get(copy.uid, ("", 0.0))
        if what == before and moment < at + EVERY:
            return
        self._said[copy.uid] = what, moment
        if copy.state != "Running":
            del self._said[copy.uid]
        typer.echo(", ".join(plain(part) for part in _row(copy) if part))


async def _changes(session: Session) -> AsyncGenerator[Copy, None]:
    """Yield copies as they are and at every change, also of a service that is started anew."""
    tries = TRIES  # one that never answered is not waited for
    while True:
        try:
            async with aclosing(session.client.copy_events()) as copies:
                async for copy in copies:
                    tries = 0
                    if copy and _is_meant(session, copy):
                        yield copy
        except Refused as exc:
            if exc.problem.slug != "unreachable" or tries == TRIES:
                raise
            tries += 1
        await asyncio.sleep(PAUSE)


def _is_meant(session: Session, copy: Copy) -> bool:
    return session.namespace in (None, copy.namespace)


def _row(copy: Copy) -> tuple[str, ...]:
    state = copy.state if copy.phase is None else f"{copy.state}: {copy.phase}"
    seconds = "" if copy.seconds is None else f"{copy.seconds:.1f} s"
    what = f"{copy.namespace}/{copy.name} of {copy.source}"
    told = "".join(f": {text}" for text in (copy.error, copy.why) if text)
    return (
        *(copy.storage_class, copy.engine, copy.strategy, state),
        *(_done(copy), rate(copy.bytes_per_second, hint=copy.is_hint), seconds, what + told),
    )


def _done(copy: Copy) -> str:
    if copy.total is None:
        return human(copy.done) if copy.done else ""
    return f"{human(copy.done)} of {human(copy.total)}"


def rate(bytes_per_second: float | None, *, hint: bool = False) -> str:
    """Return a rate, marked where it is a hint; nothing where it is not known."""
    if not bytes_per_second:
        return ""
    return f"{'~' if hint else ''}{bytes_per_second / 1e6:.1f} MB/s"


def _figures(report: ClassReport, last: Copy | None) -> tuple[str, ...]:
    imports = report.imports
    slowest = imports.slowest_phase
    failures = ", ".join(f"{slug} {number}" for slug, number in imports.failures.items())
    return (
        report.storage_class,
        str(imports.ready),
        rate(imports.bytes_per_second),
        f"{slowest.name.value} {slowest.seconds:.1f} s, {slowest.share:.0%}" if slowest else "",
        f"{imports.failed}{f': {failures}' if failures else ''}",
        "; ".join(_of_strategy(one) for one in report.copies),
        f"{last.state} {rate(last.bytes_per_second, hint=last.is_hint)}".strip() if last else "",
    )


def _of_strategy(copies: ClassCopies) -> str:
    counts = (("done", copies.done), ("failed", copies.failed), ("running", copies.active))
    told = [f"{number} {word}" for word, number in counts if number]
    told += [average] if (average := rate(copies.bytes_per_second)) else []
    return f"{copies.strategy}: {', '.join(told)}"
