"""A hand-over: what is acknowledged was taken, and what was not taken is not counted."""

import asyncio
from contextlib import aclosing

import pytest

from importer.errors import ClientAway, Conflict, SizeMismatch, UploadIncomplete
from importer.sources.resumable import Absence, Resumable


async def turns() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_giver_waits_for_its_taker() -> None:
    """Nothing counts before it is taken, and one chunk at most is under way."""
    upload = Resumable(8, Absence(60, 60))
    giving = asyncio.create_task(upload.give(b"abcd"))
    await turns()
    assert (giving.done(), upload.offset) == (False, 0)
    async with aclosing((await upload.open()).chunks) as chunks:
        assert await anext(chunks) == b"abcd"
        await giving
        assert upload.offset == 4
        giving = asyncio.create_task(upload.give(b"efgh"))
        await turns()
        assert (giving.done(), upload.offset) == (False, 4)
        assert await anext(chunks) == b"efgh"
        await giving
        assert upload.is_whole
        assert [chunk async for chunk in chunks] == []


async def test_a_giver_that_is_sent_away_takes_its_bytes_with_it() -> None:
    """They neither count nor reach the image, even when the taker looks in the same moment."""
    upload = Resumable(4, Absence(60, 60))
    async with aclosing((await upload.open()).chunks) as chunks:
        taking = asyncio.create_task(anext(chunks))
        await turns()
        giving = asyncio.create_task(upload.give(b"lost"))
        await asyncio.sleep(0)  # offered, and the taker is about to wake
        giving.cancel()
        await turns()
        assert giving.cancelled()
        assert (taking.done(), upload.offset) == (False, 0)
        giving = asyncio.create_task(upload.give(b"kept"))
        assert await taking == b"kept"
        await giving


async def test_a_try_that_ends_sets_the_offset_back() -> None:
    """Its giver is told, and the next try gets fresh chunks from the first byte on."""
    upload = Resumable(6, Absence(60, 60))
    async with aclosing((await upload.open()).chunks) as chunks:
        giving = asyncio.create_task(upload.give(b"abc"))
        await anext(chunks)
        await giving
    giving = asyncio.create_task(upload.give(b"def"))
    await turns()
    assert upload.rereadable
    await upload.close()
    with pytest.raises(Conflict, match="stands at 0"):
        await giving
    assert upload.offset == 0
    giving = asyncio.create_task(upload.give(b"abcdef"))
    await upload.ready()
    assert [chunk async for chunk in (await upload.open()).chunks] == [b"abcdef"]
    await giving
    assert not upload.rereadable
    await upload.close()
    assert upload.offset == 6


async def test_silence_ends_a_try() -> None:
    """Its client may come back and send from 0, until the upload expires."""
    upload = Resumable(6, Absence(away=0.01, expires=60))
    async with aclosing((await upload.open()).chunks) as chunks:
        giving = asyncio.create_task(upload.give(b"abc"))
        await anext(chunks)
        await giving
        with pytest.raises(ClientAway, match="after 3 of 6 bytes"):
            await anext(chunks)
    await upload.close()
    assert upload.offset == 0
    giving = asyncio.create_task(upload.give(b"abcdef"))
    await upload.ready()
    assert [chunk async for chunk in (await upload.open()).chunks] == [b"abcdef"]
    await giving


async def test_an_upload_expires() -> None:
    """Before the first byte as after it; no other silence is counted into the client's."""
    upload = Resumable(6, Absence(away=60, expires=0.01))
    assert upload.expires_in == 0.01
    with pytest.raises(UploadIncomplete, match="after 0 of 6 bytes"):
        await upload.ready()
    assert upload.expires_in == 0
    async with aclosing((await upload.open()).chunks) as chunks:
        giving = asyncio.create_task(upload.give(b"abc"))
        await turns()
        await anext(chunks)
        await giving
        assert upload.expires_in == 0.01  # the target takes its time
        with pytest.raises(UploadIncomplete, match="after 3 of 6 bytes"):
            await anext(chunks)


async def test_a_length_is_told_once() -> None:
    """It ends the chunks, cannot be changed, nor be less than what has come."""
    upload = Resumable(None, Absence(60, 60))
    async with aclosing((await upload.open()).chunks) as chunks:
        giving = asyncio.create_task(upload.give(b"abc"))
        await anext(chunks)
        await giving
        ending = asyncio.create_task(anext(chunks, None))
        await turns()
        with pytest.raises(Conflict, match="not 2"):
            upload.end_at(2)
        upload.end_at(3)
        assert await ending is None
    for size in (2, 4):
        with pytest.raises(Conflict, match="cannot be changed"):
            upload.end_at(size)
    with pytest.raises(SizeMismatch):
        await upload.give(b"d")
