"""Uploads of the page over a network that breaks, against a service that is started again."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, Dialog, expect

from tests import images
from tests.servers.page import Page
from tests.web.browser import Served, Visit, serving, visit
from tests.web.copying import Copying
from tests.web.wire import Wire

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

MiB = 1 << 20


async def until(said: Callable[[], bool]) -> None:
    """Wait until it is so."""
    while not said():
        await asyncio.sleep(0.01)


async def agree(dialog: Dialog) -> None:
    """Leave the page although it asks."""
    await dialog.accept()


@pytest.mark.parametrize(
    "size",
    [128 * MiB, pytest.param(1024 * MiB, marks=[pytest.mark.soak, pytest.mark.timeout(600)])],
)
async def test_cuts_and_a_reload(
    browser: Browser, served: Served, tmp_path: Path, size: int
) -> None:
    """Three cuts and a reload cost little: the image is whole, and hardly more than it was sent."""
    huge = images.raw(tmp_path / "huge.raw", size, size)
    points = [size // 8, size * 3 // 8, size * 3 // 4]
    async with Wire(served.address, points) as wire:
        address = f"{wire.url}/#token={served.token}"
        async with visit(browser, address) as there:
            there.page.on("dialog", agree)
            there.page.set_default_timeout(60_000)
            await there.choose(huge)
            await there.slow_down(size * 3 // 8)
            await there.send()
            await until(lambda: wire.passed > size // 2)
            wire.unplug()
            await there.uploading("huge", "lost").wait_for()
            wire.plug_in()
            await there.page.reload()
            await there.uploading("huge", "asks").wait_for()
            again = there.page.get_by_role("button", name="Continue upload of huge")
            await there.give(again, huge)
            await there.state("huge", "Ready")
        assert wire.cuts == 3
        print(f"{wire.passed / size:.3f} times its bytes were sent")
        assert wire.passed < 1.1 * size
    stored = served.data / "images" / "huge.raw"
    assert images.same(huge, "raw", stored, "raw")


async def test_another_file_after_a_reload(
    browser: Browser, served: Served, large: Path, disk: Path
) -> None:
    """Only the file that was being sent goes on; another one is named as such."""
    async with visit(browser, served.page) as there:
        there.page.on("dialog", agree)
        await there.slow_down(2 * MiB)
        await there.upload(large, name="mine")
        await there.state("mine", "Transferring")
        await there.page.reload()
        again = there.page.get_by_role("button", name="Continue upload of mine")
        await there.give(again, disk)
        await expect(there.uploading("mine")).to_contain_text("This is another file")
        copy = large.with_name("renamed.raw")
        copy.write_bytes(large.read_bytes())
        await there.slow_down(-1)
        await there.give(again, copy)
        await there.state("mine", "Ready")


class Narrow(Copying):
    """A proxy that takes no bodies over 100 KiB, and says so in its own words."""

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "PATCH" and (request.content_length or 0) > 100 << 10:
            return await Page(413, after=None).answer(request, super()._answer)  # type: ignore[arg-type]
        return await super()._answer(request)


async def test_a_proxy_that_takes_small_bodies(
    browser: Browser, served: Served, disk: Path
) -> None:
    """Requests are halved until a proxy lets them pass."""
    async with Narrow(served) as proxy, visit(browser, proxy.page) as there:
        await there.upload(disk, name="narrow")
        await there.state("narrow", "Ready")
    assert images.same(disk, "qcow2", served.data / "images" / "narrow.qcow2", "qcow2")


HANDLES = """async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const folder = await navigator.storage.getDirectory();
    const handle = await folder.getFileHandle("handled.raw", {create: true});
    const file = await handle.createWritable();
    await file.write(bytes);
    await file.close();
}"""
PICKS = """globalThis.showOpenFilePicker = async () => {
    const folder = await navigator.storage.getDirectory();
    return [await folder.getFileHandle("handled.raw")];
}"""


async def test_a_reload_with_a_handle(browser: Browser, served: Served, tmp_path: Path) -> None:
    """Where the browser can open the file again by itself, nobody chooses it twice."""
    file = images.raw(tmp_path / "handled.raw", 4 * MiB, 4 * MiB)
    async with visit(browser, served.page) as there:
        there.page.on("dialog", agree)
        await there.page.evaluate(HANDLES, base64.b64encode(file.read_bytes()).decode())
        await there.page.evaluate(PICKS)
        await there.slow_down(MiB)
        await there.go("import")
        await there.page.get_by_role("button", name="Choose files").click()
        await there.send()
        await there.state("handled", "Transferring")
        await there.page.reload()
        await there.slow_down(-1)
        await there.page.get_by_role("button", name="Continue upload of handled").click()
        await there.state("handled", "Ready")
    assert (served.data / "images" / "handled.raw").read_bytes() == file.read_bytes()


async def test_two_pages_of_one_browser(there: Visit, served: Served, large: Path) -> None:
    """What one page sends, another page of the same browser does not offer to go on with."""
    await there.slow_down(2 * MiB)
    await there.upload(large, name="held")
    await there.state("held", "Transferring")
    other = await there.page.context.new_page()
    await other.goto(served.page)
    await other.locator('.image[data-name="held"]').wait_for()
    await expect(other.locator(".tray")).to_have_count(0)
    await other.close()
    await there.slow_down(-1)
    await there.state("held", "Ready")


async def test_pause_and_resume(there: Visit, served: Served, large: Path) -> None:
    """A paused upload sends nothing, says until when it is kept, and goes on where it stopped."""
    await there.slow_down(4 * MiB)
    await there.upload(large, name="paused")
    await there.state("paused", "Transferring")
    await there.page.get_by_role("button", name="Pause paused").click()
    await there.uploading("paused", "paused").wait_for()
    await expect(there.row("paused").locator(".facts")).to_contain_text("kept until")
    sent = [url for url in there.requests if "/v1/uploads" in url]
    await there.go("import")
    await there.page.get_by_role("heading", name="Import images").wait_for()
    await there.go("images")
    assert [url for url in there.requests if "/v1/uploads" in url] == sent
    await there.slow_down(-1)
    await there.page.get_by_role("button", name="Resume paused").click()
    await there.state("paused", "Ready")
    assert (served.data / "images" / "paused.raw").read_bytes() == large.read_bytes()


async def test_two_files_at_once(there: Visit, served: Served, large: Path) -> None:
    """Two files are sent at the same time, each with its own progress."""
    other = large.with_name("other.raw")
    other.write_bytes(large.read_bytes())
    await there.slow_down(8 * MiB)
    await there.choose(large, other)
    await there.send()
    await there.state("disk", "Transferring")
    await there.state("other", "Transferring")
    await there.slow_down(-1)
    await there.state("disk", "Ready")
    await there.state("other", "Ready")


async def test_the_service_is_started_again(browser: Browser, large: Path, tmp_path: Path) -> None:
    """An upload begins anew by itself when the service has forgotten it, and says so."""
    async with serving(tmp_path) as first, visit(browser, first.page) as there:
        await there.slow_down(4 * MiB)
        await there.upload(large, name="anew")
        facts = there.uploading("anew").locator(".facts")
        await expect(facts).to_contain_text(re.compile("[2-9] MiB of 16 MiB"))
        await first.stop()
        await there.uploading("anew", "lost").wait_for()
        async with serving(tmp_path, first.port):
            await there.uploading("anew", "sending").wait_for()
            await expect(facts).to_contain_text("sent again from the start")
            await there.slow_down(-1)
            await there.state("anew", "Ready")
            assert (tmp_path / "images" / "anew.raw").read_bytes() == large.read_bytes()


async def test_a_pause_that_is_too_long(browser: Browser, large: Path, tmp_path: Path) -> None:
    """When the service has given up a paused upload, going on means sending it anew, no more."""
    away = {"IMPORTER_UPLOAD_AWAY": "1", "IMPORTER_UPLOAD_EXPIRES": "2"}
    async with serving(tmp_path, **away) as served, visit(browser, served.page) as there:
        await there.slow_down(8 * MiB)
        await there.upload(large, name="late")
        await there.state("late", "Transferring")
        await there.page.get_by_role("button", name="Pause upload of late").click()
        await there.state("late", "Failed")
        await there.slow_down(-1)
        await there.page.get_by_role("button", name="Resume upload of late").click()
        await there.state("late", "Ready")
        assert (tmp_path / "images" / "late.raw").read_bytes() == large.read_bytes()


async def test_an_upload_that_runs(there: Visit, large: Path) -> None:
    """It shows how far it is, holds back who leaves the page, and ends when it is cancelled."""
    await there.slow_down(2 * MiB)
    await there.upload(large, name="slow-upload")
    await there.state("slow-upload", "Transferring")
    facts = there.row("slow-upload").locator(".facts")
    await expect(facts).to_contain_text(re.compile(r"of 16 MiB · .* MB/s"))
    async with there.page.expect_event("dialog") as asked:
        await there.page.close(run_before_unload=True)
    dialog = await asked.value
    assert dialog.type == "beforeunload"
    await dialog.dismiss()
    await there.page.get_by_role("button", name="Cancel slow-upload").click()
    await there.state("slow-upload", "Cancelled")
    await expect(there.uploading("slow-upload")).to_have_count(0)


async def test_an_upload_is_given_up(browser: Browser, served: Served, large: Path) -> None:
    """What is cancelled in the list of uploads leaves no image behind."""
    async with visit(browser, served.page) as there:
        await there.slow_down(2 * MiB)
        await there.upload(large, name="given-up")
        await there.state("given-up", "Transferring")
        await there.page.get_by_role("button", name="Cancel upload of given-up").click()
        await expect(there.row("given-up")).to_have_count(0)
        await expect(there.uploading("given-up")).to_have_count(0)
        assert await there.page.evaluate("localStorage.length") == 0


async def test_a_wrong_checksum(browser: Browser, served: Served, disk: Path) -> None:
    """Both checksums are shown, and the same file may be sent again at once."""
    wrong = f"sha256:{'0' * 64}"
    async with visit(browser, served.page) as there:
        await there.upload(disk, name="summed", checksum=wrong)
        row = await there.state("summed", "Failed")
        assert "checksum-mismatch" in row
        assert hashlib.sha256(disk.read_bytes()).hexdigest() in row
        assert wrong.removeprefix("sha256:") in row
        again = there.page.get_by_role("button", name="Upload again summed")
        async with there.page.expect_request(lambda request: request.method == "PATCH"):
            await again.click()
        await there.state("summed", "Failed")
