"""The servers that take the bytes are asked directly, whatever proxy the environment names.

The API server is another matter: it is reached as kubectl reaches it, `NO_PROXY` and all.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from importer.formats.recognise import refuse_nested
from importer.kube.classes import storage_class
from importer.targets.backingimage.shelf import BackingImageShelf
from importer.targets.cdi.shelf import CdiShelf
from tests import images
from tests.targets.cdi import cdi_member
from tests.targets.conftest import fill, order
from tests.targets.longhorn import longhorn_member

NOBODY = "http://127.0.0.1:9"
"""Port 9, discard: nothing listens there."""


@pytest.fixture(autouse=True)
def proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a proxy that is none, in every spelling, for all but the API server."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, NOBODY)
        monkeypatch.setenv(name.upper(), NOBODY)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


def elsewhere(url: str) -> str:
    """Return *url* under a name that `NO_PROXY` does not have."""
    assert "127.0.0.1" in url
    return url.replace("127.0.0.1", "localhost")


async def test_longhorn_is_asked_directly(tmp_path: Path) -> None:
    """Its manager is not looked for behind the proxy."""
    async with longhorn_member(tmp_path) as member:
        of = await storage_class(member.cluster, "fast")
        settings = replace(member.settings, url=elsewhere(member.longhorn.url))
        place = BackingImageShelf(member.cluster, of, settings, refuse_nested).place(order())
        finished = await fill(place, images.raw(tmp_path / "disk.raw"))
        assert finished.placed.kind == "BackingImage"


async def test_cdi_is_asked_directly(tmp_path: Path) -> None:
    """Nor is CDI's upload proxy, over TLS."""
    async with cdi_member(tmp_path) as member:
        of = await storage_class(member.cluster, "lh2")
        settings = replace(member.settings, url=elsewhere(member.cdi.url))
        place = CdiShelf(member.cluster, of, settings).place(order())
        finished = await fill(place, images.raw(tmp_path / "disk.raw"))
        assert finished.placed.kind == "DataVolume"
