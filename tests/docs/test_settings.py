"""docs/settings.md is the settings: every one, its default, and what its docstring says."""

import ast
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from importer import config
from tests.docs.pages import PAGES, page, rows, section, ticked

SOURCE = ast.parse(Path(config.__file__).read_text())
_PATHS = {("service", "data"): "~/.local/share/importer"}
"""Defaults that are another on every machine, as the page has them."""


def docstrings() -> dict[tuple[str, str], str]:
    """Return the docstring below each field of each class in config.py, on one line."""
    found = {}
    for group in (node for node in SOURCE.body if isinstance(node, ast.ClassDef)):
        for field, after in zip(group.body, [*group.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                found[group.name, field.target.id] = one_line(after)
    return found


def one_line(node: ast.stmt | None) -> str:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return " ".join(text.replace("``", "`").split())
    return ""


def type_name(kind: Any) -> str:
    """Return *kind* in the page's words."""
    names = {str: "text", int: "integer", float: "number", bool: "boolean"}
    return names.get(kind) or f"list of {names[get_args(kind)[0]]}s"


def expected(name: str, group: type[Any]) -> list[list[str]]:
    """Return the rows that section *name* has by the code."""
    texts, defaults = docstrings(), group()
    return [
        [
            f"`{field}`",
            f"`{config.variable(name, field)}`",
            type_name(kind),
            json.dumps(_PATHS.get((name, field), getattr(defaults, field))),
            texts[group.__name__, field],
        ]
        for field, kind in get_type_hints(group).items()
    ]


def test_every_setting_has_its_row() -> None:
    """A row that is missing, too much, or differs from the code in anything is found."""
    text = page("settings")
    for field in fields(config.Config):
        group = get_type_hints(config.Config)[field.name]
        shown = [
            [name, variable, kind, ticked(default)[0], meaning]
            for name, variable, kind, default, meaning in rows(section(text, f"## [{field.name}]"))
        ]
        assert shown == expected(field.name, group)


def test_every_section_has_its_heading_and_no_other() -> None:
    """The page has the sections of the configuration, in its order."""
    headings = [line for line in page("settings").splitlines() if line.startswith("## [")]
    assert headings == [f"## [{field.name}]" for field in fields(config.Config)]


def test_every_field_has_a_docstring() -> None:
    """A setting that nobody explains is found; Config's own fields are sections, not settings."""
    silent = [name for name, text in docstrings().items() if not text and name[0] != "Config"]
    assert len(docstrings()) >= 26
    assert silent == []


def test_secrets_are_named() -> None:
    """The page says which settings are shown as ***, and no others."""
    sentence = section(page("settings"), "## Secrets").partition(" are shown")[0]
    assert {f"{group}.{name}" for group, name in config.SECRETS} == set(ticked(sentence))


def test_settings_that_are_named_exist() -> None:
    """``[section] name`` in a page, a message or a comment is a setting."""
    known = {(group, name) for group, name, _ in config.settings()}
    groups = "|".join({group for group, _ in known})
    named = {
        found
        for path in [*PAGES, *Path(config.__file__).parent.rglob("*.py")]
        for found in re.findall(rf"\[({groups})\] ([a-z_]+)", path.read_text())
    }
    assert len(named) > 12
    assert named <= known
