"""Whether those who do not see, or do not use a mouse, can use the page: axe-core, run in it.

axe comes inside the wheel of `axe-playwright-python`, as Deque publishes it.
"""

from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

GRAVE = ("serious", "critical")
RULES = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
"""WCAG 2.2 AA, and what axe holds for good practice."""

SETTLED = """() => Promise.all(
    document.getAnimations()
        .filter((one) => one.effect?.getComputedTiming().endTime !== Infinity)
        .map((one) => one.finished.catch(() => {})),
)"""
"""A colour half-way through its transition has a contrast that nobody reads."""


async def assert_accessible(page: Page) -> None:
    """Fail with what axe finds serious or critical on *page* as it stands."""
    await page.evaluate(SETTLED)
    results = await Axe().run(page, options=RULES)
    grave = [one for one in results.response["violations"] if one["impact"] in GRAVE]
    assert not grave, "\n".join(map(told, grave))


def told(violation: dict[str, Any]) -> str:
    """Return what is wrong, and each element that it is wrong with."""
    places = [f"    {node['target']}: {node['failureSummary']}" for node in violation["nodes"]]
    return "\n".join([f"{violation['id']} ({violation['impact']}): {violation['help']}", *places])
