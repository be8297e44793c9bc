"""Work that goes on beside a server: all of it ends with the server, and its errors are told."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Tasks that are cancelled together."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._errors: list[BaseException] = []

    def start(self, work: Coroutine[Any, Any, Any], *, awaited: bool = False) -> asyncio.Task[Any]:
        """Run *work*; unless it is *awaited*, what it raises is raised by `close`."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if not awaited:
            task.add_done_callback(self._note)
        return task

    def _note(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error:
            self._errors.append(error)

    async def cancel(self) -> None:
        """End what runs."""
        running = self._running - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def close(self) -> None:
        """End what runs, and raise what went wrong."""
        await self.cancel()
        if self._errors:
            raise self._errors[0]
