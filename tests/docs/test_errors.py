"""docs/errors.md and the tree printed in importer/errors.py are the classes."""

import re
from collections.abc import Iterator
from pathlib import Path

import importer.cli
from importer import errors
from importer.errors import ImporterError
from tests.docs.pages import page, rows, section, ticked

_LINE = re.compile(r"^( *)[*x-] (\w+) +([a-z-]+) +(\d{3})(?: +(retryable))?", re.MULTILINE)


def tree(kind: type[ImporterError] = ImporterError, depth: int = 0) -> Iterator[tuple[int, type]]:
    """Yield every class of errors.py with its depth, parents first."""
    yield depth, kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child, depth + 1)


def test_the_printed_tree_is_the_classes() -> None:
    """A class that is missing, too much, under another parent, or has other values is found."""
    assert errors.__doc__
    printed = [
        (len(indent) // 2, name, slug, int(status), retryable == "retryable")
        for indent, name, slug, status, retryable in _LINE.findall(errors.__doc__)
    ]
    real = [
        (depth, kind.__name__, kind.slug, kind.status, kind.retryable) for depth, kind in tree()
    ]
    assert sorted(printed) == sorted(real)
    assert parents(printed) == parents(real)


def parents(lines: list[tuple[int, str, str, int, bool]]) -> dict[str, str]:
    """Return the class above each class."""
    above: dict[int, str] = {}
    found = {}
    for depth, name, *_ in lines:
        above[depth] = name
        found[name] = above.get(depth - 1, "")
    return found


def test_the_page_is_the_classes() -> None:
    """Slug, depth, side, status and retryable of every row are those of its class, in order."""
    written = [
        (slug.count("↳"), ticked(slug)[0], side, int(status), retryable == "yes")
        for slug, side, status, retryable, meaning, _ in rows(
            section(page("errors"), "## All of them")
        )
        if meaning
    ]
    real = [(depth, kind.slug, kind.side, kind.status, kind.retryable) for depth, kind in tree()]
    assert written == real


def test_no_two_classes_share_a_slug() -> None:
    """A slug names one kind of failure."""
    slugs = [kind.slug for _, kind in tree()]
    assert len(slugs) == len(set(slugs))


def test_the_command_lines_own_slugs_are_told() -> None:
    """Slugs that only the command line makes stand in their own table, and nothing else does."""
    known = {kind.slug for _, kind in tree()}
    source = "".join(path.read_text() for path in Path(importer.cli.__path__[0]).glob("*.py"))
    made = {max(found) for found in re.findall(r'slug(?:="([a-z-]+)"| = .*"([a-z-]+)")', source)}
    table = rows(section(page("errors"), "## The command line's own"))
    assert {ticked(row[0])[0] for row in table} == made - known
