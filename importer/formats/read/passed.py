"""One pass over a qcow2 file: what passes is matched with what tables say of it.

Raises CorruptImage for what cannot be, ImageNotInOrder when more than a window would be held.
Source: QEMU's docs/interop/qcow2.txt, "Cluster mapping".
"""

from __future__ import annotations  # array[int] is no type at run time before Python 3.12

import asyncio
from array import array
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import aclosing
from itertools import groupby
from typing import NamedTuple, TypeAlias

from importer.errors import CorruptImage
from importer.formats.qcow2 import Header
from importer.formats.read.claims import Claim, Claims, Kind, Rows, Told, rows, told
from importer.formats.read.entries import OFFSET, words
from importer.formats.read.place import Packed
from importer.formats.read.reorder import not_in_order
from importer.formats.read.tables import SMALL, STEP, least
from importer.formats.read.tail import Tail
from importer.formats.read.unclaimed import Unclaimed
from importer.formats.read.unpack import Unpacker
from importer.formats.whole import refuse_short
from importer.stream.extent import Data, Layout, Located, Zero
from importer.stream.lookahead import in_order
from importer.stream.threads import in_thread
from importer.units import CHUNK, SECTOR, round_up

_AHEAD = 6
"""Groups of compressed clusters that are inflated at once."""

_SLICES = 4096
"""Ends of compressed clusters that are kept while a table may come that has a smaller one there:
as a rule one cluster is full of them before its table comes. Each costs some 500 bytes."""


class _Cluster(NamedTuple):
    """A compressed cluster that has passed."""

    guest: int
    place: Packed
    data: memoryview


_Part: TypeAlias = "Located | list[_Cluster]"


class Passed:
    """What is known of a file, part of which has passed."""

    def __init__(self, tail: Tail, header: Header, unpacker: Unpacker, window: int) -> None:
        self._tail = tail
        self._header = header
        self._unpacker = unpacker
        self._window = window
        self._claims = Claims()
        self._unclaimed = Unclaimed()
        self._tables = 1
        """L1 and L2 tables that have not been read."""

        self._last = Claim(0, header.cluster, 0, Kind.TABLE)
        """What passed last; at first, the header's cluster."""

        self._late = self._last
        """The compressed cluster that was found last among what nobody had claimed."""

        self._slices: deque[tuple[int, int]] = deque()
        """Parts of sectors between two compressed clusters: most likely the first one's end."""

        self._forgotten = 0
        """End of the last such part that was dropped, though a table was still to come."""

        self._named = 0
        """Bytes of the file that compressed clusters take at least."""

    async def layout(self) -> Layout:
        """Yield the whole disk as it passes, then let pass what is left of the file."""
        async with (
            aclosing(self._parts()) as parts,
            aclosing(in_order(parts, self._located, _AHEAD)) as groups,
        ):
            async for group in groups:
                for located in group:
                    yield located
        while await self._tail.some(CHUNK):
            pass

    def _located(self, part: _Part) -> Awaitable[list[Located]]:
        if isinstance(part, list):
            return in_thread(self._inflated, part)
        done: asyncio.Future[list[Located]] = asyncio.get_running_loop().create_future()
        done.set_result([part])
        return done

    def _inflated(self, clusters: list[_Cluster]) -> list[Located]:
        """Return the data of *clusters*; neighbours in the guest are joined."""
        found: list[tuple[int, list[bytes]]] = []
        end = -1
        for guest, place, data in clusters:
            made = self._unpacker.guest(place, data)
            if guest != end:
                found.append((guest, []))
            found[-1][1].append(made)
            end = guest + len(made)
        return [Located(guest, Data(b"".join(parts))) for guest, parts in found]

    async def _parts(self) -> AsyncGenerator[_Part, None]:
        async with aclosing(self._l1()) as holes:
            async for hole in holes:
                yield hole
        while claim := self._claims.first():
            if claim.kind is Kind.PACKED:
                yield await self._group()
                continue
            self._claims.drop()
            found = self._l2(claim) if claim.kind is Kind.TABLE else self._stored(claim)
            async with aclosing(found):
                async for located in found:
                    yield located

    async def _l1(self) -> Layout:
        """Read the L1 table, as far as the disk's size needs it; yield what no L2 table is for."""
        header = self._header
        reach = header.cluster * (header.cluster // header.l2_entry)
        size = header.virtual_size
        start, end = header.l1_offset, header.l1_offset + -(-size // reach) * 8
        guest = hole = 0
        while (left := header.cluster - self._tail.at) > 0 and await self._tail.some(left):
            pass
        for at in range(start, end, STEP):
            tables = []
            for entry, count in _same(await self._table(at, min(at + STEP, end))):
                if offset := entry & OFFSET:
                    if hole < guest:
                        yield Located(hole, Zero(guest - hole))
                    hole = guest + count * reach
                    tables += [
                        (offset, offset + header.cluster, of) for of in range(guest, hole, reach)
                    ]
                guest += count * reach
            self._tables += len(tables)
            self._claim(Kind.TABLE, rows(tables))
        self._tables -= 1
        if hole < size:
            yield Located(hole, Zero(size - hole))

    async def _l2(self, claim: Claim) -> Layout:
        """Read the L2 table of *claim*; yield what it says of holes."""
        header = self._header
        if claim.offset % header.cluster:
            raise CorruptImage(
                f"a qcow2 L2 table is at {claim.offset:#x}, not a multiple of {header.cluster} "
                "bytes"
            )
        guest = claim.guest
        for at in range(claim.offset, claim.end, STEP):
            entries = await self._table(at, min(at + STEP, claim.end))
            if guest >= header.virtual_size:
                continue
            found = await self._told(entries, guest)
            self._claim(Kind.STORED, found.stored)
            self._claim(Kind.PACKED, found.packed)
            for start, length in found.holes:
                yield Located(start, Zero(length))
            guest += STEP // header.l2_entry * header.cluster
        self._tables -= 1

    def _claim(self, kind: Kind, rows: Rows) -> None:
        self._claims.add(kind, rows)
        self._check_window()

    def _check_window(self) -> None:
        held = self._unclaimed.size + self._claims.size
        if held > self._window:
            raise not_in_order(
                f"{held} bytes would have to wait for {self._tables} tables that lie behind them, "
                f"and {self._window} may"
            )

    async def _told(self, entries: array[int], guest: int) -> Told:
        if len(entries) * 8 <= SMALL:
            return told(entries, self._header, guest)
        return await in_thread(told, entries, self._header, guest)

    async def _table(self, offset: int, end: int) -> array[int]:
        """Return the entries of ``[offset, end)``, at most STEP bytes."""
        claim = Claim(offset, end, 0, Kind.TABLE)
        if offset < self._tail.at:
            data = b"".join(self._unclaimed.take(offset, end))
            if len(data) < end - offset:
                raise _twice(claim)
            return words(data)
        await self._reach(claim)
        view = await self._tail.peek(end - offset)
        refuse_short(end, offset + len(view), "qcow2 image (in its tables)")
        self._tail.skip(len(view))
        return words(view)

    async def _stored(self, claim: Claim) -> Layout:
        at, ahead = claim.offset, claim.guest - claim.offset
        if at < self._tail.at:
            for data in self._unclaimed.take(at, claim.end):
                yield Located(at + ahead, Data(data))
                at += len(data)
            if at < claim.end:
                raise _twice(claim)
            return
        await self._reach(claim)
        while (at := self._tail.at) < claim.end:
            data = await self._tail.some(claim.end - at)
            refuse_short(claim.end if not data else 0, at, "qcow2 image (in its clusters)")
            yield Located(at + ahead, Data(data))

    async def _group(self) -> list[_Cluster]:
        """Return the compressed clusters that come next: about CHUNK bytes for the guest."""
        most = max(1, CHUNK // self._header.cluster)
        found: list[_Cluster] = []
        while len(found) < most and (claim := self._claims.first()):
            if claim.kind is not Kind.PACKED:
                break
            self._claims.drop()
            found.append(await self._packed(claim))
        return found

    async def _packed(self, claim: Claim) -> _Cluster:
        header = self._header
        length = min(header.cluster, header.virtual_size - claim.guest)
        place = Packed(claim.offset, claim.end, length)
        late = claim.offset < self._tail.at
        data = self._found(claim) if late else await self._next(claim)
        self._named += least(place, header)
        if self._named > max(claim.end, self._tail.at):
            raise _twice(claim)
        return _Cluster(claim.guest, place, data)

    async def _next(self, claim: Claim) -> memoryview:
        """Return the compressed cluster that comes next, and stay where another one may begin."""
        await self._reach(claim)
        data = await self._tail.peek(claim.end - claim.offset)
        # Of the last sector, the file may lack what belongs to nobody.
        needed = max(claim.end - SECTOR, claim.offset) + 1
        refuse_short(needed, claim.offset + len(data), "qcow2 image (in its compressed clusters)")
        self._tail.skip(_shared(claim) - claim.offset)
        return data

    def _found(self, claim: Claim) -> memoryview:
        """Return a compressed cluster of what passed before its table did.

        Of its last sector, others may have taken what is theirs.
        """
        shared = _shared(claim)
        if _share(self._late, claim):
            self._slice(_shared(self._late), claim.offset)
        data = self._unclaimed.look(claim.offset, claim.end)
        if not data and claim.offset < self._forgotten and claim.end - claim.offset <= SECTOR:
            raise not_in_order(
                f"the sector of the compressed cluster at {claim.offset:#x} passed before its table"
            )
        if len(data) < claim.end - SECTOR - claim.offset:
            raise _twice(claim)
        self._forget(claim.offset, shared)
        self._late = claim
        return memoryview(data)

    def _slice(self, offset: int, end: int) -> None:
        """Note that a part is most likely the end of a compressed cluster; forget the oldest."""
        self._slices.append((offset, end))
        if len(self._slices) > _SLICES:
            start, self._forgotten = self._slices.popleft()
            self._forget(start, self._forgotten)

    def _forget(self, offset: int, end: int) -> None:
        for _ in self._unclaimed.take(offset, end):
            pass

    async def _reach(self, claim: Claim) -> None:
        """Let pass what lies before *claim*, which comes next; keep what may yet be claimed."""
        if not self._tables:
            self._unclaimed.clear()
        start, end = self._free(claim)
        shared = _share(self._last, claim)
        self._last = claim
        while (at := self._tail.at) < claim.offset:
            data = await self._tail.some(claim.offset - at)
            refuse_short(claim.end if not data else 0, at, "qcow2 image")
            if self._tables and (kept := data[max(0, start - at) : max(0, end - at)]):
                self._unclaimed.put(max(start, at), kept)
                self._check_window()
        if self._tables and shared:
            self._slice(start, end)

    def _free(self, claim: Claim) -> tuple[int, int]:
        """Return from where to where nothing is known of the file, between the last claim and this.

        A cluster that holds a table or stored data holds nothing else.
        """
        start, end, cluster = self._tail.at, claim.offset, self._header.cluster
        if self._last.kind is not Kind.PACKED:
            start = round_up(start, cluster)
        return start, end if claim.kind is Kind.PACKED else end // cluster * cluster


def _share(one: Claim, two: Claim) -> bool:
    """Return True when both are compressed, and *two* begins in the last sector of *one*."""
    return one.kind is two.kind is Kind.PACKED and one.offset < two.offset <= one.end


def _shared(claim: Claim) -> int:
    """Return from where on another compressed cluster may begin."""
    return max(claim.end - SECTOR, claim.offset + 1)


def _twice(claim: Claim) -> CorruptImage:
    return CorruptImage(
        f"the qcow2 image uses parts in several places: "
        f"[{claim.offset:#x}, {claim.end:#x}) is named twice"
    )


def _same(entries: array[int]) -> Iterator[tuple[int, int]]:
    """Yield (entry, how many of it in a row)."""
    for entry, same in groupby(entries):
        yield entry, sum(1 for _ in same)
