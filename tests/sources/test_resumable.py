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


async def test_one_piece_lies_between_giver_and_taker() -> None:
    """It counts; the next waits for it to be taken, and the last one's giver for its own."""
    upload = Resumable(9, Absence(60, 60))
    await upload.give(b"abc", 0)
    assert (upload.offered, upload.offset) == (True, 3)
    giving = asyncio.create_task(upload.give(b"def", 3))
    await turns()
    assert (giving.done(), upload.offset) == (False, 3)
    async with aclosing((await upload.open()).chunks) as chunks:
        assert await anext(chunks) == b"abc"
        await giving
        assert upload.offset == 6
        giving = asyncio.create_task(upload.give(b"ghi", 6))
        await turns()
        assert await anext(chunks) == b"def"
        await turns()
        assert (giving.done(), upload.offset, upload.is_whole) == (False, 6, False)
        assert await anext(chunks) == b"ghi"
        await giving
        assert (upload.offset, upload.is_whole) == (9, True)
        assert [chunk async for chunk in chunks] == []


async def test_a_giver_that_is_sent_away_while_it_waits_takes_its_bytes_with_it() -> None:
    """What was laid down before stays."""
    upload = Resumable(8, Absence(60, 60))
    await upload.give(b"kept", 0)
    giving = asyncio.create_task(upload.give(b"lost", 4))
    await turns()
    giving.cancel()
    await turns()
    assert (giving.cancelled(), upload.offset) == (True, 4)
    async with aclosing((await upload.open()).chunks) as chunks:
        assert await anext(chunks) == b"kept"
        again = asyncio.create_task(upload.give(b"next", 4))
        assert await anext(chunks) == b"next"
        await again


async def test_the_last_piece_goes_with_its_giver() -> None:
    """Nobody has heard that it came: it does not count until it is taken."""
    upload = Resumable(4, Absence(60, 60))
    giving = asyncio.create_task(upload.give(b"lost", 0))
    await turns()
    giving.cancel()
    await turns()
    assert (giving.cancelled(), upload.offered, upload.offset) == (True, False, 0)


async def test_what_comes_after_a_try_has_ended_is_of_no_other_try() -> None:
    """A sender that heard nothing of it goes on in the middle: it is told where to begin."""
    upload = Resumable(6, Absence(60, 60))
    await upload.give(b"abc", 0)
    await upload.close()
    with pytest.raises(Conflict, match="stands at 0"):
        await upload.give(b"def", 3)
    assert (upload.offered, upload.offset) == (False, 0)


async def test_a_try_that_ends_sets_the_offset_back() -> None:
    """Its giver is told, and the next try gets fresh chunks from the first byte on."""
    upload = Resumable(6, Absence(60, 60))
    async with aclosing((await upload.open()).chunks) as chunks:
        giving = asyncio.create_task(upload.give(b"abc", 0))
        await anext(chunks)
        await giving
    giving = asyncio.create_task(upload.give(b"def", 3))
    await turns()
    assert upload.rereadable
    await upload.close()
    with pytest.raises(Conflict, match="stands at 0"):
        await giving
    assert upload.offset == 0
    giving = asyncio.create_task(upload.give(b"abcdef", 0))
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
        giving = asyncio.create_task(upload.give(b"abc", 0))
        await anext(chunks)
        await giving
        with pytest.raises(ClientAway, match="after 3 of 6 bytes"):
            await anext(chunks)
    await upload.close()
    assert upload.offset == 0
    giving = asyncio.create_task(upload.give(b"abcdef", 0))
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
        giving = asyncio.create_task(upload.give(b"abc", 0))
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
        giving = asyncio.create_task(upload.give(b"abc", 0))
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
        await upload.give(b"d", 3)
