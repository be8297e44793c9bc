"""One browser for all tests of the page, and one service for most of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests import images
from tests.web.browser import Served, Visit, chromium, serving, visit

SESSION = {"scope": "session", "loop_scope": "session"}


@pytest_asyncio.fixture(**SESSION)
async def browser() -> AsyncIterator[Browser]:
    """Chromium, started once."""
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A service of the module's own, that may fetch from this machine."""
    data = tmp_path_factory.mktemp("data")
    async with serving(data, IMPORTER_URL_ALLOW_ADDRESSES="127.0.0.0/8") as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def there(browser: Browser, served: Served) -> AsyncIterator[Visit]:
    """The page as its owner opens it; whatever happens, it complains of nothing."""
    async with visit(browser, served.page) as open_page:
        await open_page.page.locator(".link[data-state=up]").wait_for()
        yield open_page
        assert open_page.complaints == []
        assert {url.split("/")[2] for url in open_page.requests} == {served.address[7:]}


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A qcow2 of 64 MiB that holds some data."""
    return images.make("qcow2", tmp_path_factory.mktemp("disk"), 64 << 20)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw disk full of data, so large that its head is not all of it."""
    return images.raw(tmp_path_factory.mktemp("large") / "disk.raw", 16 << 20, 16 << 20)
