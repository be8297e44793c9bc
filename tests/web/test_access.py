"""Who does not see, or has no mouse, can use every page; axe-core finds nothing serious."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.web.access import assert_accessible
from tests.web.browser import Served, visit
from tests.web.copying import Copying
from tests.web.scene import scene
from tests.web.screenshots import PAGES

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark", "locale": "zh-CN"},
    "phone": {"viewport": {"width": 360, "height": 700}, "is_mobile": True, "has_touch": True},
}
SPOIL = """() => {
    const main = document.querySelector("main");
    main.innerHTML = "<p>grey</p><input>";
    Object.assign(main.firstChild.style, {color: "#999", background: "#aaa"});
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def busy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Copying]:
    """A service with images, classes and copies in every state."""
    async with scene(tmp_path_factory.mktemp("scene")) as running:
        yield running


async def go(page: Page, name: str) -> None:
    """Show the page *name* of `PAGES`, and wait until it is there."""
    await page.locator("main h1").wait_for()
    await page.evaluate("hash => { location.hash = hash }", PAGES[name])
    await page.wait_for_function("hash => location.hash === hash", arg=PAGES[name])
    await expect(page.locator("main h1")).to_be_focused()


async def test_axe_finds_a_fault(browser: Browser, served: Served) -> None:
    """A field without words and grey on grey are found, so that silence means something."""
    async with visit(browser, served.page) as there:
        await there.page.locator(".link[data-state=up]").wait_for()
        await there.page.evaluate(SPOIL)
        with pytest.raises(AssertionError) as found:
            await assert_accessible(there.page)
        rules = re.findall(r"^([\w-]+) \(", str(found.value), re.MULTILINE)
        assert {"color-contrast", "label"} <= set(rules)


@pytest.mark.parametrize("look", LOOKS)
async def test_every_page(browser: Browser, busy: Copying, look: str) -> None:
    """No page has a serious fault, is wider than the window, or complains on the console."""
    async with visit(browser, busy.page, **LOOKS[look]) as there:
        await there.page.locator(".link[data-state=up]").wait_for()
        for name in [*list(PAGES)[1:], "images"]:
            await go(there.page, name)
            await assert_accessible(there.page)
            wide = await there.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= await there.page.evaluate("innerWidth"), name
        assert there.complaints == []


async def test_the_form_for_the_token(browser: Browser, served: Served) -> None:
    """It can be used before and after a wrong token."""
    async with visit(browser, served.address) as there:
        token = there.page.get_by_label("Token")
        await expect(token).to_be_focused()
        await assert_accessible(there.page)
        await token.fill("wrong")
        await token.press("Enter")
        await there.page.get_by_role("alert").wait_for()
        await assert_accessible(there.page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_files_on_their_way(
    browser: Browser, served: Served, large: Path, tmp_path: Path, scheme: str
) -> None:
    """Files that were chosen, one of them refused, and an upload that runs and pauses."""
    wrong = tmp_path / "page.img"
    wrong.write_text("<!doctype html>" + " " * 4096)
    file = tmp_path / f"{scheme}.raw"
    file.write_bytes(large.read_bytes())
    async with visit(browser, served.page, color_scheme=scheme) as there:
        await there.page.locator(".link[data-state=up]").wait_for()
        await there.choose(file, wrong)
        await there.page.get_by_text("not-an-image").wait_for()
        await expect(there.field("Name")).to_have_value(scheme)
        await assert_accessible(there.page)
        await there.slow_down(1 << 20)
        await there.page.get_by_role("button", name="Upload 1 file").click()
        await there.uploading(scheme, "sending").wait_for()
        await there.go("images")
        await assert_accessible(there.page)
        tray = there.uploading(scheme)
        await tray.get_by_role("button", name=f"Pause upload of {scheme}").press("Enter")
        await there.uploading(scheme, "paused").wait_for()
        await assert_accessible(there.page)


async def test_a_question(browser: Browser, busy: Copying) -> None:
    """A dialog has no fault, keeps the focus, and gives it back to the button that opened it."""
    async with visit(browser, busy.page) as there:
        button = there.page.get_by_role("button", name="Delete debian-12")
        await button.focus()
        await there.page.keyboard.press("Enter")
        dialog = there.page.get_by_role("dialog")
        await expect(dialog).to_have_accessible_name("Delete debian-12?")
        await assert_accessible(there.page)
        for _ in range(4):
            await there.page.keyboard.press("Tab")
        assert await there.page.evaluate(
            "document.activeElement === document.body"
            " || document.querySelector('dialog').contains(document.activeElement)"
        )
        await there.page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(button).to_be_focused()


async def test_what_is_gone_keeps_no_focus(browser: Browser, served: Served, disk: Path) -> None:
    """Who deletes an image with the keyboard goes on from the page, not from its very top."""
    async with visit(browser, served.page) as there:
        await there.upload(disk, name="gone")
        await there.state("gone", "Ready")
        await there.page.get_by_role("button", name="Delete gone").press("Enter")
        delete = there.page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True)
        await delete.press("Enter")
        await expect(there.row("gone")).to_have_count(0)
        await expect(there.page.get_by_role("main")).to_be_focused()


async def test_the_keyboard_alone(browser: Browser, busy: Copying) -> None:
    """The first key leads past the navigation, and every stop on the way can be seen."""
    async with visit(browser, busy.page) as there:
        page = there.page
        await page.locator(".image").first.wait_for()
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("main")).to_be_focused()
        stops = []
        for _ in range(12):
            await page.keyboard.press("Tab")
            stops.append(await page.evaluate(STOP))
        assert all(stop["seen"] and stop["name"] for stop in stops), stops
        assert [stop["top"] for stop in stops] == sorted(stop["top"] for stop in stops), stops


STOP = """() => {
    const node = document.activeElement;
    const field = node.closest("label");
    const ring = (one) => one && getComputedStyle(one).outlineStyle !== "none";
    const {top} = (node.closest("tr, .filter, .title") ?? node).getBoundingClientRect();
    return {
        name: node.getAttribute("aria-label") || node.textContent || field?.textContent,
        seen: ring(node) || ring(field) || getComputedStyle(node).boxShadow !== "none",
        top: Math.round(top + scrollY),
    };
}"""
"""What has the focus: its name, whether a ring shows it, and how far down its line is."""


async def test_the_tabs(browser: Browser, busy: Copying) -> None:
    """Arrows go from tab to tab and the focus with them, as WAI-ARIA has it."""
    async with visit(browser, busy.page) as there:
        await go(there.page, "import")
        file, url = (there.page.get_by_role("tab", name=name) for name in ("File", "URL"))
        await file.focus()
        await there.page.keyboard.press("ArrowRight")
        await expect(url).to_have_attribute("aria-selected", "true")
        await expect(url).to_be_focused()
        await there.page.keyboard.press("Tab")
        await expect(there.page.get_by_role("textbox", name="URL")).to_be_focused()


async def test_news_are_told_sparingly(browser: Browser, busy: Copying) -> None:
    """Bytes that flow are no news: a region that is read out changes with an image's phase only."""
    async with visit(browser, busy.page) as there:
        page = there.page
        await page.locator(".image").first.wait_for()
        await page.evaluate(LISTEN)
        await page.get_by_role("button", name="Retry fedora-41").click()
        await page.wait_for_function(
            "() => heard.some((text) => text.includes('fedora-41: Failed'))"
        )
        heard = [text for text in await page.evaluate("heard") if text]
        assert [text for text in heard if "fedora-41" not in text] == []
        assert len(heard) <= 4, heard


LISTEN = """() => {
    globalThis.heard = [];
    for (const region of document.querySelectorAll("[aria-live], [role=status], [role=alert]")) {
        const tell = () => heard.push(region.textContent);
        const all = {childList: true, characterData: true, subtree: true};
        new MutationObserver(tell).observe(region, all);
    }
}"""


async def test_reduced_motion(browser: Browser, busy: Copying) -> None:
    """Who asks for less motion sees nothing that slides, and nothing that blinks fast."""
    async with visit(browser, busy.page, reduced_motion="reduce") as there:
        await there.page.locator(".image").first.wait_for()
        fast = await there.page.evaluate(
            "document.getAnimations().filter((one) => one.effect.getTiming().duration < 2000)"
            ".map((one) => one.animationName ?? one.transitionProperty)"
        )
        assert fast == []
