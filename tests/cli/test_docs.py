"""docs/cli.md tells of every command and option, and of none that is not there."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import typer.main

from importer.cli.commands import app
from importer.targets.backingimage import options as longhorn
from importer.targets.cdi import options as cdi

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def _documented() -> dict[str, set[str]]:
    """Return the options named under each command's heading; ``""`` has the shared ones."""
    found: dict[str, set[str]] = {}
    for part in PAGE.read_text().split("\n## ")[1:]:
        head, _, text = part.partition("\n")
        command = re.fullmatch(r"importer (\w+).*", head.strip("`"))
        if command or head == "Options of all commands":
            rows = re.findall(r"^\| `(--[a-z-]+)", text, re.MULTILINE)
            found[command[1] if command else ""] = set(rows)
    return found


def test_commands_and_options() -> None:
    """Page and program name the same commands and the same options."""
    documented = _documented()
    shared = documented.pop("")
    group = typer.main.get_command(app)
    real = {
        name: {option for p in command.params for option in p.opts if option.startswith("--")}
        - {"--help"}
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }
    local = {"serve", "config"}
    assert {
        name: options if name in local else options | shared for name, options in documented.items()
    } == real


def test_options_of_backends() -> None:
    """The page's table has every option of every backend that has any, and no other."""
    text = PAGE.read_text().partition("\n## Options of backends\n")[2].partition("\n## ")[0]
    said: dict[str, list[str]] = {}
    for backend, option in re.findall(r"^\| (?:`(\w+)`)? ?\| `(\w+)` \|", text, re.MULTILINE):
        said.setdefault(backend or list(said)[-1], []).append(option)
    assert said == {
        backend: [field.encode_name for field in msgspec.structs.fields(options)]
        for backend, options in (("backingimage", longhorn.Options), ("cdi", cdi.Options))
    }


def test_start_is_light() -> None:
    """Asking for help loads neither aiohttp nor rich nor the service."""
    code = (
        "import sys, importer.cli.commands\n"
        "print([m for m in ('aiohttp', 'rich', 'uvloop', 'importer.app') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
