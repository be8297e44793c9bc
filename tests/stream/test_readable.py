"""importer/stream/readable.py."""

from pathlib import Path

import pytest

from importer.errors import SourceError
from importer.stream.readable import FileReadable
from tests import images


async def test_any_part_can_be_read(tmp_path: Path) -> None:
    """What is asked for comes, fewer bytes only at the end."""
    path = tmp_path / "disk"
    path.write_bytes(images.numbers(0, 1000))
    file = FileReadable(path)
    assert file.size == 1000
    assert await file.read_at(0, 1000) == images.numbers(0, 1000)
    assert await file.read_at(240, 80) == images.numbers(240, 80)
    assert await file.read_at(990, 80) == images.numbers(0, 1000)[990:]
    assert await file.read_at(5000, 80) == b""


async def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error says which file, and why not."""
    file = FileReadable(tmp_path / "missing")
    with pytest.raises(SourceError, match=r"missing: No such file"):
        await file.read_at(0, 1)
    with pytest.raises(SourceError, match=r"missing: No such file"):
        _ = file.size
