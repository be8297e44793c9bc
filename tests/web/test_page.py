"""The page in a real browser, against the real service."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests import images
from tests.servers.site import site
from tests.servers.web import WebServer
from tests.web.access import SETTLED
from tests.web.browser import Served, Visit, serving, visit

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

FAINT = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const luminance = (colour) => {
        const curved = (part) => ((part / 255 + 0.055) / 1.055) ** 2.4;
        const linear = (part) => (part <= 10 ? part / 3294.6 : curved(part));
        const [red, green, blue] = numbers(colour).map(linear);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const behind = (node) => {
        const colour = getComputedStyle(node).backgroundColor;
        return numbers(colour)[3] === 0 ? behind(node.parentElement) : colour;
    };
    const shown = [...document.querySelectorAll("h1, p, span, time, button")].filter(
        (node) => node.checkVisibility() && node.textContent && !node.children.length,
    );
    return shown.filter((node) => {
        const pair = [getComputedStyle(node).color, behind(node)].map(luminance);
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05) < 4.5;
    }).map((node) => node.outerHTML);
}"""
"""Elements whose text has a contrast under 4.5 to 1."""


@pytest.mark.parametrize("width", [360, 1280])
async def test_what_a_target_waits_for(
    browser: Browser, disk: Path, tmp_path: Path, width: int
) -> None:
    """The cluster's own words stand in the row and its details: as text, and never cut off."""
    words = "0/3 nodes are available: <img src=x onerror=alert(1)> " + "insufficient-storage-" * 9
    async with (
        site(tmp_path / "site", longhorn={"unschedulable": words}) as cluster,
        serving(
            tmp_path / "data",
            IMPORTER_KUBERNETES_ENABLED="true",
            IMPORTER_KUBERNETES_KUBECONFIG=str(cluster.kubeconfig),
            IMPORTER_LONGHORN_URL=cluster.longhorn.url,
        ) as running,
        visit(browser, running.page, viewport={"width": width, "height": 700}) as there,
    ):
        await there.upload(disk, name="disk")
        await there.state("disk", "Preparing")
        facts = there.page.locator('[data-name="disk"] .facts')
        await expect(facts).to_contain_text(words.strip())
        await there.page.locator(".images").get_by_role("link", name="disk", exact=True).click()
        await expect(there.page.locator(".events")).to_contain_text(words.strip())
        assert await there.page.evaluate("document.documentElement.scrollWidth") <= width
        cluster.longhorn.transferring.clear()
        cluster.longhorn.scheduling.set()
        await there.state("disk", "Processing")
        await expect(facts).to_contain_text("hands the file to its image manager · 100%")
        cluster.longhorn.transferring.set()
        await there.state("disk", "Ready")
        assert there.complaints == []


async def test_filter_and_sort(there: Visit, disk: Path, tmp_path: Path) -> None:
    """Text and state find images, and each column sorts them; a reload keeps what was chosen."""
    small = images.raw(tmp_path / "zebra.raw", 1 << 20, 1 << 18)
    for file, name in ((disk, "ant-find"), (small, "zebra-find")):
        await there.upload(file, name=name)
        await there.state(name, "Ready")
    page = there.page
    found = page.locator(".image .name a")
    await page.get_by_label("Search name").fill("find qcow2")
    await expect(found).to_have_text(["ant-find"])
    await page.get_by_label("Search name").fill("find")
    await page.get_by_role("button", name="Name").click()
    await expect(found).to_have_text(["ant-find", "zebra-find"])
    await expect(page.get_by_role("columnheader", name="Name")).to_have_attribute(
        "aria-sort", "ascending"
    )
    for column, first in (("Virtual size", "ant-find"), ("Size", "ant-find"), ("Name", "ant-find")):
        heading = page.get_by_role("columnheader", name=column, exact=True)
        await heading.get_by_role("button").click()
        before = await found.first.inner_text()
        assert before == first
        await heading.get_by_role("button").click()
        await expect(found.first).not_to_have_text(before)
    await page.reload()
    await expect(found).to_have_count(2)
    await page.get_by_label("State", exact=True).select_option("failed")
    await expect(page.get_by_text("No image fits this filter.")).to_be_visible()
    await page.get_by_role("button", name="Clear filter").click()
    await expect(found.filter(has_text="ant-find")).to_be_visible()


async def test_delete_asks_first(there: Visit, served: Served, disk: Path) -> None:
    """Nothing is deleted before it is confirmed; then its file is gone too."""
    await there.upload(disk, name="doomed")
    await there.state("doomed", "Ready")
    stored = served.data / "images" / "doomed.qcow2"
    delete = there.page.get_by_role("button", name="Delete doomed")
    await delete.click()
    await there.page.keyboard.press("Escape")
    await expect(there.page.locator("dialog")).to_have_count(0)
    assert stored.exists()
    await expect(delete).to_be_focused()
    await delete.click()
    await there.page.get_by_role("button", name="Delete", exact=True).click()
    await expect(there.page.locator('[data-name="doomed"]')).to_have_count(0)
    assert not stored.exists()


async def test_the_token_leaves_the_address(there: Visit, served: Served) -> None:
    """The token is in the address for an instant only, and a reload still knows it."""
    assert there.page.url == f"{served.address}/"
    await there.page.reload()
    await there.page.locator(".link[data-state=up]").wait_for()
    assert await there.page.evaluate("localStorage.length") == 0


async def test_the_token_is_asked_for(browser: Browser, served: Served) -> None:
    """Without a token and with a wrong one there is a form, and the right one opens the page."""
    async with visit(browser, served.address) as there:
        token = there.page.get_by_label("Token")
        await expect(token).to_be_focused()
        await expect(there.page.get_by_role("alert")).to_have_count(0)
        await token.fill("wrong")
        await token.press("Enter")
        await expect(there.page.get_by_role("alert")).to_contain_text("does not know this token")
        await token.fill(served.token)
        await token.press("Enter")
        await there.page.locator(".link[data-state=up]").wait_for()
        assert all("401" in complaint for complaint in there.complaints)


async def test_two_pages_show_the_same(browser: Browser, served: Served, disk: Path) -> None:
    """What one page uploads and deletes appears on another and goes from it, without a reload."""
    async with visit(browser, served.page) as one, visit(browser, served.page) as other:
        await one.upload(disk, name="shared")
        await other.state("shared", "Ready")
        await one.page.get_by_role("button", name="Delete shared").click()
        await one.page.get_by_role("button", name="Delete", exact=True).click()
        await expect(other.page.locator('[data-name="shared"]')).to_have_count(0)


async def test_the_page_comes_back(browser: Browser, disk: Path, tmp_path: Path) -> None:
    """When the service restarts, the page says so, connects again and shows what is true then."""
    async with serving(tmp_path) as first, visit(browser, first.page) as there:
        await there.upload(disk, name="kept")
        await there.state("kept", "Ready")
        await first.stop()
        await there.page.locator(".link[data-state=down]").wait_for()
        async with serving(tmp_path, first.port) as second:
            await there.page.locator(".link[data-state=up]").wait_for()
            await there.state("kept", "Ready")
            assert second.token == first.token


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1280])
async def test_it_can_be_read(
    browser: Browser, served: Served, tmp_path: Path, scheme: str, width: int
) -> None:
    """At every width nothing is cut off, and in both schemes text stands out (WCAG 2.2, 1.4.3)."""
    file = tmp_path / "a-rather-long-name-for-an-image-that-is-none-at-all.qcow2"
    file.write_text("<!doctype html>" + " " * 4096)
    look = {"viewport": {"width": width, "height": 700}, "color_scheme": scheme}
    async with visit(browser, served.page, **look) as there:
        await there.choose(file)
        await there.page.locator(".error").wait_for()
        await readable(there, width)
        async with WebServer(b"<!doctype html>" + b" " * 4096) as server:
            name = f"another-name-that-is-rather-long-for-an-image-{scheme}-{width}"
            await there.ask(server.url("/image.qcow2"), name)
            await there.go("images")
            await there.state(name, "Failed")
        await readable(there, width)
        await there.page.locator(".image .name a").first.click()
        await there.page.get_by_role("heading", name="Events").wait_for()
        await readable(there, width)


async def readable(there: Visit, width: int) -> None:
    """Fail where the page is wider than its window, or where text is faint."""
    await there.page.mouse.move(0, 0)  # what is hovered over changes colour
    await there.page.evaluate(SETTLED)
    assert await there.page.evaluate("document.documentElement.scrollWidth") <= width
    assert await there.page.evaluate(FAINT) == []
