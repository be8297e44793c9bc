"""The example of a configuration file."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from importer.config import Config, apply, load, settings, shown

EXAMPLE = Path(__file__).parents[2] / "deploy/config.example.toml"


def uncommented() -> dict[str, Any]:
    """Return what the example says when every setting in it is taken out of its comment."""
    return tomllib.loads(re.sub(r"(?m)^# (\w+ = )", r"\1", EXAMPLE.read_text()))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Return the defaults, with the home directory as people write it."""
    monkeypatch.setenv("HOME", "~")
    return shown(Config(), secrets=True)


def test_example_names_every_setting_in_order() -> None:
    """A setting that is missing, unknown or out of order in the example is found."""
    named = [(section, name) for section, table in uncommented().items() for name in table]
    assert named == [(section, name) for section, name, _ in settings()]


def test_example_shows_the_defaults(plain: dict[str, dict[str, Any]]) -> None:
    """The values in the example are those that hold without it."""
    assert shown(apply(Config(), uncommented()), secrets=True) == plain


def test_example_as_it_is_changes_nothing() -> None:
    """A service started with the example behaves as one without a file."""
    assert load(EXAMPLE, {}) == Config()
