"""What the page costs before anything is seen."""

import aiohttp
import pytest
from playwright.async_api import Browser

from tests.web.browser import Served
from tests.web.transfer import counted

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

MOST = 200 << 10
"""Bytes of the first view: under two seconds at 1 Mbit/s."""


async def test_first_view(browser: Browser, served: Served) -> None:
    """The list of images is there for less than 200 KiB; what draws and sends comes when needed."""
    context = await browser.new_context()
    try:
        page = await context.new_page()
        transfer = await counted(context, page)
        await page.goto(served.page)
        await page.locator("main h1").wait_for()
        await page.wait_for_load_state("load")
        files = {url.removeprefix(served.address): size for url, size in transfer.sizes.items()}
        assert files["/static/vendor/preact.js"] > 2 << 10, "they are not counted"
        assert not {"/static/vendor/uplot.js", "/static/vendor/tus.js"} & set(files)
        assert transfer.bytes < MOST, files
    finally:
        await context.close()


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/static/vendor/preact.js"])
async def test_files_as_http_has_them(served: Served, path: str) -> None:
    """They come compressed where that is asked for; one that is kept costs its head only."""
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(served.address, connector=connector) as http:
        plain = await (await http.get(path, headers={"Accept-Encoding": "identity"})).read()
        whole = await http.get(path, headers={"Accept-Encoding": "gzip"})
        assert whole.headers["Content-Encoding"] == "gzip"
        assert await whole.read() == plain
        known = {"If-None-Match": whole.headers["ETag"], "Accept-Encoding": "gzip"}
        kept = await http.get(path, headers=known)
        assert (kept.status, await kept.read()) == (304, b"")
        head = await http.head(path, headers={"Accept-Encoding": "gzip"})
        assert (head.status, await head.read()) == (200, b"")
        part = {"Range": "bytes=0-9", "Accept-Encoding": "gzip"}
        assert await (await http.get(path, headers=part)).read() == plain[:10]
        for answer in (whole, kept, head):
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Vary"] == "Accept-Encoding"
