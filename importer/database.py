"""A SQLite file with one thread of its own: what is asked of it is done in order, and is durable.

WAL with ``synchronous=FULL``: what was acknowledged is on the disk. Several of these may be open on
one file; a writer waits for another for up to 5 s.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Database:
    """One connection and its thread. Only what `run` and `write` call may touch `connection`."""

    connection: sqlite3.Connection

    def __init__(self, path: Path, schema: tuple[str, ...], name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._path = path
        self._schema = schema

    async def open(self) -> None:
        """Open the file, made when missing, and make the tables that it lacks."""
        await self.run(self._open)

    async def close(self) -> None:
        """Close it after the work that was asked for."""
        await self.run(lambda: self.connection.close())
        self._thread.shutdown()

    async def write(self, work: Callable[[], object]) -> None:
        """Do *work* in one transaction, which what it raises takes back."""

        def transaction() -> None:
            with self._transaction():
                work()

        await self.run(transaction)

    async def run(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, called in the thread."""
        # Shielded: a cancelled caller must not leave a statement half sent.
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        return await asyncio.shield(future)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def _open(self) -> None:
        self._path.touch(mode=0o600)
        self.connection = sqlite3.connect(self._path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("PRAGMA busy_timeout = 5000")
        for table in self._schema:
            self.connection.execute(table)
