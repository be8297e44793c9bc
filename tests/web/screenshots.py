"""Pictures of every page, to be looked at: ``python -m tests.web.screenshots FOLDER [PAGE...]``.

Each page light and dark, on a desk and on a phone, in both languages. For Chinese a font is needed
that has it (Debian: fonts-noto-cjk).
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser

from tests.web.browser import chromium, visit
from tests.web.scene import scene

PAGES = {
    "images": "#/images",
    "import": "#/import",
    "url": "#/import/url",
    "detail": "#/images/default/debian-12",
    "running": "#/images/default/windows-2022",
    "failed": "#/images/default/fedora-41",
    "classes": "#/classes",
    "activity": "#/activity",
}
LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "chinese": {"viewport": {"width": 1280, "height": 860}, "locale": "zh-CN"},
}
GRAPH = 12_000
"""Milliseconds after which a graph has something to show."""


async def shoot(browser: Browser, address: str, look: str, pages: list[str], folder: Path) -> None:
    """Take *pages* in one *look*."""
    async with visit(browser, address, **LOOKS[look]) as there:
        await there.page.locator(".link[data-state=up]").wait_for()
        await there.page.wait_for_timeout(GRAPH)
        for name in pages:
            await there.page.evaluate("hash => { location.hash = hash }", PAGES[name])
            await there.page.wait_for_timeout(700)
            await there.page.screenshot(path=folder / f"{name}-{look}.png", full_page=True)
        print(look, there.complaints)


async def main(folder: Path, pages: list[str], looks: list[str]) -> None:
    """Take all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as root:
        async with scene(Path(root)) as page, chromium() as browser:
            for look in looks:
                await shoot(browser, page.page, look, pages, folder)


if __name__ == "__main__":
    words = sys.argv[2:]
    asyncio.run(
        main(
            Path(sys.argv[1]),
            [word for word in words if word in PAGES] or list(PAGES),
            [word for word in words if word in LOOKS] or list(LOOKS),
        )
    )
