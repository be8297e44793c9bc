"""The stages keep every byte, count what they say, and end together."""

import asyncio
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.errors import ChecksumMismatch, CorruptImage, LimitExceeded
from importer.stream.ahead import ahead
from importer.stream.hashed import Digests
from importer.stream.meter import Meter, limited
from importer.stream.pipe import Chunks, Pipe
from importer.stream.rechunk import rechunk
from importer.stream.threads import in_thread
from importer.units import CHUNK

PIECES = st.lists(st.binary(min_size=1, max_size=3000), max_size=20)


async def of(pieces: list[bytes]) -> Chunks:
    for piece in pieces:
        yield piece


@given(pieces=PIECES, peeked=st.integers(0, 5000))
async def test_every_stage_keeps_every_byte(pieces: list[bytes], peeked: int) -> None:
    """Peeking, joining, running ahead, hashing and counting change nothing."""
    whole = b"".join(pieces)
    digests, meter = Digests({"sha256", "md5"}), Meter()
    async with Pipe(of(pieces)) as path:
        path.through(meter.metered)
        path.through(digests.hashed)
        assert await path.peek(peeked) == whole[:peeked]
        path.through(ahead)
        path.through(rechunk)
        assert b"".join([chunk async for chunk in path.chunks]) == whole
    assert meter.size == digests.size == len(whole)
    assert digests.hex()["sha256"] == hashlib.sha256(whole).hexdigest()


async def test_rechunk_joins_to_at_least_a_chunk() -> None:
    """Small pieces come out as pieces that are worth a thread hop."""
    sizes = [len(chunk) async for chunk in rechunk(of([bytes(1000)] * 2500))]
    assert all(size >= CHUNK for size in sizes[:-1])
    assert sum(sizes) == 2_500_000


async def test_a_checksum_that_differs_names_both_values() -> None:
    """The error says what was expected and what came."""
    digests = Digests({"sha1"})
    async with Pipe(of([b"abc"])) as path:
        path.through(digests.hashed)
        async for _ in path.chunks:
            pass
    digests.check("sha1:A9993E364706816ABA3E25717850C26C9CD0D89D")
    with pytest.raises(ChecksumMismatch, match=r"a9993e.*expected 0000"):
        digests.check("sha1:" + "0" * 40)


async def test_a_limit_stops_the_path() -> None:
    """One byte more than the limit is refused, the limit itself is not."""
    stage = limited(10, lambda size: LimitExceeded(f"{size}"))
    assert [chunk async for chunk in stage(of([b"12345", b"67890"]))] == [b"12345", b"67890"]
    with pytest.raises(LimitExceeded, match="11"):
        [chunk async for chunk in stage(of([b"12345", b"678901"]))]


async def test_leaving_early_closes_every_stage() -> None:
    """Whoever stops reading leaves no generator open and no task behind."""
    closed = []

    async def source() -> Chunks:
        try:
            while True:
                yield bytes(CHUNK)
        finally:
            closed.append("source")

    before = asyncio.all_tasks()
    async with Pipe(source()) as path:
        path.through(Digests({"sha256"}).hashed)
        path.through(ahead)
        async for _ in path.chunks:
            break
    assert closed == ["source"]
    assert asyncio.all_tasks() == before


async def test_an_error_comes_out_as_it_was() -> None:
    """What a stage raises passes the stages after it."""

    async def broken() -> Chunks:
        yield b"x"
        raise CorruptImage("half-way")

    async with Pipe(broken()) as path:
        path.through(Digests({"sha256"}).hashed)
        path.through(ahead)
        with pytest.raises(CorruptImage, match="half-way"):
            [chunk async for chunk in path.chunks]


async def test_a_cancelled_thread_is_waited_for() -> None:
    """When the caller is cancelled, its thread has ended before the caller goes on."""
    loop = asyncio.get_running_loop()
    started, release, ended = asyncio.Event(), asyncio.Event(), []

    def work() -> None:
        loop.call_soon_threadsafe(started.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        ended.append(True)

    task = asyncio.create_task(in_thread(work))
    await started.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]
