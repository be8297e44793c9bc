"""What the command line remembers of an upload: only what it wrote itself, and not for long."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from importer.cli.body import Stamp
from importer.cli.kept import KEEP, Begun, Kept

BEGUN = Begun(
    id="0123456789abcdef",
    asked="[]",
    stamp=Stamp(1, 2, 3, 4),
    wire="raw+zstd",
    shape="ab",
    marks=[(0, 0), (5, 6)],
)


def kept(name: str = "disk", server: str = "http://one:1", path: str = "/disk.raw") -> Kept:
    return Kept(server, None, name, Path(path))


def only(state: Path) -> Path:
    """Return the one file that there is."""
    (path,) = state.iterdir()
    return path


def test_what_was_saved_is_loaded(state: Path) -> None:
    """In a folder and a file for its owner alone, until it is forgotten."""
    assert kept().load() is None
    kept().save(BEGUN)
    assert kept().load() == BEGUN
    assert state.stat().st_mode & 0o777 == 0o700
    assert only(state).stat().st_mode & 0o777 == 0o600
    kept().forget()
    assert kept().load() is None
    assert list(state.iterdir()) == []


def test_each_upload_has_its_own() -> None:
    """Another name, server, namespace or path is another upload."""
    kept().save(BEGUN)
    others = [
        kept(name="other"),
        kept(server="http://two:1"),
        kept(path="/other.raw"),
        Kept("http://one:1", "mine", "disk", Path("/disk.raw")),
    ]
    assert [other.load() for other in others] == [None] * 4


def _fields(**changes: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_bytes(msgspec.json.encode({**msgspec.to_builtins(BEGUN), **changes}))

    return change


def _linked(path: Path) -> None:
    moved = path.rename(path.with_name("elsewhere"))
    path.symlink_to(moved)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.chmod(0o644),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff{"),
        lambda path: path.write_bytes(b"[" * 60000),
        lambda path: path.write_bytes(b" " * (1 << 20) + path.read_bytes()),
        lambda path: os.utime(path, (1, path.stat().st_mtime - KEEP - 5)),
        lambda path: os.utime(path, (1, path.stat().st_mtime + 3600)),
        _linked,
        _pipe,
        _fields(id="../images/disk"),
        _fields(id="x" * 65),
        _fields(id="http://elsewhere.example/"),
        _fields(wire="anything"),
        _fields(marks=[[-1, 0]]),
        _fields(marks=[[0, 0]] * 1001),
        _fields(stamp=[1, 2, 3]),
        _fields(version="0.0.0"),
    ],
)
def test_what_cannot_be_trusted_is_ignored(state: Path, change: Callable[[Path], None]) -> None:
    """The upload begins anew then, and what is in the way is replaced."""
    kept().save(BEGUN)
    change(only(state))
    assert kept().load() is None
    kept().save(BEGUN)
    assert kept().load() == BEGUN


def test_what_nobody_came_back_to_is_removed(state: Path) -> None:
    """With the end of another upload, for no service holds one so long."""
    kept().save(BEGUN)
    old = only(state)
    os.utime(old, (1, old.stat().st_mtime - KEEP - 5))
    kept(name="other").save(BEGUN)
    kept(name="other").forget()
    assert list(state.iterdir()) == []


@pytest.mark.parametrize("home", ["relative", ""])
def test_folder_that_is_not_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    """It is ignored, as the specification wants, for the one below the home directory."""
    monkeypatch.setenv("XDG_STATE_HOME", home)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    kept().save(BEGUN)
    assert only(tmp_path / "home/.local/state/importer/uploads").suffix == ".json"
    assert not Path("relative").exists()


def test_nowhere_to_remember(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An upload does not fail for it."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    kept().save(BEGUN)
    assert kept().load() is None
    kept().forget()
