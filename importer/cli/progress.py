"""How far an import is: a bar on a terminal, plain lines in a pipe, images as JSON, or nothing.

All but the JSON goes to stderr; stdout is for results.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from importer.cli.exits import print_json
from importer.cli.safe import plain
from importer.model import OVER, Image, Phase
from importer.units import human

EVERY = 2.0
"""Seconds between two plain lines of one phase."""


class Show(Protocol):
    """Something that shows how far an import is."""

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Show that phase *name* has done so many of *total* bytes."""

    def image(self, image: Image) -> None:
        """Show what the service says."""


@contextmanager
def showing(*, as_json: bool, stream: bool = False) -> Iterator[Show]:
    """Give what suits stderr; with *as_json*, every change as JSON (*stream*) or nothing."""
    if as_json:
        yield JsonLines() if stream else Nothing()
    elif sys.stderr.isatty():
        columns = (
            TextColumn("{task.description:<12}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True, markup=False)) as progress:
            yield Bar(progress)
    else:
        yield Lines()


class _ByPhase:
    """Shows an image by the progress of its phase."""

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Show that phase *name* has done so many of *total* bytes."""
        raise NotImplementedError

    def image(self, image: Image) -> None:
        """Show the phase, and why the last try failed while the next one waits."""
        if image.phase in OVER:
            return
        progress = image.status.progress
        name = image.phase.value
        if image.phase == Phase.PENDING and image.status.error:
            name = f"Pending after: {image.status.error.message}"
        self.phase(name, progress.done if progress else 0, progress.total if progress else None)


class Bar(_ByPhase):
    """One line on a terminal, with rate and time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)
        self._name = ""

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Move the bar; a new phase begins it anew, with its own clock."""
        if name != self._name:
            self._name = name
            self._progress.reset(self._task, total=total, description=plain(name))
        # Drawn at once when all is there: the next phase may begin before the next refresh.
        self._progress.update(self._task, completed=done, total=total, refresh=done == total)


class Lines(_ByPhase):
    """A line for each phase, and one every few seconds."""

    def __init__(self) -> None:
        self._name = ""
        self._said = 0.0
        self._began = (0.0, 0)

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Print a line when the phase is new or the last line is old."""
        moment = time.monotonic()
        if name != self._name:
            self._name, self._began = name, (moment, done)
        elif moment < self._said + EVERY:
            return
        self._said = moment
        typer.echo(plain(f"{name}{self._how_far(moment, done, total)}"), err=True)

    def _how_far(self, moment: float, done: int, total: int | None) -> str:
        began, start = self._began
        rate = (done - start) / (moment - began) if moment > began else 0.0
        if not total or not rate:
            return f": {human(done)}" if done else ""
        left = f"{rate / 1e6:.0f} MB/s, {(total - done) / rate:.0f} s left"
        return f": {human(done)} of {human(total)} ({done * 100 // total} %), {left}"


class JsonLines:
    """The image as one line of JSON at every change."""

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Nothing: the service's own view follows."""

    def image(self, image: Image) -> None:
        """Print it."""
        print_json(msgspec.to_builtins(image))


class Nothing:
    """Shows nothing: the result alone counts."""

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Nothing."""

    def image(self, image: Image) -> None:
        """Nothing."""
