"""axe-core finds nothing serious, whatever the page looks like."""

import re

import pytest
from playwright.async_api import Browser

from tests.web.access import assert_accessible
from tests.web.browser import Served, visit

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

SPOIL = """() => {
    const main = document.querySelector("main");
    main.innerHTML = "<p>grey</p><input>";
    Object.assign(main.firstChild.style, {color: "#999", background: "#aaa"});
}"""


async def test_axe_finds_a_fault(browser: Browser, served: Served) -> None:
    """A field without words and grey on grey are found, so that silence means something."""
    async with visit(browser, served.page) as there:
        await there.page.locator(".link[data-state=up]").wait_for()
        await there.page.evaluate(SPOIL)
        with pytest.raises(AssertionError) as found:
            await assert_accessible(there.page)
        rules = re.findall(r"^([\w-]+) \(", str(found.value), re.MULTILINE)
        assert {"color-contrast", "label"} <= set(rules)
