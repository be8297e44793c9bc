"""A storage class whose imports stop at a step of the target and wait there: real otherwise."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from importer.config import Config
from importer.formats.disks import Disks
from importer.formats.qemu_img import QemuImg
from importer.model import ImageInfo, Placed, StorageClass
from importer.stream.pipe import Chunks
from importer.targets import Finished, Order, Place, Shelf, Written
from importer.targets.local import shelves


@dataclass
class Gate:
    """Where imports wait."""

    step: str
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def passes(self, step: str) -> None:
        if step == self.step:
            self.reached.set()
            await self.opened.wait()


class HeldPlace:
    """A place with a gate before its steps."""

    def __init__(self, place: Place, gate: Gate) -> None:
        self._place = place
        self._gate = gate

    async def prepare(self, info: ImageInfo) -> None:
        await self._gate.passes("prepare")
        await self._place.prepare(info)

    async def write(self, chunks: Chunks) -> Written:
        return await self._place.write(chunks)

    async def finish(self) -> Finished:
        await self._gate.passes("finish")
        finished = await self._place.finish()
        await self._gate.passes("finished")
        return finished

    async def settle(self) -> None:
        await self._place.settle()

    async def abort(self) -> None:
        await self._place.abort()


class HeldShelf:
    """A shelf of such places."""

    def __init__(self, shelf: Shelf, gate: Gate) -> None:
        self._shelf = shelf
        self._gate = gate

    async def describe(self) -> StorageClass:
        return await self._shelf.describe()

    def check(self, order: Order) -> None:
        self._shelf.check(order)

    def place(self, order: Order) -> HeldPlace:
        return HeldPlace(self._shelf.place(order), self._gate)

    async def remove(self, order: Order, placed: Placed) -> None:
        await self._shelf.remove(order, placed)


def held(settings: Config, gate: Gate) -> dict[str, Shelf]:
    """Return the configured local classes behind *gate*."""
    disks = Disks(QemuImg(settings.qemu_img), settings.limits)
    data = Path(settings.service.data)
    real = shelves(settings.local.classes, data, disks, settings.limits)
    return {name: HeldShelf(shelf, gate) for name, shelf in real.items()}
