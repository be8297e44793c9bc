"""What happens and happened, on a page of its own."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from tests.servers.web import WebServer
from tests.web.browser import Served, visit
from tests.web.copying import Copying, copied, over
from tests.web.scene import ask, fetch, over_with

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(served: Served) -> AsyncIterator[Copying]:
    """The service, and before it what a cluster would tell."""
    gone = over("vm-bad", 7000, state="Failed", error="no such pool", reason="other", done=0)
    async with Copying(served, [over("vm-0", 300), gone]) as running:
        yield running


async def entries(page: Page) -> Locator:
    """Show the page, and return what happened, the newest first."""
    await page.get_by_role("link", name="Activity").click()
    await page.get_by_role("heading", name="Activity").wait_for()
    return page.locator(".entry")


async def test_imports(browser: Browser, cluster: Copying, large: Path) -> None:
    """Imports run on top, and are told below: begun, ready, failed and whose side it was."""
    served = cluster.behind
    async with (
        WebServer(large, stall_after=6 << 20, ranges=False) as slow,
        WebServer(b"<!doctype html>" + b" " * 4096) as wrong,
        visit(browser, cluster.page) as there,
    ):
        told = await entries(there.page)
        await fetch(served, "wrong", wrong.url("/wrong.img"), "local")
        failed = told.filter(has_text="Import of wrong failed")
        await expect(failed).to_contain_text("The image · not-an-image")
        await fetch(served, "slow", slow.url("/slow.img"), "local")
        running = there.page.locator(".going li").filter(has_text="slow")
        await expect(running.get_by_role("progressbar", name="Progress of slow")).to_be_visible()
        await expect(running).to_contain_text("Transferring")
        await expect(told.first).to_contain_text("Import of slow started")
        slow.released.set()
        await expect(told.first).to_contain_text(re.compile("slow is ready.* took .* on average"))
        await expect(running).to_have_count(0)
        await told.first.get_by_role("link").click()
        await expect(there.page.get_by_role("heading", name="slow", exact=True)).to_be_focused()
        assert there.complaints == []


async def test_retries_and_deletions(browser: Browser, cluster: Copying, disk: Path) -> None:
    """A try that failed stays told while the next one runs; so does an image that was deleted."""
    served = cluster.behind
    async with (
        WebServer(disk, statuses=[503]) as server,
        visit(browser, cluster.page) as there,
    ):
        told = await entries(there.page)
        await fetch(served, "patient", server.url("/patient.img"), "local")
        await over_with(served, "patient")
        await expect(told.first).to_contain_text(re.compile("patient is ready.* try 2"))
        await expect(told.nth(1)).to_contain_text("Import of patient started again (try 2)")
        await expect(told.nth(2)).to_contain_text("patient is tried again")
        await expect(told.nth(2)).to_contain_text("The source · source-unavailable")
        await ask(served, "DELETE", "/v1/images/patient")
        await expect(told.first).to_contain_text("patient was deleted")
        await expect(told.filter(has_text="patient is ready").get_by_role("link")).to_have_count(0)
        assert there.complaints == []


async def test_copies(browser: Browser, cluster: Copying) -> None:
    """Copies of volumes are among what happens, and our own imports are not told twice."""
    async with visit(browser, cluster.page) as there:
        told = await entries(there.page)
        done = told.filter(has_text="Copy of vm-0 is done")
        await expect(done).to_contain_text("longhorn-v2 · CSI clone · took 40.0 s · 215 MB/s")
        await expect(told.filter(has_text="Copy of vm-bad failed")).to_contain_text("no such pool")
        await cluster.tell(copied("import-1", strategy="import", state="Running"))
        await cluster.tell(copied("vm-9"))
        running = there.page.locator(".going li")
        await expect(running.filter(has_text="vm-9")).to_contain_text("4 GiB of 8 GiB")
        await cluster.tell(over("vm-9", 0))
        await expect(told.first).to_contain_text("Copy of vm-9 is done")
        await expect(running.filter(has_text="import-1")).to_have_count(0)
        assert there.complaints == []


async def test_filters(browser: Browser, cluster: Copying) -> None:
    """By class and outcome; the address keeps them, and one button forgets them."""
    async with visit(browser, cluster.page) as there:
        page, told = there.page, await entries(there.page)
        await page.get_by_label("Storage class").select_option("longhorn-v2")
        await page.get_by_label("Outcome").select_option("failed")
        await expect(told).to_have_count(1)
        await expect(told).to_contain_text("vm-bad")
        await page.reload()
        await expect(told).to_have_count(1)
        await page.get_by_label("Outcome").select_option("deleted")
        await expect(page.get_by_text("Nothing that fits this filter.")).to_be_visible()
        await page.get_by_role("button", name="Clear filter").click()
        await expect(told.filter(has_text="vm-0")).to_have_count(2)
        assert there.complaints == []
