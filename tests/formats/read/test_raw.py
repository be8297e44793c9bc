"""importer/formats/read/raw.py."""

import itertools
import os
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from importer.errors import SourceError
from importer.formats.read import raw
from importer.stream.extent import Data, Run, Zero
from importer.units import CHUNK, GiB, KiB, MiB, TiB
from tests import images
from tests.formats.read.guest import chunks, collect, joined, mapped

pieces = st.lists(
    st.tuples(st.integers(0, 4 * MiB), st.integers(1, 300 * KiB), st.booleans()), max_size=6
)


def sparse(path: Path, size: int, parts: list[tuple[int, int, bool]]) -> bytes:
    """Make a file of *size* bytes with (offset, length, is data) written, and return it."""
    with path.open("wb") as file:
        for offset, length, is_data in parts:
            file.seek(offset)
            file.write(images.numbers(offset, length) if is_data else bytes(length))
        file.truncate(size)
    return path.read_bytes()


@given(st.integers(0, 5 * MiB), pieces)
async def test_extents_are_the_file(
    tmp_path: Path, size: int, parts: list[tuple[int, int, bool]]
) -> None:
    """Data, holes and written zeros: the guest sees the file, filled up to whole sectors."""
    content = sparse(tmp_path / "disk", size, parts)
    found = await collect(raw.extents(tmp_path / "disk"))
    assert joined(found) == content + bytes(-size % 512)
    assert all(any(each.data) for each in found if isinstance(each, Data))


@given(st.integers(0, 5 * MiB), pieces)
async def test_the_map_covers_the_disk(
    tmp_path: Path, size: int, parts: list[tuple[int, int, bool]]
) -> None:
    """Runs lie end to end up to the last sector's end, and holes hold nothing but zeros."""
    content = sparse(tmp_path / "disk", size, parts)
    found = await raw.runs(tmp_path / "disk")
    assert [run.offset for run in found] == [0, *(run.end for run in found)][: len(found)]
    assert sum(run.length for run in found) == size + -size % 512
    assert not any(any(content[run.offset : run.end]) for run in found if run.is_zero)


@given(st.integers(0, 2 * MiB), pieces, st.sampled_from([1000, 4096, 65_536, MiB]))
async def test_a_stream_is_the_same_disk(
    tmp_path: Path, size: int, parts: list[tuple[int, int, bool]], step: int
) -> None:
    """However its chunks fall, and zeros are one extent even where chunks meet."""
    content = sparse(tmp_path / "disk", size, parts)
    found = await collect(raw.stream(chunks(content, step)))
    assert joined(found) == content + bytes(-size % 512)
    kinds = [isinstance(each, Zero) for each in found]
    assert (True, True) not in itertools.pairwise(kinds)


async def test_a_tebibyte_of_holes_is_two_extents(tmp_path: Path) -> None:
    """Nothing is read of what is not there."""
    with (tmp_path / "disk").open("wb") as file:
        file.write(b"\1" * 4096)
        file.truncate(TiB)
    assert await collect(raw.extents(tmp_path / "disk")) == [
        Data(b"\1" * 4096),
        Zero(TiB - 4096),
    ]


async def test_data_comes_in_chunks(tmp_path: Path) -> None:
    """Large enough for a hop, small enough for the memory."""
    (tmp_path / "disk").write_bytes(b"\1" * (2 * CHUNK + 512))
    found = await collect(raw.extents(tmp_path / "disk"))
    assert [each.length for each in found] == [CHUNK, CHUNK, 512]
    assert await raw.runs(tmp_path / "disk") == mapped(found)


async def test_the_map_of_a_hole(tmp_path: Path) -> None:
    """A file without data is one run; one without bytes has none."""
    (tmp_path / "disk").touch()
    assert await raw.runs(tmp_path / "disk") == ()
    os.truncate(tmp_path / "disk", 3 * GiB + 1)
    assert await raw.runs(tmp_path / "disk") == (Run(0, 3 * GiB + 512, True),)


async def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error says which file, and why not."""
    with pytest.raises(SourceError, match=r"missing: No such file"):
        await collect(raw.extents(tmp_path / "missing"))
    with pytest.raises(SourceError, match=r"missing: No such file"):
        await raw.runs(tmp_path / "missing")


async def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    """What was data a moment ago never becomes zeros."""
    path = tmp_path / "disk"
    path.write_bytes(b"\1" * (20 * CHUNK))
    async with aclosing(raw.extents(path)) as found:
        await anext(found)
        os.truncate(path, CHUNK)
        with pytest.raises(SourceError, match="cut while it was read"):
            async for _ in found:
                pass


@pytest.mark.parametrize("tail", [0, 1, 4096, 5000])
async def test_short_holes_are_left_out(tmp_path: Path, tail: int) -> None:
    """Holes that are read with the data around them are zeros all the same, at the end too."""
    content = sparse(tmp_path / "disk", 64 * KiB + tail, [(at, 4096, True) for at in (0, 8192)])
    found = await collect(raw.extents(tmp_path / "disk"))
    assert joined(found) == content + bytes(-tail % 512)
    zeros = 52 * KiB + tail + -tail % 512
    assert [each.length for each in found] == [4096, 4096, 4096, zeros]
    assert [isinstance(each, Zero) for each in found] == [False, True, False, True]
