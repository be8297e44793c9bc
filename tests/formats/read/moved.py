"""qcow2 files whose parts are moved about, as no tool does it, and that say the same."""

import random
import struct

_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62


class Parts:
    """A sound qcow2 file with what can be changed of it. Its reference counts go stale."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.cluster = 1 << data[23]
        self.data += bytes(-len(data) % self.cluster)
        self.step = 16 if data[4:8] == b"\0\0\0\3" and data[79] & 16 else 8
        (size,) = struct.unpack_from(">Q", data, 24)
        reach = self.cluster * (self.cluster // self.step)
        self.l1_entries = -(-size // reach)

    def word(self, at: int) -> int:
        """Return the eight bytes at *at* as a number."""
        return int(struct.unpack_from(">Q", self.data, at)[0])

    def put(self, at: int, value: int) -> None:
        """Write *value* there."""
        struct.pack_into(">Q", self.data, at, value)

    @property
    def l1(self) -> int:
        """Offset of the L1 table."""
        return self.word(40)

    def tables(self) -> list[tuple[int, int]]:
        """Return where L2 tables are named, and their offsets."""
        words = range(self.l1, self.l1 + 8 * self.l1_entries, 8)
        return [(at, offset) for at in words if (offset := self.word(at) & _OFFSET)]

    def clusters(self) -> list[tuple[int, int]]:
        """Return where clusters that are not compressed are named, and their offsets."""
        found = []
        for _, table in self.tables():
            for at in range(table, table + self.cluster, self.step):
                entry = self.word(at)
                if entry & _OFFSET and not entry & _COMPRESSED:
                    found.append((at, entry & _OFFSET))
        return found

    def rename(self, at: int, offset: int) -> None:
        """Let the entry at *at* name the cluster at *offset*."""
        self.put(at, self.word(at) & ~_OFFSET | offset)

    def append(self, data: bytes) -> int:
        """Put *data* at the end; return where."""
        at = len(self.data)
        self.data += data + bytes(-len(data) % self.cluster)
        return at


def tables_last(data: bytes, l1_too: bool = False) -> bytes:
    """Return the file with its L2 tables at its end, the last one first; junk where they were.

    With *l1_too* the L1 table comes behind them.
    """
    parts = Parts(data)
    for at, offset in reversed(parts.tables()):
        parts.rename(at, parts.append(bytes(parts.data[offset : offset + parts.cluster])))
        parts.data[offset : offset + parts.cluster] = b"\xa5" * parts.cluster
    if l1_too:
        length = 8 * parts.l1_entries
        start = parts.l1
        parts.put(40, parts.append(bytes(parts.data[start : start + length])))
        struct.pack_into(">I", parts.data, 36, parts.l1_entries)
        parts.data[start : start + length] = b"\xa5" * length
    return bytes(parts.data)


def shuffled(data: bytes, seed: int) -> bytes:
    """Return the file with its L2 tables and plain clusters in each other's places."""
    parts = Parts(data)
    cluster = parts.cluster
    old = sorted({offset for _, offset in parts.tables() + parts.clusters()})
    new = random.Random(seed).sample(old, len(old))
    moves = dict(zip(old, new, strict=True))
    for at, offset in parts.clusters():
        parts.rename(at, moves[offset])
    for at, offset in parts.tables():
        parts.rename(at, moves[offset])
    before = bytes(parts.data)
    for offset, to in moves.items():
        parts.data[to : to + cluster] = before[offset : offset + cluster]
    return bytes(parts.data)
