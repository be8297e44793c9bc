"""One command that talks to the service: its client, its output, and Ctrl-C."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import typer

from importer.cli.access import Access
from importer.cli.client import Client
from importer.cli.exits import INTERRUPTED


@dataclass(frozen=True, slots=True)
class Session:
    """What a command needs."""

    client: Client
    as_json: bool
    namespace: str | None


def run(command: Callable[[Session], Awaitable[None]], access: Access, *, as_json: bool) -> None:
    """Run *command* to its end. Ctrl-C cancels it, a second one leaves at once."""
    try:
        asyncio.run(_run(command, access, as_json=as_json))
    except asyncio.CancelledError as exc:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from exc


def _leave() -> None:
    if sys.stderr.isatty():
        # The progress bar hid the cursor (DECTCEM).
        os.write(2, b"\x1b[?25h\n")
    os._exit(INTERRUPTED)


async def _run(
    command: Callable[[Session], Awaitable[None]], access: Access, *, as_json: bool
) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupt() -> None:
        loop.add_signal_handler(signal.SIGINT, _leave)
        if task:
            task.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    async with Client(access) as client:
        await command(Session(client, as_json, access.namespace))
