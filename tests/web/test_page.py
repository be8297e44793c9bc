"""The page in a real browser, against the real service."""

import hashlib
import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests import images
from tests.servers.site import site
from tests.servers.web import WebServer
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


async def test_upload_by_the_picker(there: Visit, served: Served, disk: Path) -> None:
    """A chosen file becomes an image with the file's own bytes, named after it."""
    file = disk.with_name("Debian_12.qcow2")
    file.write_bytes(disk.read_bytes())
    await there.choose(file)
    await expect(there.page.get_by_label("Name")).to_have_value("debian-12")
    await there.page.get_by_role("button", name="Upload", exact=True).click()
    row = await there.state("debian-12", "Ready")
    assert "qcow2" in row
    assert "64 MiB" in row
    stored = served.data / "images" / "debian-12.qcow2"
    assert images.same(disk, "qcow2", stored, "qcow2")


async def test_several_files_at_once(there: Visit, disk: Path) -> None:
    """Files of one name are told apart, and each becomes an image of its own."""
    files = [disk.with_name("twin.qcow2"), disk.with_name("twin.img")]
    for file in files:
        file.write_bytes(disk.read_bytes())
    await there.choose(*files)
    await there.page.get_by_role("button", name="Upload", exact=True).click()
    await there.state("twin", "Ready")
    await there.state("twin-2", "Ready")


async def test_upload_by_drag_and_drop(there: Visit, served: Served, tmp_path: Path) -> None:
    """A file dropped on the page becomes an image, checked and stored as asked."""
    file = images.raw(tmp_path / "dropped.raw", 1 << 20, 1 << 18)
    await there.drop(file)
    await there.page.get_by_label("Store as").select_option("raw")
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    await there.page.get_by_label("Checksum").fill(checksum)
    await there.page.get_by_role("button", name="Upload", exact=True).click()
    await there.state("dropped", "Ready")
    assert (served.data / "images" / "dropped.raw").read_bytes() == file.read_bytes()


async def test_import_of_a_url(there: Visit, served: Served, large: Path) -> None:
    """A URL's image shows its progress while it comes, and is there in the end."""
    async with WebServer(large, stall_after=6 << 20, ranges=False) as server:
        await there.page.get_by_role("button", name="Import from URL").click()
        await there.page.get_by_label("URL", exact=True).fill(server.url("/Ubuntu%2024.04.img"))
        await expect(there.page.get_by_label("Name", exact=True)).to_have_value("ubuntu-24-04")
        await there.page.get_by_role("button", name="Import", exact=True).click()
        await there.state("ubuntu-24-04", "Transferring")
        facts = there.page.locator('[data-name="ubuntu-24-04"] .facts')
        await expect(facts).to_contain_text("of 16 MiB")
        server.released.set()
        await there.state("ubuntu-24-04", "Ready")
    stored = served.data / "images" / "ubuntu-24-04.raw"
    assert stored.read_bytes() == large.read_bytes()


async def test_import_into_a_namespace(there: Visit, disk: Path) -> None:
    """A name that is taken in one namespace is free in another, and the form knows which."""
    page = there.page
    async with WebServer(disk) as server:
        for namespace in ("default", "team-a"):
            await page.get_by_role("button", name="Import from URL").click()
            await page.get_by_label("URL", exact=True).fill(server.url("/both.qcow2"))
            name = page.get_by_label("Name", exact=True)
            if namespace != "default":
                assert await name.evaluate("input => input.validationMessage")
                await page.get_by_label("Namespace").fill(namespace)
            assert not await name.evaluate("input => input.validationMessage")
            await page.get_by_role("button", name="Import", exact=True).click()
            row = page.locator('.image[data-name="both"][data-phase=Ready]')
            shown = "both" if namespace == "default" else f"{namespace}/both"
            await row.filter(has=page.get_by_role("button", name=shown, exact=True)).wait_for()


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
        await there.page.get_by_role("button", name="disk", exact=True).click()
        await expect(there.page.locator(".details")).to_contain_text(words.strip())
        assert await there.page.evaluate("document.documentElement.scrollWidth") <= width
        cluster.longhorn.transferring.clear()
        cluster.longhorn.scheduling.set()
        await there.state("disk", "Processing")
        await expect(facts).to_contain_text("hands the file to its image manager · 100 %")
        cluster.longhorn.transferring.set()
        await there.state("disk", "Ready")
        assert there.complaints == []


async def test_cancel_of_an_import(there: Visit, large: Path) -> None:
    """An import that runs is stopped with one click."""
    async with WebServer(large, stall_after=6 << 20, ranges=False) as server:
        await there.page.get_by_role("button", name="Import from URL").click()
        await there.page.get_by_label("URL", exact=True).fill(server.url("/slow.img"))
        await there.page.get_by_role("button", name="Import", exact=True).click()
        await there.state("slow", "Transferring")
        await there.page.get_by_role("button", name="Cancel slow").click()
        await there.state("slow", "Cancelled")


async def test_retry_of_an_import(there: Visit, disk: Path) -> None:
    """A URL that is not found says so; once it is there, retry imports it."""
    async with WebServer(disk.read_bytes(), statuses=[404]) as server:
        await there.page.get_by_role("button", name="Import from URL").click()
        await there.page.get_by_label("URL", exact=True).fill(server.url("/late.img"))
        await there.page.get_by_role("button", name="Import", exact=True).click()
        assert "The source · source-failed" in await there.state("late", "Failed")
        await there.page.get_by_role("button", name="Retry late").click()
        await there.state("late", "Ready")


async def test_a_file_that_is_no_image(browser: Browser, served: Served, tmp_path: Path) -> None:
    """A web page that was saved as an image fails with the reason, and can be deleted."""
    file = tmp_path / "download.qcow2"
    file.write_text("<!doctype html><title>Not found</title>" + " " * 4096)
    async with visit(browser, served.page) as there:
        await there.upload(file)
        row = await there.state("download", "Failed")
        assert "The image · not-an-image" in row
        await there.page.get_by_role("button", name="Delete download").click()
        await there.page.get_by_role("button", name="Delete", exact=True).click()
        await expect(there.page.locator('[data-name="download"]')).to_have_count(0)


async def test_a_large_file_that_is_no_image(
    browser: Browser, served: Served, tmp_path: Path
) -> None:
    """Once the service has refused a file, no more of it is sent, and it can be sent again."""
    file = tmp_path / "large.qcow2"
    file.write_bytes(b"<!doctype html>" + b" " * (32 << 20))
    async with visit(browser, served.page) as there:
        await there.slow_down(4 << 20)
        await there.upload(file)
        assert "not-an-image" in await there.state("large", "Failed")
        again = there.page.get_by_role("button", name="Upload large")
        await expect(again).to_have_text("Upload again")
        await expect(there.page.locator('[data-name="large"] progress')).to_be_hidden()
        async with there.page.expect_request(lambda request: request.method == "PUT"):
            await again.click()
        await there.state("large", "Failed")


async def test_a_wrong_checksum(browser: Browser, served: Served, disk: Path) -> None:
    """Both checksums are shown, and the same file may be sent again at once."""
    wrong = f"sha256:{'0' * 64}"
    async with visit(browser, served.page) as there:
        await there.upload(disk, name="summed", checksum=wrong)
        row = await there.state("summed", "Failed")
        assert "checksum-mismatch" in row
        assert hashlib.sha256(disk.read_bytes()).hexdigest() in row
        assert wrong.removeprefix("sha256:") in row
        again = there.page.get_by_role("button", name="Upload summed")
        await expect(again).to_have_text("Upload again")


async def test_an_upload_that_runs(there: Visit, large: Path) -> None:
    """It shows how far it is, holds back who leaves the page, and ends when it is cancelled."""
    await there.slow_down(2 << 20)
    await there.upload(large, name="slow-upload")
    await there.state("slow-upload", "Transferring")
    facts = there.page.locator('[data-name="slow-upload"] .facts')
    await expect(facts).to_contain_text(re.compile(r"of 16 MiB · .* MB/s"))
    async with there.page.expect_event("dialog") as asked:
        await there.page.close(run_before_unload=True)
    dialog = await asked.value
    assert dialog.type == "beforeunload"
    await dialog.dismiss()
    await there.page.get_by_role("button", name="Cancel slow-upload").click()
    await there.state("slow-upload", "Cancelled")


async def test_details_and_news(there: Visit, disk: Path) -> None:
    """Details show the file's own digest; what happens is told to those who do not see it."""
    await there.upload(disk, name="known")
    await there.state("known", "Ready")
    await expect(there.page.locator("[aria-live]")).to_have_text("known: Ready")
    name = there.page.get_by_role("button", name="known", exact=True)
    await name.focus()
    await there.page.keyboard.press("Enter")
    await expect(name).to_have_attribute("aria-expanded", "true")
    digest = hashlib.sha256(disk.read_bytes()).hexdigest()
    details = there.page.locator("[data-name=known] .details")
    await expect(details).to_contain_text(digest)
    await expect(details).to_contain_text("as-is: it is stored as it comes; ")
    await expect(details).to_contain_text(re.compile(r"Predicted.* in 0\.\d\d s; took \d+\.\d\d s"))


async def test_rates(there: Visit) -> None:
    """The rates of every storage class are one click away."""
    fold = there.page.locator(".rates")
    await expect(fold.get_by_role("table")).to_be_hidden()
    await fold.locator("summary").click()
    row = fold.get_by_role("row", name="local")
    await expect(row.get_by_role("cell")).to_have_count(5)
    await expect(row).to_contain_text(re.compile(r"\d MB/s"))


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


async def test_a_name_that_is_no_name(there: Visit, disk: Path) -> None:
    """A name that the service would refuse is refused while it is typed."""
    await there.choose(disk)
    name = there.page.get_by_label("Name")
    for wrong in ("Upper", "-dash", "dash-", "a.b", "", "x" * 64):
        await name.evaluate("(input, text) => input.value = text", wrong)
        await name.dispatch_event("input")
        valid = await name.evaluate("input => input.checkValidity() && input.value.length < 64")
        assert not valid, wrong
    await name.fill("right-1")
    assert await name.evaluate("input => input.checkValidity()")


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
        await there.upload(file)
        row = there.page.locator("[data-phase=Failed]")
        await row.first.wait_for()
        await there.page.locator(".rates summary").click()
        assert await there.page.evaluate("document.documentElement.scrollWidth") <= width
        assert await there.page.evaluate(FAINT) == []
