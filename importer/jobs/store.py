"""Where images are remembered: SQLite, one writer thread, every move compare-and-swap.

So is what was learnt of storage classes: their rates. And which resumable uploads there are: a
client finds its own again after a restart.

What is acknowledged is durable: WAL with ``synchronous=FULL``. A row is written at each move and
never for mere progress. Beside the public JSON a row holds the sealed secret of its source and
whether the image is being deleted: a delete that a crash cut off is finished at the next start.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import msgspec

from importer.database import Database
from importer.errors import Conflict, NameTaken, NotFound
from importer.model import NEXT, Image, Phase, Rates, Status

_SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    uid       TEXT PRIMARY KEY,
    namespace TEXT NOT NULL,
    name      TEXT NOT NULL,
    phase     TEXT NOT NULL,
    image     BLOB NOT NULL,
    secret    BLOB,
    deleting  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (namespace, name)
) STRICT
"""

_RATES = """
CREATE TABLE IF NOT EXISTS rates (
    storage_class TEXT PRIMARY KEY,
    rates         BLOB NOT NULL
) STRICT
"""

_UPLOADS = """
CREATE TABLE IF NOT EXISTS uploads (
    uid    TEXT PRIMARY KEY,
    id     TEXT NOT NULL,
    upload BLOB NOT NULL
) STRICT
"""


@dataclass(frozen=True, slots=True)
class Record:
    """A row: the image, and what is never shown of it."""

    image: Image
    secret: bytes | None
    """The sealed source URL, when it has anything to hide."""

    deleting: bool = False


class Store:
    """All images of one service."""

    def __init__(self, path: Path) -> None:
        self._file = Database(path, (_SCHEMA, _RATES, _UPLOADS), "store")

    async def open(self) -> None:
        """Open the database, made when missing."""
        await self._file.open()

    async def close(self) -> None:
        """Close it after the work that was asked for."""
        await self._file.close()

    async def add(self, image: Image, secret: bytes | None = None) -> None:
        """Remember a new image. Raises NameTaken."""

        def insert() -> None:
            try:
                self._file.connection.execute(
                    "INSERT INTO images (uid, namespace, name, phase, image, secret)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (*_key(image), image.phase, msgspec.json.encode(image), secret),
                )
            except sqlite3.IntegrityError as exc:
                raise NameTaken(
                    f"an image named {image.name} exists in namespace {image.namespace}; "
                    "delete it or choose another name"
                ) from exc

        await self._file.write(insert)

    async def get(self, namespace: str, name: str) -> Record:
        """Return one image. Raises NotFound."""
        for record in await self._select("namespace = ? AND name = ?", namespace, name):
            return record
        raise NotFound(f"no image named {name} in namespace {namespace}")

    async def all(self) -> list[Record]:
        """Return every image, oldest first."""
        return await self._select("1")

    async def move(self, image: Image, phase: Phase, status: Status) -> Image:
        """Move *image* to *phase* with *status*, and return it as it is then.

        Raises Conflict when it is no longer in the phase that the caller believes, or gone, or
        when the table of moves does not allow the move.
        """
        if phase not in NEXT[image.phase]:
            raise Conflict(f"image {image.name} cannot go from {image.phase} to {phase}")
        moved = msgspec.structs.replace(image, status=msgspec.structs.replace(status, phase=phase))
        await self._swap(image, moved)
        return moved

    async def update(self, image: Image, status: Status) -> Image:
        """Write *status* into an image that stays in its phase. Raises Conflict."""
        kept = msgspec.structs.replace(status, phase=image.phase)
        updated = msgspec.structs.replace(image, status=kept)
        await self._swap(image, updated)
        return updated

    async def doom(self, image: Image) -> None:
        """Mark *image* as being deleted: from now on it is only ever removed.

        Raises NotFound when somebody else has done so already.
        """

        def mark() -> None:
            cursor = self._file.connection.execute(
                "UPDATE images SET deleting = 1 WHERE uid = ? AND deleting = 0", (image.uid,)
            )
            if cursor.rowcount != 1:
                raise NotFound(f"image {image.name} is being deleted already, or is gone")

        await self._file.write(mark)

    async def spare(self, image: Image) -> None:
        """Take the mark back: the target could not let go of *image*."""
        await self._file.write(
            lambda: self._file.connection.execute(
                "UPDATE images SET deleting = 0 WHERE uid = ?", (image.uid,)
            )
        )

    async def remove(self, image: Image) -> None:
        """Forget *image*; one that is gone already is fine."""

        def delete() -> None:
            self._file.connection.execute("DELETE FROM uploads WHERE uid = ?", (image.uid,))
            self._file.connection.execute("DELETE FROM images WHERE uid = ?", (image.uid,))

        await self._file.write(delete)

    async def rates(self, storage_class: str) -> Rates | None:
        """Return what was learnt of *storage_class*, None when nothing was."""

        def select() -> Rates | None:
            row = self._file.connection.execute(
                "SELECT rates FROM rates WHERE storage_class = ?", (storage_class,)
            ).fetchone()
            return msgspec.json.decode(row[0], type=Rates) if row else None

        return await self._file.run(select)

    async def keep_rates(self, storage_class: str, rates: Rates) -> None:
        """Remember what was learnt of *storage_class*, also after a restart."""
        await self._file.write(
            lambda: self._file.connection.execute(
                "INSERT OR REPLACE INTO rates (storage_class, rates) VALUES (?, ?)",
                (storage_class, msgspec.json.encode(rates)),
            )
        )

    async def uploads(self) -> list[tuple[str, bytes]]:
        """Return id and content of every upload whose image waits for its bytes, oldest first."""

        def select() -> list[tuple[str, bytes]]:
            return self._file.connection.execute(
                "SELECT id, upload FROM uploads JOIN images USING (uid)"
                " WHERE phase = ? AND deleting = 0 ORDER BY uploads.rowid",
                (Phase.PENDING,),
            ).fetchall()

        return await self._file.run(select)

    async def keep_upload(self, image: Image, id: str, upload: bytes) -> None:
        """Remember the upload into *image*, or what is new about it, until *image* is over."""
        await self._file.write(
            lambda: self._file.connection.execute(
                "INSERT OR REPLACE INTO uploads (uid, id, upload) VALUES (?, ?, ?)",
                (image.uid, id, upload),
            )
        )

    async def _swap(self, image: Image, changed: Image) -> None:
        def update() -> None:
            cursor = self._file.connection.execute(
                "UPDATE images SET phase = ?, image = ? WHERE uid = ? AND phase = ?",
                (changed.phase, msgspec.json.encode(changed), image.uid, image.phase),
            )
            if cursor.rowcount != 1:
                raise Conflict(f"image {image.name} is no longer {image.phase}")
            if changed.phase in (Phase.READY, Phase.FAILED, Phase.CANCELLED):
                self._file.connection.execute("DELETE FROM uploads WHERE uid = ?", (image.uid,))

        await self._file.write(update)

    async def _select(self, where: str, *values: str) -> list[Record]:
        def select() -> list[Record]:
            rows = self._file.connection.execute(
                f"SELECT image, secret, deleting FROM images WHERE {where} ORDER BY rowid",  # noqa: S608
                values,
            )
            return [
                Record(msgspec.json.decode(image, type=Image), secret, bool(deleting))
                for image, secret, deleting in rows
            ]

        return await self._file.run(select)


def _key(image: Image) -> tuple[str, str, str]:
    return image.uid, image.namespace, image.name
