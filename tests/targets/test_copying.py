"""Copies of files on this machine: byte for byte, sparse, removed by their order alone."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from importer.errors import NoSpace, SourceError, TargetError
from importer.model import Placed
from importer.targets import Order
from importer.targets.cloning import Clones
from importer.targets.copying import copied
from importer.targets.directory import DirectoryShelf
from tests.targets.conftest import LIMITS
from tests.targets.test_directory import DISKS

MiB = 1 << 20
COPY = Order("c0ffee", "default", "disk-copy", None, {})


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A file of 8 MiB, half of it holes."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        for number in range(0, 8, 2):
            file.seek(number * MiB)
            file.write(os.urandom(MiB))
        file.truncate(8 * MiB)
    return path


async def test_bytes_and_holes(disk: Path) -> None:
    """The copy reads as the file does, and takes no more room; what was moved is measured."""
    to = disk.parent / "copy"
    done = await copied(disk, to, 0)
    assert to.read_bytes() == disk.read_bytes()
    assert done.basis == "measured"
    if done.strategy == "full-copy":  # no file system that shares blocks is needed here
        assert done.bytes == 4 * MiB
        assert to.stat().st_blocks <= disk.stat().st_blocks


async def test_what_cannot_be_copied_is_told(disk: Path) -> None:
    """No room, no source, a copy that is there already: each by its name, nothing else touched."""
    large = disk.parent / "large"
    large.write_bytes(os.urandom(MiB) * 20)
    with pytest.raises(NoSpace, match="are to stay free"):
        await copied(large, disk.parent / "copy", 1 << 60)
    with pytest.raises((TargetError, SourceError), match="gone"):
        await copied(disk.parent / "gone", disk.parent / "other", 0)
    taken = disk.parent / "taken"
    taken.write_bytes(b"somebody's")
    with pytest.raises(TargetError, match="exists"):
        await copied(disk, taken, 0)
    assert taken.read_bytes() == b"somebody's"


@pytest.mark.parametrize("namespace", ["default", "team"])
async def test_a_copy_is_hidden_and_goes_by_its_order(disk: Path, namespace: str) -> None:
    """Beside its image, found by nobody else; removing it again, or what never was, is fine."""
    root = disk.parent / "images"
    folder = root if namespace == "default" else root / namespace
    folder.mkdir(parents=True)
    image = disk.rename(folder / "disk.raw")
    shelf, order = DirectoryShelf("local", root, DISKS, LIMITS), replace(COPY, namespace=namespace)
    assert isinstance(shelf, Clones)
    await shelf.unclone(order)
    await shelf.clone(Placed(kind="File", name=str(image)), order, 8 * MiB)
    (copy,) = set(folder.iterdir()) - {image}
    assert copy.name.startswith(".")
    await shelf.unclone(order)
    assert list(folder.iterdir()) == [image]
    image.unlink()
    await shelf.unclone(order)
    assert folder.exists() is (namespace == "default")
