"""The network between browser and service, that can be unplugged: real sockets, real resets."""

import asyncio
from dataclasses import dataclass, field

from tests.servers.cutting import Cutting


@dataclass
class Wire(Cutting):
    """Passes TCP on to *base*; `passed` counts the bytes that the browser sent."""

    points: list[int] = field(default_factory=list)
    unplugged: bool = False

    def cut(self) -> None:
        """Reset all connections; new ones may be made at once."""
        for writer in list(self._open):
            writer.transport.abort()

    def unplug(self) -> None:
        """Reset all connections, and each that is tried until `plug_in`."""
        self.unplugged = True
        self.cut()

    def plug_in(self) -> None:
        """Let connections through again."""
        self.unplugged = False

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.unplugged:
            writer.transport.abort()
        else:
            super()._accept(reader, writer)
