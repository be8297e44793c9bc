"""docs/page.md against the files that there are."""

import re
from importlib import resources
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "page.md"
WEB = Path(str(resources.files("importer.web")))


def test_every_module_is_described() -> None:
    """The table names every module at the top, and nothing that is not there."""
    table = PAGE.read_text().partition("| file |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([\w-]+\.js)`", table))
    assert named >= {path.name for path in WEB.glob("*.js")}
    assert named <= {path.name for path in WEB.rglob("*.js")}


def test_nothing_leads_to_another_host() -> None:
    """No file of ours holds an address of another host (examples and namespaces apart)."""
    harmless = {"example.org", "www.w3.org"}
    for path in WEB.rglob("*.*"):
        ours = "vendor" not in path.parts  # those name their homes in comments
        if ours and path.suffix in (".js", ".css", ".html", ".svg"):
            hosts = set(re.findall(r"https?://([\w.-]+)", path.read_text()))
            assert hosts <= harmless, path
