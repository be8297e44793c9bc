"""What is remembered of copies: SQLite, so that a restart loses none and counts none twice.

Three things: the totals that Prometheus is told, the copies that run and the last that are over,
and the uids of those that are counted. One transaction changes all three.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from importer.copies.ledger import End
from importer.database import Database
from importer.model import Copy

KEPT = 500
"""Copies that are over and still shown, at most."""

_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS copy_totals (
        backend       TEXT NOT NULL,
        storage_class TEXT NOT NULL,
        engine        TEXT NOT NULL,
        strategy      TEXT NOT NULL,
        basis         TEXT NOT NULL,
        outcome       TEXT NOT NULL,
        reason        TEXT NOT NULL,
        copies        INTEGER NOT NULL,
        bytes         INTEGER NOT NULL,
        seconds       REAL NOT NULL,
        PRIMARY KEY (backend, storage_class, engine, strategy, basis, outcome, reason)
    ) STRICT
    """,
    """
    CREATE TABLE IF NOT EXISTS copies (
        uid  TEXT PRIMARY KEY,
        over INTEGER NOT NULL,
        kind TEXT NOT NULL,
        copy BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE IF NOT EXISTS counted (
        uid    TEXT PRIMARY KEY,
        kind   TEXT NOT NULL,
        reason TEXT NOT NULL
    ) STRICT
    """,
    "CREATE TABLE IF NOT EXISTS known (kind TEXT PRIMARY KEY) STRICT",
)


class Label(msgspec.Struct, frozen=True):
    """What a total is of."""

    backend: str
    storage_class: str
    engine: str
    strategy: str
    basis: str
    outcome: str
    """done, failed or deleted."""

    reason: str


@dataclass(slots=True)
class Total:
    """What is counted under one label."""

    copies: int = 0
    bytes: int = 0
    seconds: float = 0.0


Counted: TypeAlias = tuple[str, str]
"""Of a copy that is counted: the kind of object that it was seen on, and why it failed; empty when
it did not."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """Everything that an earlier service left."""

    totals: dict[Label, Total]
    running: dict[str, tuple[str, Copy]]
    """Uid → the kind of object that it was seen on, and the copy."""

    over: list[Copy]
    """Oldest first."""

    counted: dict[str, Counted]

    known: set[str]
    """Kinds of objects that have been looked at before."""


class History:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._file = Database(path, _SCHEMA, "copies")

    async def open(self) -> Remembered:
        """Open it, made when missing, and return what is in it."""
        await self._file.open()
        return await self._file.run(self._read)

    async def close(self) -> None:
        """Close it after the work that was asked for."""
        await self._file.close()

    async def keep(self, running: Iterable[tuple[str, Copy]]) -> None:
        """Remember copies that run, each with the kind of object that it was seen on."""
        rows = [(copy.uid, 0, kind, msgspec.json.encode(copy)) for kind, copy in running]
        await self._file.write(lambda: self._put(rows))

    async def amend(self, copy: Copy) -> None:
        """Remember a copy that is over as it is now."""
        values = (msgspec.json.encode(copy), copy.uid)
        await self._file.write(
            lambda: self._file.connection.execute(
                "UPDATE copies SET copy = ? WHERE uid = ?", values
            )
        )

    async def drop(self, uids: Iterable[str]) -> None:
        """Forget copies that were none of their own."""
        rows = [(uid,) for uid in uids]
        await self._file.write(
            lambda: self._file.connection.executemany("DELETE FROM copies WHERE uid = ?", rows)
        )

    async def end(self, end: End, label: Label, total: Total, counted: Counted | None) -> None:
        """Remember that a copy is over: *total* is what *label* has now.

        *counted*: by which it is known when it is seen again; None of what nobody sees again.
        """
        uid = end.copy.uid

        def write() -> None:
            # Anew, so that rows are in the order of their ends.
            self._file.connection.execute("DELETE FROM copies WHERE uid = ?", (uid,))
            self._put([(uid, 1, end.kind, msgspec.json.encode(end.copy))])
            if counted:
                self._count([(uid, *counted)])
            self._file.connection.execute(
                "INSERT OR REPLACE INTO copy_totals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*msgspec.structs.astuple(label), total.copies, total.bytes, total.seconds),
            )
            self._file.connection.execute(
                "DELETE FROM copies WHERE over AND rowid <= "
                "(SELECT rowid FROM copies WHERE over ORDER BY rowid DESC LIMIT 1 OFFSET ?)",
                (KEPT,),
            )

        await self._file.write(write)

    async def know(self, kind: str, over: Iterable[str]) -> None:
        """Remember that *kind* was looked at, and copies that were over before: never counted."""
        rows = [(uid, kind, "") for uid in over]

        def know() -> None:
            self._count(rows)
            self._file.connection.execute("INSERT OR IGNORE INTO known VALUES (?)", (kind,))

        await self._file.write(know)

    async def forget(self, uids: Iterable[str]) -> None:
        """Forget that these were counted: their objects are gone, nobody will see them again."""
        rows = [(uid,) for uid in uids]
        await self._file.write(
            lambda: self._file.connection.executemany("DELETE FROM counted WHERE uid = ?", rows)
        )

    def _put(self, rows: list[tuple[str, int, str, bytes]]) -> None:
        self._file.connection.executemany("INSERT OR REPLACE INTO copies VALUES (?, ?, ?, ?)", rows)

    def _count(self, rows: list[tuple[str, str, str]]) -> None:
        self._file.connection.executemany("INSERT OR IGNORE INTO counted VALUES (?, ?, ?)", rows)

    def _read(self) -> Remembered:
        select = self._file.connection.execute
        totals = {Label(*row[:7]): Total(*row[7:]) for row in select("SELECT * FROM copy_totals")}
        copies = [
            (over, kind, msgspec.json.decode(copy, type=Copy))
            for over, kind, copy in select("SELECT over, kind, copy FROM copies ORDER BY rowid")
        ]
        return Remembered(
            totals,
            {copy.uid: (kind, copy) for over, kind, copy in copies if not over},
            [copy for over, _, copy in copies if over],
            {uid: (kind, reason) for uid, kind, reason in select("SELECT * FROM counted")},
            {kind for (kind,) in select("SELECT kind FROM known")},
        )
