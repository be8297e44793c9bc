"""What a bench makes is written down before it is made, and crossed off once it is gone.

So a service that was killed at any moment knows at its next start what to look for. Nothing of that
name being there is fine: it was killed before it made it.
"""

from pathlib import Path
from typing import Literal

import msgspec

from importer.database import Database

_SCHEMA = "CREATE TABLE IF NOT EXISTS bench (thing BLOB NOT NULL UNIQUE) STRICT"


class Thing(msgspec.Struct, frozen=True):
    """An image, or a copy of one."""

    kind: Literal["image", "copy"]
    storage_class: str
    namespace: str
    name: str
    uid: str = ""
    """Of a copy: what it is marked with."""


class Ledger:
    """The things that there may be."""

    def __init__(self, path: Path) -> None:
        self._file = Database(path, (_SCHEMA,), "bench")

    async def open(self) -> None:
        """Open the database, made when missing."""
        await self._file.open()

    async def close(self) -> None:
        """Close it after the work that was asked for."""
        await self._file.close()

    async def things(self) -> list[Thing]:
        """Return all that is not crossed off, in the order of its making."""

        def select() -> list[Thing]:
            rows = self._file.connection.execute("SELECT thing FROM bench ORDER BY rowid")
            return [msgspec.json.decode(thing, type=Thing) for (thing,) in rows]

        return await self._file.run(select)

    async def add(self, thing: Thing) -> None:
        """Write *thing* down; durable on return."""
        await self._do("INSERT INTO bench (thing) VALUES (?)", thing)

    async def cross_off(self, thing: Thing) -> None:
        """Forget *thing*: it is gone."""
        await self._do("DELETE FROM bench WHERE thing = ?", thing)

    async def _do(self, statement: str, thing: Thing) -> None:
        row = (msgspec.json.encode(thing),)
        await self._file.write(lambda: self._file.connection.execute(statement, row))
