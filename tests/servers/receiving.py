"""Storage classes that take a stream of bytes and keep it: what was sent can be looked at.

They stand where a cluster's targets are, and promise as these do: `CDI` takes most forms and makes
raw of them, `LONGHORN` keeps what it gets, must know its size, and reads qcow2 with libqcow.
"""

from dataclasses import dataclass, field
from pathlib import Path

from importer.errors import TargetError
from importer.model import Format, ImageInfo, Placed, StorageClass, Wire
from importer.stream.extent import Layout
from importer.stream.pipe import Chunks
from importer.targets import Accepts, Finished, Order, Tell, Written, untold

CDI = Accepts(
    wires=frozenset({"as-is", "raw+zstd", "qcow2"}),
    formats=frozenset(Format) - {Format.VPC},
    stores=frozenset({"raw"}),
    converts=True,
)
LONGHORN = Accepts(
    wires=frozenset({"as-is", "qcow2"}),
    formats=frozenset({Format.RAW, Format.ISO, Format.QCOW2}),
    stores=frozenset({"raw", "qcow2"}),
    converts=False,
    hashes=True,
    exact=True,
    libqcow=True,
)


@dataclass
class Receipt:
    """What a place was told, and what came."""

    path: Path
    info: ImageInfo
    wire: Wire
    size: int | None


@dataclass
class ReceivingPlace:
    """Writes one stream to a file."""

    shelf: "ReceivingShelf"
    order: Order
    tell: Tell

    async def prepare(self, info: ImageInfo, wire: Wire = "as-is", size: int | None = None) -> None:
        self.tell("waiting for nothing")
        path = self.shelf.root / self.order.uid
        self.shelf.receipts.append(Receipt(path, info, wire, size))

    async def write(self, chunks: Chunks) -> Written:
        if self.shelf.failures:
            raise self.shelf.failures.pop(0)
        size = 0
        with self._receipt.path.open("wb") as file:
            async for chunk in chunks:
                file.write(chunk)
                size += len(chunk)
        return Written(size, size, size)

    async def fill(self, layout: Layout) -> Written:
        raise TargetError("it takes no extents")

    async def finish(self) -> Finished:
        self.tell("hashing", 50, 100)
        return Finished(self._receipt.info, Placed(kind="Stream", name=str(self._receipt.path)))

    async def settle(self) -> None:
        """Nothing is held."""

    async def abort(self) -> None:
        (self.shelf.root / self.order.uid).unlink(missing_ok=True)

    @property
    def _receipt(self) -> Receipt:
        return self.shelf.receipts[-1]


@dataclass
class ReceivingShelf:
    """One such class."""

    name: str
    root: Path
    accepts: Accepts
    receipts: list[Receipt] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    """What the next writes end with."""

    async def describe(self) -> StorageClass:
        backend = "backingimage" if self.accepts.libqcow else "cdi"
        return StorageClass(name=self.name, provisioner="test", backend=backend, engine="test")

    def check(self, order: Order) -> None:
        """Everything is fine."""

    def place(self, order: Order, tell: Tell = untold) -> ReceivingPlace:
        return ReceivingPlace(self, order, tell)

    async def remove(self, order: Order, placed: Placed) -> None:
        Path(placed.name).unlink(missing_ok=True)
