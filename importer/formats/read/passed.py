"""One pass over a qcow2 file: its tables are read as they pass, and what they name is told.

Raises CorruptImage for what cannot be, and what importer.formats.read.passage raises.
Source: QEMU's docs/interop/qcow2.txt, "Cluster mapping".
"""

from __future__ import annotations  # array[int] is no type at run time before Python 3.12

import asyncio
from array import array
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import NamedTuple, TypeAlias

from importer.errors import CorruptImage
from importer.formats.qcow2 import Header
from importer.formats.read.claims import Claim, Claims, Kind, Told, rows, told
from importer.formats.read.entries import OFFSET, same, words
from importer.formats.read.passage import Passage, twice
from importer.formats.read.place import Packed
from importer.formats.read.tables import SMALL, STEP, least
from importer.formats.read.tail import Tail
from importer.formats.read.unpack import Unpacker
from importer.stream.extent import Data, Layout, Located, Zero
from importer.stream.lookahead import in_order
from importer.stream.threads import in_thread
from importer.units import CHUNK

_AHEAD = 6
"""Groups of compressed clusters that are inflated at once."""


class _Cluster(NamedTuple):
    """A compressed cluster that has passed."""

    guest: int
    place: Packed
    data: memoryview


_Part: TypeAlias = "Located | list[_Cluster]"


class Passed:
    """One file, read once."""

    def __init__(self, tail: Tail, header: Header, unpacker: Unpacker, window: int) -> None:
        self._tail = tail
        self._header = header
        self._unpacker = unpacker
        self._claims = Claims()
        self._passage = Passage(tail, self._claims, header.cluster, window)
        self._named = 0
        """Bytes of the file that compressed clusters take at least."""

    @property
    def is_mapped(self) -> bool:
        """All tables have been read."""
        return not self._passage.tables

    async def layout(self) -> Layout:
        """Yield the whole disk as it passes, then let pass what is left of the file."""
        try:
            async with (
                aclosing(self._parts()) as parts,
                aclosing(in_order(parts, self._located, _AHEAD)) as groups,
            ):
                async for group in groups:
                    for located in group:
                        yield located
            while await self._tail.some(CHUNK):
                pass
        finally:
            await self._tail.close()

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
        await self._passage.header()
        for at in range(start, max(end, start + 1), STEP):  # An empty one is somewhere too.
            tables = []
            for entry, count in same(words(await self._passage.table(at, min(at + STEP, end)))):
                if offset := entry & OFFSET:
                    if hole < guest:
                        yield Located(hole, Zero(guest - hole))
                    hole = guest + count * reach
                    tables += [
                        (offset, offset + header.cluster, of) for of in range(guest, hole, reach)
                    ]
                guest += count * reach
            self._passage.tables += len(tables)
            self._claims.add(Kind.TABLE, rows(tables))
            self._passage.check()
        self._passage.tables -= 1
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
            entries = words(await self._passage.table(at, min(at + STEP, claim.end)))
            if guest >= header.virtual_size:
                continue
            found = await self._told(entries, guest)
            self._claims.add(Kind.STORED, found.stored)
            self._claims.add(Kind.PACKED, found.packed)
            self._passage.check()
            for start, length in found.holes:
                yield Located(start, Zero(length))
            guest += STEP // header.l2_entry * header.cluster
        self._passage.tables -= 1

    async def _told(self, entries: array[int], guest: int) -> Told:
        if len(entries) * 8 <= SMALL:
            return told(entries, self._header, guest)
        return await in_thread(told, entries, self._header, guest)

    async def _stored(self, claim: Claim) -> Layout:
        async with aclosing(self._passage.stored(claim)) as found:
            async for guest, data in found:
                yield Located(guest, Data(data))

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
        data = await self._passage.packed(claim)
        self._named += least(place, header)
        if self._named > max(claim.end, self._passage.at):
            raise twice(claim)
        return _Cluster(claim.guest, place, data)
