"""Reads what the pages say: their tables, headings and code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def page(name: str) -> str:
    """Return the text of ``docs/<name>.md``."""
    return (ROOT / "docs" / f"{name}.md").read_text()


def section(text: str, heading: str) -> str:
    """Return what stands below *heading* (with its hashes), up to the next one of its level."""
    level = heading.partition(" ")[0]
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"no heading {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def sections(text: str, level: str) -> dict[str, str]:
    """Return the text below each heading of *level* (its hashes), by heading."""
    headings = re.findall(rf"^{level} (.+)$", without_code(text), re.MULTILINE)
    return {heading: section(text, f"{level} {heading}") for heading in headings}


def rows(text: str) -> list[list[str]]:
    """Return the cells of the first table in *text*, without its head."""
    table = re.search(r"(?:^\|.*\|\n?)+", text, re.MULTILINE)
    assert table, "no table"
    lines = table[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def code(text: str, language: str = "") -> list[str]:
    """Return the fenced blocks of *language* in *text*."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def without_code(text: str) -> str:
    """Return *text* without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def ticked(cell: str) -> list[str]:
    """Return what stands in backticks in *cell*."""
    return re.findall(r"`([^`\n]+)`", cell)
