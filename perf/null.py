"""The service with a storage class that drops what it gets: what is left is the way to it.

    python -m perf.null DATA

prints its port. Bytes are hashed, as for every target.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from importer.app import listening, service
from importer.config import Config, apply
from importer.model import Format, ImageInfo, Placed, StorageClass, Wire
from importer.stream.extent import Layout
from importer.stream.memory import keep_chunks
from importer.stream.pipe import Chunks
from importer.targets import Accepts, Finished, Order, Tell, Written, untold

ACCEPTS = Accepts(
    wires=frozenset({"as-is", "raw"}),
    formats=frozenset(Format),
    stores=frozenset({"raw", "qcow2"}),
    converts=False,
)


class NullPlace:
    """Counts and drops."""

    def __init__(self) -> None:
        self._info = ImageInfo(format=Format.RAW)

    async def prepare(self, info: ImageInfo, wire: Wire = "as-is", size: int | None = None) -> None:
        """Keep what it is called."""
        self._info = info

    async def write(self, chunks: Chunks) -> Written:
        """Drop the bytes."""
        size = 0
        async for chunk in chunks:
            size += len(chunk)
        return Written(size, size, size)

    async def fill(self, layout: Layout) -> Written:
        """Drop the disk."""
        size = 0
        async for located in layout:
            size += located.extent.length
        return Written(size, size, size)

    async def finish(self) -> Finished:
        """Say that it is done."""
        return Finished(self._info, Placed(kind="Null", name="null"))

    async def settle(self) -> None:
        """Hold nothing."""

    async def abort(self) -> None:
        """Leave nothing."""


class NullShelf:
    """A class of them."""

    accepts = ACCEPTS

    async def describe(self) -> StorageClass:
        """Return what it is."""
        return StorageClass(name="null", provisioner="null", backend="local", engine="null")

    def check(self, order: Order) -> None:
        """Take everything."""

    def place(self, order: Order, tell: Tell = untold) -> NullPlace:
        """Return another one."""
        return NullPlace()

    async def remove(self, order: Order, placed: Placed) -> None:
        """Have nothing to remove."""


async def main(data: Path) -> None:
    """Serve until killed."""
    settings = apply(
        Config(),
        {
            "service": {"data": str(data)},
            "upload": {"patience": 600.0},
            "log": {"level": "error"},
        },
    )
    async with (
        service(settings, {"null": NullShelf()}) as run,
        listening(run.app, "127.0.0.1", 0, settings) as base,
    ):
        print(base.rpartition(":")[2], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    keep_chunks()
    uvloop.run(main(Path(sys.argv[1])))
