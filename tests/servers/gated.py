"""A storage class whose imports pass a gate before and after every step: real otherwise.

A `Gate` holds them there until it is opened; another kind may do worse (tests/crash/mortal.py).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from importer.config import Config
from importer.formats.disks import Disks
from importer.formats.qemu_img import QemuImg
from importer.model import ImageInfo, Placed, StorageClass, Wire
from importer.stream.extent import Layout
from importer.stream.pipe import Chunks
from importer.targets import Accepts, Finished, Order, Place, Shelf, Tell, Written, untold
from importer.targets.cloning import Cloned, Clones
from importer.targets.local import shelves

T = TypeVar("T")

STEPS = ("prepare", "write", "finish", "settle")
POINTS = [
    *(f"{when} {step}" for step in (*STEPS, "remove") for when in ("before", "after")),
    "amid write",
]
"""Where a gate is passed."""

COPYING = [f"{when} {step}" for step in ("copy", "uncopy") for when in ("before", "after")]
"""And where images are copied."""


class Passes(Protocol):
    """What stands at every point."""

    async def passes(self, point: str) -> None: ...


@dataclass
class Gate:
    """Holds imports at one point."""

    point: str
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def passes(self, point: str) -> None:
        if point == self.point:
            self.reached.set()
            await self.opened.wait()


class GatedPlace:
    """A place with a gate before and after its steps."""

    def __init__(self, place: Place, gate: Passes) -> None:
        self._place = place
        self._gate = gate

    async def prepare(self, info: ImageInfo, wire: Wire = "as-is", size: int | None = None) -> None:
        await self._step("prepare", lambda: self._place.prepare(info, wire, size))

    async def write(self, chunks: Chunks) -> Written:
        return await self._step("write", lambda: self._place.write(self._amid(chunks)))

    async def fill(self, layout: Layout) -> Written:
        return await self._step("write", lambda: self._place.fill(self._amid(layout)))

    async def finish(self) -> Finished:
        return await self._step("finish", self._place.finish)

    async def settle(self) -> None:
        await self._step("settle", self._place.settle)

    async def abort(self) -> None:
        await self._place.abort()

    async def _step(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        await self._gate.passes(f"before {name}")
        result = await work()
        await self._gate.passes(f"after {name}")
        return result

    async def _amid(self, things: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        async with aclosing(things):
            async for thing in things:
                yield thing
                await self._gate.passes("amid write")


class GatedShelf:
    """A shelf of such places."""

    def __init__(self, shelf: Shelf, gate: Passes) -> None:
        self._shelf = shelf
        self._gate = gate

    @property
    def accepts(self) -> Accepts:
        return self._shelf.accepts

    async def describe(self) -> StorageClass:
        return await self._shelf.describe()

    def check(self, order: Order) -> None:
        self._shelf.check(order)

    def place(self, order: Order, tell: Tell = untold) -> GatedPlace:
        return GatedPlace(self._shelf.place(order, tell), self._gate)

    async def remove(self, order: Order, placed: Placed) -> None:
        await self._gate.passes("before remove")
        await self._shelf.remove(order, placed)
        await self._gate.passes("after remove")


class GatedCopies(GatedShelf):
    """A shelf that copies its images too."""

    def __init__(self, shelf: Shelf, gate: Passes) -> None:
        super().__init__(shelf, gate)
        assert isinstance(shelf, Clones)
        self._clones: Clones = shelf

    async def clone(self, image: Placed, order: Order, size: int, tell: Tell = untold) -> Cloned:
        await self._gate.passes("before copy")
        cloned = await self._clones.clone(image, order, size, tell)
        await self._gate.passes("after copy")
        return cloned

    async def unclone(self, order: Order) -> None:
        await self._gate.passes("before uncopy")
        await self._clones.unclone(order)
        await self._gate.passes("after uncopy")


def behind(shelf: Shelf, gate: Passes) -> GatedShelf:
    """Return *shelf* behind *gate*."""
    return (GatedCopies if isinstance(shelf, Clones) else GatedShelf)(shelf, gate)


def gated(settings: Config, gate: Passes) -> dict[str, Shelf]:
    """Return the configured local classes behind *gate*."""
    disks = Disks(QemuImg(settings.qemu_img), settings.limits)
    data = Path(settings.service.data)
    real = shelves(settings.local.classes, data, disks, settings.limits)
    return {name: behind(shelf, gate) for name, shelf in real.items()}
