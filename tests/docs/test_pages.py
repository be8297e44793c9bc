"""The pages hold together: links, commands, names of formats, locked dependencies."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import typer.main
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from importer.cli.commands import app
from importer.formats import recognise
from importer.model import Compression, Format
from tests.docs.pages import PAGES, ROOT, page, rows, section, ticked, without_code

MAKEFILE = (ROOT / "Makefile").read_text()


def links(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield file and anchor of every link of the page *path* that stays in the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text())):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            yield (path.parent / file if file else path), anchor


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings in *path*, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link leads to a file that is there, and to a heading in it."""
    for file, anchor in links(path):
        assert file.exists(), file
        assert not anchor or anchor in anchors(file), f"{file}#{anchor}"


def test_every_page_is_linked_from_the_readme() -> None:
    """No page of docs/ is left out of the README's list."""
    linked = {file.resolve() for file, _ in links(ROOT / "README.md")}
    assert {path for path in PAGES if path.parent.name == "docs"} <= linked


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_make_targets_exist(path: Path) -> None:
    """``make X`` in a page is a target of the Makefile."""
    named = re.findall(r"(?:^ +|[`(])make ([a-z]+)", path.read_text(), re.MULTILINE)
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert set(named) <= targets


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_exist(path: Path) -> None:
    """``importer X`` in a page is a command."""
    group = typer.main.get_command(app)
    named = re.findall(
        r"(?:^ +(?:\.venv/bin/|[A-Z_]+=\S+ )?|`)importer ([a-z]+)", path.read_text(), re.M
    )
    assert set(named) <= set(group.commands)  # type: ignore[attr-defined]


def test_every_format_is_listed() -> None:
    """docs/formats.md has each format and each compression once, and no others."""
    text = section(page("formats"), "## What goes in")
    assert [ticked(row[1])[0] for row in rows(text)] == [str(found) for found in Format]
    below = text[text.rindex("|\n") :].partition(":")[0]
    assert ticked(below) == list(get_args(Compression))


def test_what_is_recognised_and_refused_is_named() -> None:
    """Whatever the recogniser knows by name and refuses stands on the page."""
    text = section(page("formats"), "## What is refused").lower()
    names = [name for _, name in recognise._REFUSED] + [name for *_, name in recognise._OTHERS]
    assert [name for name in names if not re.search(rf"\b{kernel(name)}\b", text)] == []


def kernel(name: str) -> str:
    """Return the part of a recogniser's name that tells it from others, in lower case."""
    inner = re.search(r"\(([A-Z]+)\)", name)
    if inner:
        return inner[1].lower()
    words = re.sub(r"^(an|a) (empty )?", "", name.lower()).split()
    return " ".join(word for word in words[:2] if word not in GENERIC) or words[0]


GENERIC = {"image", "document", "archive", "picture", "program", "package", "file", "disk", "or"}


def test_constraints_cover_every_dependency() -> None:
    """Every package that pyproject.toml names is locked, at a version that it allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    pins = (line.partition(";")[0].strip().split("==") for line in lines)
    locked = {canonicalize_name(name): version for name, version in pins}
    named = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    for requirement in map(Requirement, named):
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not locked"
        assert requirement.specifier.contains(version, prereleases=True), requirement.name


def test_the_rooms_are_the_layers() -> None:
    """docs/architecture.md lists the rooms in the order that import-linter checks."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    real = [
        (number, room)
        for number, layer in enumerate(linter["contracts"][0]["layers"], 1)
        for room in re.split(r" [:|] ", layer)
    ]
    table = rows(section(page("architecture"), "## The rooms"))
    assert [(int(number), room) for number, cell, _ in table for room in ticked(cell)] == real


def test_modules_that_are_named_exist() -> None:
    """A module that docs/architecture.md names is there."""
    text = page("architecture")
    rooms = "api|jobs|targets|formats|sources|stream|cli"
    named = re.findall(rf"`((?:{rooms})[./][a-z_]+)(?:\.py)?`", text)
    assert len(named) > 8
    missing = [name for name in named if not module(name).exists()]
    assert missing == []


def module(name: str) -> Path:
    """Return the file of ``room.module``."""
    return ROOT / "importer" / (name.replace(".", "/") + ".py")


def test_the_changelog_knows_this_version() -> None:
    """The version in pyproject.toml has its heading, below what is unreleased."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", project["version"]]
