"""The example of a configuration file."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from importer.config import Config, apply, load, settings

EXAMPLE = Path(__file__).parents[2] / "deploy/config.example.toml"


def uncommented() -> dict[str, Any]:
    """Return what the example says when every setting in it is taken out of its comment."""
    return tomllib.loads(re.sub(r"(?m)^# (\w+ = )", r"\1", EXAMPLE.read_text()))


def test_example_names_every_setting_in_order() -> None:
    """A setting that is missing, unknown or out of order in the example is found."""
    named = [(section, name) for section, table in uncommented().items() for name in table]
    assert named == [(section, name) for section, name, _ in settings()]


def test_example_shows_the_defaults() -> None:
    """The values in the example are those that hold without it."""
    written = uncommented()
    written["service"]["data"] = os.path.expanduser(written["service"]["data"])
    assert apply(Config(), written) == Config()


def test_example_as_it_is_changes_nothing() -> None:
    """A service started with the example behaves as one without a file."""
    assert load(EXAMPLE, {}) == Config()
