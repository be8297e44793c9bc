"""Uploads files, several at once where there are several; one that fails does not stop the rest."""

import asyncio
from collections.abc import Sequence

import msgspec
import typer

from importer.cli import display
from importer.cli.exits import Refused, code_of, problem_of, said
from importer.cli.images import print_result
from importer.cli.order import Order
from importer.cli.progress import Board, boards, showing
from importer.cli.safe import plain
from importer.cli.session import Session
from importer.cli.upload import Made, Upload
from importer.errors import CallerError, ImporterError

PARALLEL = 3
"""Files that are sent at once. More share the same way, and each takes one of the service's
workers ([jobs] workers)."""


async def upload_files(session: Session, orders: Sequence[Order], parallel: int = PARALLEL) -> None:
    """Upload all of *orders*, print what was made of them; the exit code is the worst."""
    refuse_same(orders)
    if len(orders) == 1:
        with showing(as_json=session.as_json) as show:
            made = await Upload(session.client, orders[0], show).run()
        print_result(session, made.image, made.sent)
        return
    turns = asyncio.Semaphore(parallel)
    with boards(as_json=session.as_json) as board:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_one(session, order, board, turns)) for order in orders]
    if code := max(task.result() for task in tasks):
        raise typer.Exit(code)


def refuse_same(orders: Sequence[Order]) -> None:
    """Raise CallerError when two files would become one image."""
    taken: dict[str, Order] = {}
    for order in orders:
        if other := taken.get(order.name):
            raise CallerError(
                f"{other.path} and {order.path} would both be named {order.name}: upload one of "
                "them by itself, with --name"
            )
        taken[order.name] = order


async def _one(session: Session, order: Order, board: Board, turns: asyncio.Semaphore) -> int:
    """Upload one of many; return its exit code."""
    async with turns:
        show = board.show(order.name)
        try:
            made = await Upload(session.client, order, show).run()
        except (Refused, ImporterError) as exc:
            board.result(_failed(session, order, exc), err=not session.as_json)
            return code_of(exc)
        finally:
            board.over(show)
        board.result(_made(session, made))
        return 0


def _made(session: Session, made: Made) -> object:
    if session.as_json:
        return msgspec.to_builtins(made.image)
    return display.result_line(made.image, made.sent)


def _failed(session: Session, order: Order, error: Refused | ImporterError) -> object:
    problem = error.problem if isinstance(error, Refused) else problem_of(error)
    if session.as_json:
        return {"file": str(order.path), "error": msgspec.to_builtins(problem)}
    return plain(f"{order.path}: {said(problem)}")
