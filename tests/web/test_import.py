"""The import page in a real browser: what is looked at, what is refused, and what becomes of it."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests import images
from tests.servers.web import WebServer
from tests.web.browser import Served, Visit, visit

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


async def test_upload_by_the_picker(there: Visit, served: Served, disk: Path) -> None:
    """A chosen file is looked at first, and becomes an image of its own bytes, named after it."""
    file = disk.with_name("Debian_12.qcow2")
    file.write_bytes(disk.read_bytes())
    await there.choose(file)
    await expect(there.field("Name")).to_have_value("debian-12")
    await expect(there.page.locator(".found")).to_contain_text("qcow2")
    await expect(there.page.locator(".found")).to_contain_text("virtual size 64 MiB")
    await there.send()
    row = await there.state("debian-12", "Ready")
    assert "qcow2" in row
    assert "64 MiB" in row
    stored = served.data / "images" / "debian-12.qcow2"
    assert images.same(disk, "qcow2", stored, "qcow2")


async def test_the_class_says_what_follows(there: Visit) -> None:
    """Backend, what will be made, and the free space follow from the class by themselves."""
    await there.go("import")
    implied = there.page.locator(".implied")
    await expect(implied).to_contain_text("local")
    await expect(implied).to_contain_text(re.compile("a file in the service.s folder"))
    await expect(implied).to_contain_text("GiB")


async def test_several_files_at_once(there: Visit, disk: Path) -> None:
    """Files of one name are told apart, and each becomes an image of its own."""
    files = [disk.with_name("twin.qcow2"), disk.with_name("twin.img")]
    for file in files:
        file.write_bytes(disk.read_bytes())
    await there.choose(*files)
    await there.page.get_by_role("button", name="Upload 2 files").click()
    await there.state("twin", "Ready")
    await there.state("twin-2", "Ready")


async def test_upload_by_drag_and_drop(there: Visit, served: Served, tmp_path: Path) -> None:
    """A file dropped on any page becomes an image, checked and stored as asked."""
    file = images.raw(tmp_path / "dropped.raw", 1 << 20, 1 << 18)
    await there.drop(file)
    await there.page.get_by_label("Store as").select_option("raw")
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    await there.field("Checksum").fill(f"{checksum}  dropped.raw")
    await there.send()
    await there.state("dropped", "Ready")
    assert (served.data / "images" / "dropped.raw").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("kind", ["page", "backing file"])
async def test_a_refused_file(browser: Browser, served: Served, tmp_path: Path, kind: str) -> None:
    """What is no image, or points outside itself, is refused before a byte of it is uploaded."""
    file = tmp_path / "refused.qcow2"
    if kind == "page":
        file.write_bytes(b"<!doctype html><title>Not found</title>" + b" " * (32 << 20))
    else:
        base = images.empty(tmp_path / "base.qcow2", "qcow2", 1 << 30)
        images.empty(file, "qcow2", 1 << 30, "-b", str(base), "-F", "qcow2")
    async with visit(browser, served.page) as there:
        await there.choose(file)
        refusal = there.page.locator("[data-refused] .error")
        slug = "not-an-image" if kind == "page" else "unsafe-image"
        await expect(refusal).to_contain_text(f"The image · {slug}")
        await expect(there.page.get_by_role("button", name="Upload 0 files")).to_be_disabled()
        assert not any("/v1/uploads" in url for url in there.requests)


async def test_names(there: Visit, disk: Path) -> None:
    """A name that the service would refuse, or that is taken, is refused while it is typed."""
    await there.choose(disk)
    name = there.field("Name")
    send = there.page.get_by_role("button", name="Upload")
    for wrong in ("Upper", "-dash", "dash-", "a.b", ""):
        await name.fill(wrong)
        await expect(name).to_have_attribute("aria-invalid", "true")
        await expect(send).to_be_disabled()
    await name.fill("right-1")
    await expect(send).to_be_enabled()
    await there.send()
    await there.state("right-1", "Ready")
    await there.choose(disk)
    await name.fill("right-1")
    await expect(there.page.get_by_text("There is an image")).to_be_visible()
    await name.fill("x" * 70)
    await expect(name).to_have_value("x" * 63)


async def test_a_checksum_that_is_none(there: Visit, disk: Path) -> None:
    """A checksum that cannot be one is refused while it is typed."""
    await there.choose(disk)
    await there.field("Checksum").fill("abc")
    await expect(there.page.get_by_role("button", name="Upload")).to_be_disabled()


async def test_import_of_a_url(there: Visit, served: Served, large: Path) -> None:
    """A URL is looked at, shows its progress while it comes, and is there in the end."""
    async with WebServer(large, stall_after=6 << 20, ranges=False) as server:
        await there.go("import/url")
        await there.page.get_by_role("textbox", name="URL").fill(server.url("/Ubuntu%2024.04.img"))
        await expect(there.page.get_by_label("Name", exact=True)).to_have_value("ubuntu-24-04")
        await expect(there.page.locator(".found.good")).to_contain_text("raw")
        await there.page.get_by_role("button", name="Import", exact=True).click()
        await there.state("ubuntu-24-04", "Transferring")
        facts = there.row("ubuntu-24-04").locator(".facts")
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
            await there.go("import/url")
            await page.get_by_role("textbox", name="URL").fill(server.url("/both.qcow2"))
            if namespace != "default":
                taken = page.get_by_text("There is an image")
                await expect(taken).to_be_visible()
                await page.get_by_label("Namespace").fill(namespace)
                await expect(taken).to_be_hidden()
            await page.get_by_role("button", name="Import", exact=True).click()
            shown = "both" if namespace == "default" else f"{namespace}/both"
            row = page.locator('.image[data-name="both"][data-phase=Ready]')
            await row.get_by_role("link", name=shown, exact=True).wait_for()


async def test_a_url_that_is_no_image(browser: Browser, served: Served) -> None:
    """A web page behind a URL is refused before an image is made of it."""
    async with (
        WebServer(b"<!doctype html>" + b" " * 4096) as server,
        visit(browser, served.page) as there,
    ):
        await there.go("import/url")
        await there.page.get_by_role("textbox", name="URL").fill(server.url("/page.qcow2"))
        await expect(there.page.locator(".error")).to_contain_text("not-an-image")
        await expect(there.page.get_by_role("button", name="Import", exact=True)).to_be_disabled()


async def test_cancel_of_an_import(there: Visit, large: Path) -> None:
    """An import that runs is stopped with one click."""
    async with WebServer(large, stall_after=6 << 20, ranges=False) as server:
        await there.ask(server.url("/slow.img"))
        await there.state("slow", "Transferring")
        await there.page.get_by_role("button", name="Cancel slow").click()
        await there.state("slow", "Cancelled")


async def test_retry_of_an_import(browser: Browser, served: Served, disk: Path) -> None:
    """A URL that is not found says so, and may be asked for all the same; retry imports it."""
    async with (
        WebServer(disk.read_bytes(), statuses=[404, 404]) as server,
        visit(browser, served.page) as there,
    ):
        await there.go("import/url")
        await there.page.get_by_role("textbox", name="URL").fill(server.url("/late.img"))
        await expect(there.page.locator(".error")).to_contain_text("The source · source-failed")
        await there.page.get_by_role("button", name="Import", exact=True).click()
        row = await there.state("late", "Failed")
        assert "The source · source-failed" in row
        await there.page.get_by_role("button", name="Retry late").click()
        await there.state("late", "Ready")


async def test_a_file_that_does_not_fit(there: Visit, tmp_path: Path) -> None:
    """A file larger than the free space is held back, and both sizes are told."""
    file = tmp_path / "vast.raw"
    with file.open("wb") as empty:
        empty.truncate(shutil.disk_usage(tmp_path).free + (64 << 30))
    await there.choose(file)
    await expect(there.page.locator(".line")).to_contain_text("too little free space")
    await expect(there.page.locator(".implied")).to_contain_text("does not fit")
    await expect(there.page.get_by_role("button", name="Upload 0 files")).to_be_disabled()


async def test_a_bucket(browser: Browser, served: Served) -> None:
    """A bucket's address asks for what a bucket needs, and that is what is sent."""
    async with visit(browser, served.page) as there:
        await there.go("import/url")
        url = there.page.get_by_role("textbox", name="URL")
        await url.fill("s3://golden/debian-12.qcow2")
        await there.page.get_by_label("Endpoint").fill("http://127.0.0.1:9")
        await there.page.get_by_label("Public bucket").check()
        asked = {
            "type": "s3",
            "url": "s3://golden/debian-12.qcow2",
            "endpoint": "http://127.0.0.1:9",
            "anonymous": True,
        }
        async with there.page.expect_request(
            lambda request: (
                request.url.endswith("/v1/inspect") and request.post_data_json == {"source": asked}
            )
        ):
            pass
        await expect(there.field("Name")).to_have_value("debian-12")
