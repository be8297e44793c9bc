"""Storage classes as the configuration names them."""

from pathlib import Path

import pytest

from importer.errors import CallerError
from importer.formats.disks import Disks
from importer.targets import Shelf
from importer.targets.device import DeviceShelf
from importer.targets.directory import DirectoryShelf
from importer.targets.local import shelves
from tests.targets.conftest import LIMITS, QEMU_IMG


def made(data: Path, *classes: str) -> dict[str, Shelf]:
    return shelves(classes, data, Disks(QEMU_IMG, LIMITS), LIMITS)


def test_the_first_is_first(tmp_path: Path) -> None:
    """Classes keep their order: the first is the default; nothing is made before it is needed."""
    assert list(made(tmp_path, "b=one", "a=two")) == ["b", "a"]
    assert list(tmp_path.iterdir()) == []


async def test_paths_are_below_the_data_directory(tmp_path: Path) -> None:
    """Relative ones are; absolute ones and one's home are where they say."""
    found = made(tmp_path, "a=images", f"b={tmp_path}/else", "c=~/images")
    folders = [shelf._root for shelf in found.values() if isinstance(shelf, DirectoryShelf)]
    assert folders == [tmp_path / "images", tmp_path / "else", Path.home() / "images"]


def test_a_device_is_known_by_what_it_is(tmp_path: Path, loop_device: Path) -> None:
    """A block device becomes a class of one image, also through a symbolic link."""
    (tmp_path / "link").symlink_to(loop_device)
    assert isinstance(made(tmp_path, f"a={loop_device}")["a"], DeviceShelf)
    assert isinstance(made(tmp_path, "a=link")["a"], DeviceShelf)


@pytest.mark.parametrize(
    "classes",
    [
        [],
        ["images"],
        ["=images"],
        ["a="],
        [""],
        ["a=one", "a=two"],
        ["../a=images"],
        ["a/b=images"],
        [".=images"],
        ["a" * 64 + "=images"],
        ["a=file"],
        ["a=file/images"],
        ["a=/dev/null"],
        ["a=~nosuchuser/images"],
        ["a=nul\0byte"],
        ["a=" + "x" * 300],
    ],
)
def test_what_is_no_class_is_refused(tmp_path: Path, classes: list[str]) -> None:
    """Every mistake is the caller's, and names the setting."""
    (tmp_path / "file").touch()
    with pytest.raises(CallerError, match=r"\[local\] classes"):
        made(tmp_path, *classes)


def test_a_device_has_one_class(tmp_path: Path, loop_device: Path) -> None:
    """Two classes over one device would each put an image on it."""
    (tmp_path / "link").symlink_to(loop_device)
    with pytest.raises(CallerError, match="link is the device of"):
        made(tmp_path, f"a={loop_device}", "b=link")
