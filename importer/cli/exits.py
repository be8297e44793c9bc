"""How a command ends: its exit code, and what it says when it failed.

0 ready; 1 failed; 2 wrong usage or configuration; 3 the image or its source is at fault; 4 the
target is; 130 interrupted. Errors go to stderr, or with ``--json`` to stdout as the API has them.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import typer

from importer.cli.safe import plain
from importer.errors import CallerError, ImporterError
from importer.model import Problem

USAGE = 2
INTERRUPTED = 130

_CODES = {"image": 3, "source": 3, "target": 4}


class Refused(Exception):
    """The service said no, or does not answer; *problem* says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def problem_of(error: ImporterError) -> Problem:
    """Return *error*, raised on this side, as the API would show it."""
    return Problem(slug=error.slug, side=error.side, retryable=error.retryable, message=str(error))


@contextmanager
def exits(*, as_json: bool) -> Iterator[None]:
    """Turn what a command raises into its last words and its exit code."""
    try:
        yield
    except Refused as exc:
        _say(exc.problem, as_json=as_json)
        raise typer.Exit(code_of(exc)) from exc
    except ImporterError as exc:
        _say(problem_of(exc), as_json=as_json)
        raise typer.Exit(code_of(exc)) from exc


def code_of(error: Refused | ImporterError) -> int:
    """Return the exit code of a command that ends with *error*."""
    if isinstance(error, Refused):
        return _CODES.get(error.problem.side, 1)
    return USAGE if isinstance(error, CallerError) else _CODES.get(error.side, 1)


def said(problem: Problem) -> str:
    """Return *problem* as people read it."""
    return f"error: {problem.message} ({problem.slug}, {problem.side})"


def _say(problem: Problem, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": msgspec.to_builtins(problem)})
    else:
        typer.echo(plain(said(problem)), err=True)


def print_json(value: object) -> None:
    """Print *value* as one line of JSON; all of it ASCII, so no terminal is harmed."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
