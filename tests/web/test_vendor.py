"""The page's libraries against their lock: what deploy/vendor brought is what is served."""

import hashlib
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

VENDOR = Path(str(resources.files("importer.web"))) / "vendor"
LOCK = VENDOR / "lock.json"


def packages() -> list[dict[str, Any]]:
    """Return what the lock names."""
    return json.loads(LOCK.read_text())["packages"]


def test_every_file_is_the_locked_one() -> None:
    """No file was changed, is missing, or is there without being locked."""
    locked = {file["to"]: file["sha256"] for one in packages() for file in one["files"]}
    there = {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path != LOCK
    }
    assert there == locked


def test_every_package_is_known() -> None:
    """Each has its version, npm's own digest of its tarball, and its licence beside it."""
    for package in packages():
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"])
        assert package["license"] in {"MIT", "Apache-2.0"}
        assert any(file["to"].startswith("licenses/") for file in package["files"])


def test_the_lock_names_no_host() -> None:
    """Where the packages come from is npm's affair."""
    assert "://" not in LOCK.read_text()


def test_no_import_is_bare() -> None:
    """A browser finds every module: without an import map, only paths are found."""
    for path in VENDOR.rglob("*.js"):
        found = re.findall(r'(?:from|import)\s*"([^"]+)"', path.read_text())
        assert all(name.startswith("./") and (VENDOR / name).is_file() for name in found), path


def test_nothing_is_evaluated() -> None:
    """No library needs what the page's policy forbids."""
    for path in VENDOR.rglob("*.js"):
        assert not re.search(r"\beval\(|new Function\(|\bFunction\(\s*[\"']", path.read_text()), (
            path
        )
