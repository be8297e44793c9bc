"""The real service as a process that kills itself (SIGKILL) at a named point of an import.

    python -m tests.crash.mortal DATA POINT

prints its address and token once it listens. POINT is one of POINTS: before or after a step of the
target. Everything else is the service as it is.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from importer.app import listening, service
from importer.formats.disks import Disks
from importer.formats.qemu_img import QemuImg
from importer.model import ImageInfo, Placed, StorageClass
from importer.stream.pipe import Chunks
from importer.targets import Finished, Order, Place, Shelf, Written
from importer.targets.local import shelves
from tests.servers.running import config

T = TypeVar("T")

STEPS = ("prepare", "write", "finish", "settle")
POINTS = [
    *(f"{when} {step}" for step in STEPS for when in ("before", "after")),
    "amid write",
    "before remove",
    "after remove",
]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class MortalPlace:
    """A place during whose steps the process dies."""

    def __init__(self, place: Place, point: str) -> None:
        self._place = place
        self._point = point

    async def prepare(self, info: ImageInfo) -> None:
        await self._step("prepare", self._place.prepare(info))

    async def write(self, chunks: Chunks) -> Written:
        return await self._step("write", self._place.write(self._amid(chunks)))

    async def finish(self) -> Finished:
        return await self._step("finish", self._place.finish())

    async def settle(self) -> None:
        await self._step("settle", self._place.settle())

    async def abort(self) -> None:
        await self._place.abort()

    async def _step(self, name: str, work: Awaitable[T]) -> T:
        if self._point == f"before {name}":
            die()
        result = await work
        if self._point == f"after {name}":
            die()
        return result

    async def _amid(self, chunks: Chunks) -> Chunks:
        async for chunk in chunks:
            yield chunk
            if self._point == "amid write":
                die()


class MortalShelf:
    """A shelf of such places."""

    def __init__(self, shelf: Shelf, point: str) -> None:
        self._shelf = shelf
        self._point = point

    async def describe(self) -> StorageClass:
        return await self._shelf.describe()

    def check(self, order: Order) -> None:
        self._shelf.check(order)

    def place(self, order: Order) -> MortalPlace:
        return MortalPlace(self._shelf.place(order), self._point)

    async def remove(self, order: Order, placed: Placed) -> None:
        if self._point == "before remove":
            die()
        await self._shelf.remove(order, placed)
        if self._point == "after remove":
            die()


async def main(data: Path, point: str) -> None:
    settings = config(data)
    disks = Disks(QemuImg(settings.qemu_img), settings.limits)
    real = shelves(settings.local.classes, data, disks, settings.limits)
    mortal = {name: MortalShelf(shelf, point) for name, shelf in real.items()}
    async with (
        service(settings, mortal) as run,
        listening(run.app, "127.0.0.1", 0, settings) as base,
    ):
        print(base, run.token, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
