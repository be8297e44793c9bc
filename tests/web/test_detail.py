"""The page of one image, in a real browser."""

import hashlib
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.servers.web import WebServer
from tests.web.browser import Served, Visit, visit

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]


async def test_what_became_of_an_image(there: Visit, disk: Path) -> None:
    """Phases with their seconds, the plan and its reason, digest, place and events are there."""
    await there.upload(disk, name="known")
    await there.state("known", "Ready")
    await expect(there.page.locator("[aria-live=polite]#news")).to_have_text("known: Ready")
    link = there.page.locator(".images").get_by_role("link", name="known", exact=True)
    await link.focus()
    await there.page.keyboard.press("Enter")
    heading = there.page.get_by_role("heading", name="known", level=1)
    await expect(heading).to_be_focused()
    page = there.page.locator(".detail")
    await expect(page).to_contain_text(hashlib.sha256(disk.read_bytes()).hexdigest())
    await expect(page.locator(".plan")).to_contain_text("it is stored as it comes")
    phases = page.locator(".phases")
    await expect(phases.get_by_role("row", name="Transferring")).to_contain_text(
        re.compile(r"\d\.\d\d s")
    )
    assert await phases.locator(".piece").count() >= 4
    await expect(page.locator(".events")).to_contain_text("Ready")
    await there.page.go_back()
    await there.state("known", "Ready")


async def test_an_import_that_runs(there: Visit, large: Path) -> None:
    """While bytes flow there is a graph of their rate; cancelled from here, it says so here."""
    async with WebServer(large, stall_after=6 << 20, ranges=False) as server:
        await there.ask(server.url("/graphed.img"))
        await there.state("graphed", "Transferring")
        await there.go("images/default/graphed")
        await there.page.get_by_role("img", name="Rate of graphed").wait_for()
        await there.page.locator(".plot canvas").wait_for()
        await there.page.get_by_role("button", name="Cancel graphed").click()
        await there.page.locator(".detail[data-phase=Cancelled]").wait_for()


async def test_an_error_says_what_to_do(browser: Browser, served: Served) -> None:
    """A failed image has its message, whose side it was on, and one sentence of advice."""
    async with (
        WebServer(b"<!doctype html>" + b" " * 4096) as server,
        visit(browser, served.page) as there,
    ):
        await there.ask(server.url("/wrong.img"))
        await there.go("images/default/wrong")
        error = there.page.locator(".error")
        await expect(error).to_contain_text("an HTML page")
        await expect(error).to_contain_text("The image · not-an-image")
        await expect(error.locator(".advice")).to_contain_text("Check the")


async def test_delete_leads_back(there: Visit, disk: Path) -> None:
    """An image that is deleted on its own page is gone, and the list is shown."""
    await there.upload(disk, name="leaves")
    await there.state("leaves", "Ready")
    await there.go("images/default/leaves")
    await there.page.get_by_role("button", name="Delete leaves").click()
    await there.page.get_by_role("button", name="Delete", exact=True).click()
    await there.page.get_by_role("heading", name="Images", exact=True).wait_for()
    await expect(there.row("leaves")).to_have_count(0)


async def test_an_image_that_is_not_there(there: Visit) -> None:
    """An old link says that there is no such image."""
    await there.go("images/default/never")
    await there.page.get_by_role("heading", name="There is no image called never").wait_for()
