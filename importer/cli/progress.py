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
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

from importer.cli.display import share
from importer.cli.exits import print_json
from importer.cli.safe import plain
from importer.model import AT_TARGET, OVER, Image, Phase
from importer.units import human

EVERY = 2.0
"""Seconds between two plain lines of one phase."""


class Show(Protocol):
    """Something that shows how far an import is."""

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Show that phase *name* has done so many of *total* bytes."""

    def image(self, image: Image) -> None:
        """Show what the service says."""

    def note(self, text: str) -> None:
        """Say something that is not seen from how far it is."""


class Board(Protocol):
    """Something that shows how far several imports are."""

    def show(self, label: str) -> Show:
        """Return where the import called *label* is shown."""

    def over(self, show: Show) -> None:
        """Show no more of that one."""

    def result(self, result: object, *, err: bool = False) -> None:
        """Print what became of one: text, or an object as JSON."""


@contextmanager
def boards(*, as_json: bool) -> Iterator[Board]:
    """Give what suits stderr; with *as_json*, results are JSON and nothing else is shown."""
    if as_json:
        yield JsonBoard()
    elif sys.stderr.isatty():
        with bars(Console(stderr=True, markup=False)) as progress:
            yield Bars(progress)
    else:
        yield ManyLines()


@contextmanager
def showing(*, as_json: bool, stream: bool = False) -> Iterator[Show]:
    """Give what suits stderr; with *as_json*, every change as JSON (*stream*) or nothing."""
    if as_json:
        yield JsonLines() if stream else Nothing()
    elif sys.stderr.isatty():
        with bars(Console(stderr=True, markup=False)) as progress:
            yield Bar(progress)
    else:
        yield Lines()


def bars(console: Console) -> Progress:
    """Return what draws a `Bar` on *console*."""
    words = TextColumn("{task.description:<12}", markup=False)
    # stdout is for results: they go there past what is drawn on stderr.
    return Progress(words, BarColumn(), _Facts(), console=console, redirect_stdout=False)


class _Facts(ProgressColumn):
    """Bytes, rate and time left; of a target at work, what it says."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True, overflow="ellipsis"))
        self._columns = (
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )

    def render(self, task: Task) -> Text:
        """Return them, on one line."""
        if task.fields["doing"] is not None:
            return Text(task.fields["doing"])
        return Text(" ").join(column.render(task) for column in self._columns)


class _ByPhase:
    """Shows an image by the progress of its phase."""

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Show that phase *name* has done so many of *total* bytes."""
        raise NotImplementedError

    def target(self, name: str, doing: str, done: int, total: int | None) -> None:
        """Show what the target says that it does in phase *name*, with what it counts."""
        raise NotImplementedError

    def image(self, image: Image) -> None:
        """Show the phase, and why the last try failed while the next one waits."""
        if image.phase in OVER:
            return
        progress = image.status.progress
        name = image.phase.value
        if image.phase == Phase.PENDING and image.status.error:
            name = f"Pending after: {image.status.error.message}"
        done, total = (progress.done, progress.total) if progress else (0, None)
        if image.phase in AT_TARGET:
            far = share(progress) if progress else ""
            doing = ", ".join(part for part in (image.status.doing, far) if part)
            self.target(name, doing, done, total)
        else:
            self.phase(name, done, total)


class Bar(_ByPhase):
    """One line on a terminal, with rate and time left."""

    def __init__(self, progress: Progress, label: str = "") -> None:
        self._progress = progress
        self._label = f"{label}: " if label else ""
        self.task = progress.add_task(plain(label), total=None, doing="")
        self._name = ""

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Move the bar; a new phase begins it anew, with its own clock."""
        self._move(name, None, done, total)

    def target(self, name: str, doing: str, done: int, total: int | None) -> None:
        """Show the words in the place of bytes and rate."""
        self._move(name, plain(doing), done, total)

    def _move(self, name: str, doing: str | None, done: int, total: int | None) -> None:
        if name != self._name:
            self._name = name
            words = plain(self._label + name)
            self._progress.reset(self.task, total=total, description=words, doing=doing)
        # Drawn at once when all is there: the next phase may begin before the next refresh.
        self._progress.update(
            self.task, completed=done, total=total, refresh=done == total, doing=doing
        )

    def note(self, text: str) -> None:
        """Say it above the bar."""
        self._progress.console.print(Text(plain(text)), soft_wrap=True)


class Bars:
    """A line for each import on a terminal, and results above them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[int, Bar] = {}

    def show(self, label: str) -> Show:
        """Add a line."""
        bar = Bar(self._progress, label)
        self._bars[id(bar)] = bar
        return bar

    def over(self, show: Show) -> None:
        """Remove it."""
        self._progress.remove_task(self._bars.pop(id(show)).task)

    def result(self, result: object, *, err: bool = False) -> None:
        """Print it above the lines when it goes to the terminal too."""
        if err or sys.stdout.isatty():
            self._progress.console.print(Text(str(result)), soft_wrap=True)
        else:
            typer.echo(str(result))


class Lines(_ByPhase):
    """A line for each phase, and one every few seconds."""

    def __init__(self, label: str = "") -> None:
        self._label = f"{label}: " if label else ""
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
        self.note(f"{self._label}{name}{self._how_far(moment, done, total)}")

    def target(self, name: str, doing: str, done: int, total: int | None) -> None:
        """Print a line when the phase or the words are new."""
        line = f"{name}: {doing}" if doing else name
        if line != self._name:
            self._name, self._said = line, time.monotonic()
            self.note(self._label + line)

    def note(self, text: str) -> None:
        """Print it."""
        typer.echo(plain(text), err=True)

    def _how_far(self, moment: float, done: int, total: int | None) -> str:
        began, start = self._began
        rate = (done - start) / (moment - began) if moment > began else 0.0
        if not total or not rate:
            return f": {human(done)}" if done else ""
        left = f"{rate / 1e6:.0f} MB/s, {(total - done) / rate:.0f} s left"
        return f": {human(done)} of {human(total)} ({done * 100 // total} %), {left}"


class ManyLines:
    """The lines of each import, marked with its name."""

    def show(self, label: str) -> Show:
        """Return them."""
        return Lines(label)

    def over(self, show: Show) -> None:
        """Nothing: they stay."""

    def result(self, result: object, *, err: bool = False) -> None:
        """Print it."""
        typer.echo(str(result), err=err)


class JsonBoard:
    """Results alone, as JSON."""

    def show(self, label: str) -> Show:
        """Return what shows nothing."""
        return Nothing()

    def over(self, show: Show) -> None:
        """Nothing."""

    def result(self, result: object, *, err: bool = False) -> None:
        """Print it, as every answer on stdout."""
        print_json(result)


class JsonLines:
    """The image as one line of JSON at every change."""

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Nothing: the service's own view follows."""

    def image(self, image: Image) -> None:
        """Print it."""
        print_json(msgspec.to_builtins(image))

    def note(self, text: str) -> None:
        """Nothing."""


class Nothing:
    """Shows nothing: the result alone counts."""

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Nothing."""

    def image(self, image: Image) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""
