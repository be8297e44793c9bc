"""The page in the reader's language."""

import pytest
from playwright.async_api import Browser, Page

from tests.web.browser import Served, visit
from tests.web.test_words import words

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

SPEAK = """async (language) => {
    const {load} = await import("/static/i18n/index.js");
    const t = await load(language);
    return [
        t("images.count", {count: 1}), t("images.count", {count: 1234}),
        t.size(0), t.size(1536), t.size(64 * 2 ** 20),
        t.rate(2.5e6), t.rate(4.12e8), t.rate(1.25e9),
        t.duration(0.2), t.duration(59), t.duration(125), t.duration(7384),
        t.share(999, 1000), t.ago(new Date(Date.now() - 5 * 60e3).toISOString()),
        document.documentElement.lang,
    ];
}"""


ENGLISH = """
1 image|1,234 images|0 B|1.5 KiB|64 MiB|2.5 MB/s|412 MB/s|1.3 GB/s
under 1 s|59 s|2 min 5 s|2 h 3 min|99%|5 min. ago|en
"""
CHINESE = """
1 个镜像|1,234 个镜像|0 B|1.5 KiB|64 MiB|2.5 MB/s|412 MB/s|1.3 GB/s
不到 1 秒|59 秒|2 分 5 秒|2 小时 3 分|99%|5分钟前|zh-CN
"""


@pytest.mark.parametrize(("language", "said"), [("en", ENGLISH), ("zh-CN", CHINESE)])
async def test_numbers_and_times(
    browser: Browser, served: Served, language: str, said: str
) -> None:
    """Plurals, sizes, rates and times are written as each language writes them."""
    async with visit(browser, served.page) as there:
        assert await there.page.evaluate(SPEAK, language) == [
            each for line in said.split("\n") for each in line.split("|") if each
        ]


async def heading(page: Page) -> str:
    """Return what the page is called in its language."""
    return await page.locator("h1").inner_text()


async def test_the_language_is_the_browsers(browser: Browser, served: Served) -> None:
    """A browser that asks for Chinese gets it, and says so to screen readers."""
    async with visit(browser, served.page, locale="zh-CN") as there:
        assert await heading(there.page) == words("zh-CN")["images.title"][0]
        assert await there.page.locator("html").get_attribute("lang") == "zh-CN"
        assert there.complaints == []


async def test_a_language_without_words(browser: Browser, served: Served) -> None:
    """A browser that asks for what there is not gets English."""
    async with visit(browser, served.page, locale="fi-FI") as there:
        assert await heading(there.page) == words("en")["images.title"][0]


async def test_the_choice_is_remembered(browser: Browser, served: Served) -> None:
    """Who chooses a language has it at once, after a reload too, and nothing is kept before."""
    async with visit(browser, served.page) as there:
        assert await there.page.evaluate("localStorage.length") == 0
        await there.page.get_by_label("Language").select_option("zh-CN")
        await there.page.get_by_role("heading", name="镜像", exact=True).wait_for()
        await there.page.reload()
        await there.page.get_by_role("heading", name="镜像", exact=True).wait_for()
        assert await there.page.locator("html").get_attribute("lang") == "zh-CN"
