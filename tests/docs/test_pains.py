"""Every row of docs/pains.md has a test that exists, or says that there is none."""

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, page, rows, section

TABLES = {"## CDI, virtctl and Longhorn": 20, "## Harvester": 13}
"""Heading → how many complaints were ranked."""

LINK = re.compile(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)")


def names_in(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse(path.read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


@pytest.mark.parametrize("heading", TABLES)
def test_every_complaint_has_its_row(heading: str) -> None:
    """None is left out, and none comes twice: their ranks are 1, 2, 3, ..."""
    ranks = [int(row[0]) for row in rows(section(page("pains"), heading))]
    assert ranks == list(range(1, TABLES[heading] + 1))


@pytest.mark.parametrize("heading", TABLES)
def test_every_row_names_its_issues(heading: str) -> None:
    """A complaint is somebody's, and can be read there."""
    for row in rows(section(page("pains"), heading)):
        assert re.search(r"\b(CDI|kubevirt|longhorn|harvester)#\d+", row[1]), row


@pytest.mark.parametrize("heading", TABLES)
def test_every_test_that_is_named_exists(heading: str) -> None:
    """A row leads to tests that are there under that name, or says in words that it has none."""
    for rank, _, _, cell in rows(section(page("pains"), heading)):
        named = LINK.findall(cell)
        assert named or cell == "not yet", f"{rank}: {cell}"
        assert LINK.sub("", cell).strip("; ") == "" or not named, f"{rank}: {cell}"
        missing = [name for name, file in named if name not in names_in(ROOT / file)]
        assert missing == [], f"{rank}"
