"""The bytes that tables name, of a file that passes once: as they come, or of what waits.

While a table is still to come, what no table has named is kept, because that one may. A cluster
that holds a table or stored data holds nothing else; compressed clusters share theirs, and their
lengths are told in sectors, so that the next one may begin where the last sector of one ends.
Raises CorruptImage for what is named twice or is not there, ImageNotInOrder when more would wait
than the window holds. Source: QEMU's docs/interop/qcow2.txt, "Compressed Clusters Descriptor".
"""

from collections import deque
from collections.abc import AsyncGenerator

from importer.errors import CorruptImage
from importer.formats.read.claims import Claim, Claims, Kind
from importer.formats.read.reorder import not_in_order
from importer.formats.read.tail import Tail
from importer.formats.read.unclaimed import Unclaimed
from importer.formats.whole import refuse_short
from importer.units import SECTOR, round_up

_SLICES = 4096
"""Ends of compressed clusters that are kept while a table may come that has a smaller one there:
as a rule one cluster is full of them before its table comes. Each costs some 500 bytes."""


class Passage:
    """What has passed of a file, and what comes. Claims come to it in the order of the file."""

    def __init__(self, tail: Tail, claims: Claims, cluster: int, window: int) -> None:
        self._tail = tail
        self._claims = claims
        self._cluster = cluster
        self._window = window
        self._unclaimed = Unclaimed()
        self.tables = 1
        """Tables that are still to come; at first, the L1 table."""

        self._last = Claim(0, cluster, 0, Kind.TABLE)
        """What passed last; at first, the header's cluster."""

        self._late = self._last
        """The compressed cluster that was found last among what waits."""

        self._slices: deque[tuple[int, int]] = deque()
        """Parts of sectors between two compressed clusters: most likely the first one's end."""

        self._forgotten = 0
        """End of the last such part that was dropped, though a table was still to come."""

    @property
    def at(self) -> int:
        """Offset of what comes next."""
        return self._tail.at

    def check(self) -> None:
        """Raise ImageNotInOrder when too much waits: bytes for tables, and claims for bytes."""
        held = self._unclaimed.size + self._claims.size
        if held > self._window:
            raise not_in_order(
                f"{held} bytes would have to wait for {self.tables} tables that lie behind them, "
                f"and {self._window} may"
            )

    async def header(self) -> None:
        """Let pass the header's cluster."""
        while (left := self._cluster - self._tail.at) > 0 and await self._tail.some(left):
            pass

    async def table(self, offset: int, end: int) -> bytes | memoryview:
        """Return ``[offset, end)``, a part of a table."""
        claim = Claim(offset, end, 0, Kind.TABLE)
        if offset < self._tail.at:
            data = b"".join(self._unclaimed.take(offset, end))
            if len(data) < end - offset:
                raise twice(claim)
            return data
        await self._reach(claim)
        view = await self._tail.peek(end - offset)
        refuse_short(end, offset + len(view), "qcow2 image (in its tables)")
        self._tail.skip(len(view))
        return view

    async def stored(self, claim: Claim) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield the bytes of *claim*, with their guest offsets."""
        at, ahead = claim.offset, claim.guest - claim.offset
        if at < self._tail.at:
            for data in self._unclaimed.take(at, claim.end):
                yield at + ahead, data
                at += len(data)
            if at < claim.end:
                raise twice(claim)
            return
        await self._reach(claim)
        while (at := self._tail.at) < claim.end:
            data = await self._tail.some(claim.end - at)
            refuse_short(claim.end if not data else 0, at, "qcow2 image (in its clusters)")
            yield at + ahead, data

    async def packed(self, claim: Claim) -> memoryview:
        """Return the bytes of *claim*; of its last sector, only what is not known as another's."""
        if claim.offset < self._tail.at:
            return self._found(claim)
        await self._reach(claim)
        data = await self._tail.peek(claim.end - claim.offset)
        # Of the last sector, the file may lack what belongs to nobody.
        needed = max(claim.end - SECTOR, claim.offset) + 1
        refuse_short(needed, claim.offset + len(data), "qcow2 image (in its compressed clusters)")
        self._tail.skip(_next(claim) - claim.offset)
        return data

    def _found(self, claim: Claim) -> memoryview:
        """Return a compressed cluster that passed before its table did."""
        if _share(self._late, claim):
            self._slice(_next(self._late), claim.offset)
        data = self._unclaimed.look(claim.offset, claim.end)
        if not data and claim.offset < self._forgotten and claim.end - claim.offset <= SECTOR:
            raise not_in_order(
                f"the sector of the compressed cluster at {claim.offset:#x} passed before its table"
            )
        if len(data) < _next(claim) - claim.offset:
            raise twice(claim)
        self._forget(claim.offset, _next(claim))
        self._late = claim
        return memoryview(data)

    async def _reach(self, claim: Claim) -> None:
        """Let pass what lies before *claim*, which comes next; keep what may yet be claimed."""
        if not self.tables:
            self._unclaimed.clear()
        start, end = self._free(claim)
        shared = _share(self._last, claim)
        self._last = claim
        while (at := self._tail.at) < claim.offset:
            data = await self._tail.some(claim.offset - at)
            refuse_short(claim.end if not data else 0, at, "qcow2 image")
            if self.tables and (kept := data[max(0, start - at) : max(0, end - at)]):
                self._unclaimed.put(max(start, at), kept)
                self.check()
        if self.tables and shared:
            self._slice(start, end)

    def _free(self, claim: Claim) -> tuple[int, int]:
        """Return from where to where nothing is known of the file before *claim*."""
        start, end = self._tail.at, claim.offset
        if self._last.kind is not Kind.PACKED:
            start = round_up(start, self._cluster)
        if claim.kind is not Kind.PACKED:
            end -= end % self._cluster
        return start, end

    def _slice(self, offset: int, end: int) -> None:
        """Note that a part is most likely the end of a compressed cluster; forget the oldest."""
        self._slices.append((offset, end))
        if len(self._slices) > _SLICES:
            start, self._forgotten = self._slices.popleft()
            self._forget(start, self._forgotten)

    def _forget(self, offset: int, end: int) -> None:
        for _ in self._unclaimed.take(offset, end):
            pass


def _share(one: Claim, two: Claim) -> bool:
    """Return True when both are compressed, and *two* begins in the last sector of *one*."""
    return one.kind is two.kind is Kind.PACKED and one.offset < two.offset <= one.end


def _next(claim: Claim) -> int:
    """Return from where on another compressed cluster may begin."""
    return max(claim.end - SECTOR, claim.offset + 1)


def twice(claim: Claim) -> CorruptImage:
    """Return the error for a part of the file that something else has taken."""
    return CorruptImage(
        f"the qcow2 image uses parts in several places: "
        f"[{claim.offset:#x}, {claim.end:#x}) is named twice"
    )
