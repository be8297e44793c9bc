"""Debian's Chromium, the real service as a process, and what a person does with the page."""

import asyncio
import base64
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import (
    Browser,
    CDPSession,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    async_playwright,
)
from playwright.async_api import TimeoutError as PlaywrightTimeout

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DROP = """([name, base64]) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name));
    const event = {dataTransfer, bubbles: true, cancelable: true};
    for (const kind of ["dragenter", "dragover", "drop"]) {
        document.querySelector("main").dispatchEvent(new DragEvent(kind, event));
    }
}"""


@dataclass(frozen=True, slots=True)
class Served:
    """A service that runs."""

    address: str
    token: str
    data: Path
    process: asyncio.subprocess.Process

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.address.rpartition(":")[2])

    async def stop(self) -> None:
        """Stop it as its owner would."""
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()

    @property
    def page(self) -> str:
        """The page's address with its token, as the service's owner gets it."""
        return f"{self.address}/#token={self.token}"


@asynccontextmanager
async def serving(data: Path, port: int = 0, **settings: str) -> AsyncIterator[Served]:
    """Run ``importer serve`` on *data*; *settings* are environment variables."""
    command = Path(sys.executable).with_name("importer")
    ours = {
        "IMPORTER_LOG_FORMAT": "json",
        "IMPORTER_LIMITS_FREE_SPACE": "0",
        "IMPORTER_SERVICE_GRACE": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *(str(command), "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}"),
        env={**os.environ, **ours, **settings},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    address = json.loads(await process.stderr.readline())["address"]
    rest = asyncio.create_task(process.stderr.read())  # a full pipe would stop the service
    running = Served(address, (data / "token").read_text().strip(), data, process)
    try:
        yield running
    finally:
        await running.stop()
        await rest


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run Chromium without a window."""
    with tempfile.TemporaryDirectory(prefix="browser-") as home:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=list(ARGUMENTS),
                env={**os.environ, "HOME": home},
            )
            try:
                yield browser
            finally:
                await browser.close()


@dataclass
class Visit:
    """A page that is open, and what it did."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Warnings and errors on the console, and exceptions that nobody caught."""

    requests: list[str] = field(default_factory=list)
    network: CDPSession | None = None

    def hear(self, message: ConsoleMessage) -> None:
        """Note what is wrong on the console."""
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def see(self, request: Request) -> None:
        """Note where a request went."""
        self.requests.append(request.url)

    async def go(self, page: str) -> None:
        """Go to one of the pages by its address, as ``images`` or ``import/url``."""
        await self.page.evaluate("page => { location.hash = `#/${page}` }", page)

    async def choose(self, *files: Path) -> None:
        """Choose *files* on the import page."""
        await self.go("import")
        await self.give(self.page.get_by_role("button", name="Choose files"), *files)

    async def give(self, button: Locator, *files: Path) -> None:
        """Press a *button* that asks for files, and give it *files*."""
        async with self.page.expect_file_chooser() as waiting:
            await button.click()
        await (await waiting.value).set_files(list(files))

    async def upload(self, file: Path, **fields: str) -> None:
        """Choose a file, fill in *fields* by their labels, and send it."""
        await self.choose(file)
        for label, text in fields.items():
            await self.field(label.capitalize()).fill(text)
        await self.send()

    def field(self, label: str) -> Locator:
        """The field of that label, optional or not."""
        return self.page.get_by_label(re.compile(rf"^{label}( \(optional\))?$"))

    async def send(self) -> None:
        """Send what is chosen; the list of images follows."""
        await self.page.get_by_role("button", name=re.compile("^Upload [0-9]+ file")).click()
        await self.page.get_by_role("heading", name="Images", exact=True).wait_for()

    async def ask(self, url: str, name: str | None = None) -> None:
        """Import what is at *url*, past the form: as a program would."""
        spec = {"source": {"type": "url", "url": url}}
        name = name or url.rpartition("/")[2].partition(".")[0]
        await self.page.evaluate(
            """async (request) => {
                const {create} = await import("/static/api.js");
                await create(request);
            }""",
            {"name": name, "spec": spec},
        )

    def uploading(self, name: str, state: str | None = None) -> Locator:
        """The line that tells of an upload, in *state* where one is named."""
        state = f"[data-state={state}]" if state else ""
        return self.page.locator(f'[data-upload="{name}"]{state}')

    def row(self, name: str) -> Locator:
        """The row of an image."""
        return self.page.locator(f'.image[data-name="{name}"]')

    async def slow_down(self, bytes_per_second: int) -> None:
        """Let the network take no more than that."""
        # One session: what another one has set would stay.
        self.network = self.network or await self.page.context.new_cdp_session(self.page)
        limits = {"offline": False, "latency": 0, "downloadThroughput": -1}
        await self.network.send(
            "Network.emulateNetworkConditions", {**limits, "uploadThroughput": bytes_per_second}
        )

    async def drop(self, file: Path) -> None:
        """Drop *file* on the page."""
        content = base64.b64encode(file.read_bytes()).decode()
        await self.page.evaluate(DROP, [file.name, content])

    async def state(self, name: str, phase: str) -> str:
        """Wait until the image *name* is in *phase*, and return all that its row says."""
        row = self.row(name)
        try:
            await row.and_(self.page.locator(f"[data-phase={phase}]")).wait_for()
        except PlaywrightTimeout:
            shown = await self.page.locator(".images").inner_text()
            raise AssertionError(f"{name} did not become {phase}:\n{shown}") from None
        return await row.inner_text()


@asynccontextmanager
async def visit(browser: Browser, address: str, **options: object) -> AsyncIterator[Visit]:
    """Open *address* in a browser that has seen nothing yet; *options* are its context's."""
    context = await browser.new_context(**options)  # type: ignore[arg-type]
    try:
        # Playwright gives files to fields only, not to the picker that also gives handles.
        await context.add_init_script("delete globalThis.showOpenFilePicker")
        page = await context.new_page()
        page.set_default_timeout(15_000)
        seen = Visit(page)
        page.on("console", seen.hear)
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("request", seen.see)
        await page.goto(address)
        yield seen
    finally:
        await context.close()
