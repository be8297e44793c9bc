"""Storage classes side by side, their copies, and the live graph."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from tests.servers.web import WebServer
from tests.web.browser import Served, Visit, visit
from tests.web.copying import Copying, copied, over, reported, strategy

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

SENDING = {"name": "Transferring", "seconds": 31.2, "share": 0.71}
PIXELS = """() => {
    const drawn = document.querySelector(".plot canvas");
    const canvas = Object.assign(document.createElement("canvas"), {width: 1200, height: 400});
    const context = canvas.getContext("2d", {willReadFrequently: true});
    context.drawImage(drawn, 0, 0);
    const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set();
    for (let at = 0; at < data.length; at += 4) {
        if (data[at + 3] > 200) colours.add(data.slice(at, at + 3).join());
    }
    return [...colours];
}"""
"""Every opaque colour of the graph."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster(served: Served) -> AsyncIterator[Copying]:
    """The service, and before it what a cluster would tell of the class ``local``."""
    report = reported(
        "local",
        21,
        6.1e8,
        failed=3,
        slowestPhase=SENDING,
        failures={"checksum-mismatch": 1, "no-space": 2},
        copies=[
            strategy("csi-clone", 5.2e8, basis="inferred", done=14, active=1),
            strategy("import", 1.1e8, done=21),
        ],
    )
    async with Copying(served, [over("vm-0", 300)], [report]) as running:
        yield running


async def classes(page: Page) -> Locator:
    """Show the page, and return the line of the class ``local``."""
    await page.get_by_role("link", name="Storage classes").click()
    line = page.get_by_role("table", name="Storage classes").get_by_role("row")
    return line.filter(has=page.get_by_role("rowheader", name="local"))


async def test_what_a_class_came_to(browser: Browser, cluster: Copying) -> None:
    """Rate, counts, slowest phase and failures by reason, the most frequent first."""
    async with visit(browser, cluster.page) as there:
        line = await classes(there.page)
        await expect(line).to_contain_text("610 MB/s")
        await expect(line).to_contain_text("21 ready · 3 failed")
        await expect(line).to_contain_text("Transferring 31.2 s, 71% of the time")
        await expect(line).to_contain_text(re.compile(r"no-space . 2.*checksum-mismatch . 1"))
        await expect(line).to_contain_text(re.compile(r"520 MB/s.*inferred.*CSI clone"))
        await expect(line).not_to_contain_text("110 MB/s")
        await expect(line).to_contain_text(re.compile(r"GiB of .*GiB free"))
        assert there.complaints == []


async def test_a_copy_that_runs(browser: Browser, cluster: Copying) -> None:
    """It appears, goes on, stalls, and is over as the stream tells; then figures are asked for."""
    async with visit(browser, cluster.page) as there:
        await classes(there.page)
        line = there.page.locator(".volumes [data-name=vm-1]")
        done = there.page.locator(".volumes [data-name=vm-0]")
        await expect(done).to_contain_text("Done")
        await cluster.tell(copied("vm-1", done=2 << 30, seconds=10.0))
        await expect(line).to_contain_text("2 GiB of 8 GiB")
        await expect(line.locator(".chip")).to_have_text("hint")
        await cluster.tell(copied("vm-1", done=6 << 30, seconds=30.0, idleSeconds=45.0))
        await expect(line).to_contain_text("6 GiB of 8 GiB")
        await expect(line).to_contain_text("no progress for 45 s")
        blind = there.page.get_by_text("Cannot be looked at just now: volumes.")
        await expect(blind).to_have_count(0)
        asked, cluster.watching = cluster.asked, {"datavolumes": True, "volumes": False}
        await cluster.tell(over("vm-1", 0, state="Failed", error="<b>no room</b>", reason="other"))
        await expect(line).to_contain_text("<b>no room</b>")
        await expect(blind).to_be_visible()
        assert cluster.asked == asked + 1
        assert there.complaints == []


async def test_the_live_graph(browser: Browser, cluster: Copying) -> None:
    """What runs is drawn, one colour a class, in the colours of the scheme; a hint says so."""
    async with visit(browser, cluster.page, color_scheme="dark") as there:
        await classes(there.page)
        await expect(
            there.page.get_by_text("The graph begins when something runs.")
        ).to_be_visible()
        await cluster.tell(copied("vm-2", storageClass="fast", basis="measured", isHint=False))
        await cluster.tell(copied("vm-3", storageClass="slow"))
        graph = there.page.get_by_role("img", name="Rates of the storage classes")
        await expect(graph.locator("canvas")).to_be_visible()
        legend = there.page.locator(".legend li")
        await expect(legend.filter(has_text="slow")).to_contain_text(re.compile("215 MB/s.*hint"))
        await expect(legend.filter(has_text="fast")).not_to_contain_text("hint")
        await there.page.wait_for_function(f"() => ({PIXELS})().includes('122,162,255')")
        await cluster.tell(over("vm-2", 0))
        await cluster.tell(over("vm-3", 0))
        assert there.complaints == []


async def test_the_graph_forgets(browser: Browser, cluster: Copying) -> None:
    """Five minutes after the last byte there is nothing to draw, and nothing is sampled."""
    async with visit(browser, cluster.page) as there:
        await there.page.clock.install()
        await there.page.evaluate(SAMPLE)
        await there.page.clock.run_for(5_000)
        assert await there.page.evaluate("rates.samples.value.length") == 5
        await there.page.evaluate("model.running = []")
        await there.page.clock.run_for(200_000)
        assert await there.page.evaluate("rates.samples.value.length") == 205
        await there.page.clock.run_for(100_000)
        assert await there.page.evaluate("rates.samples.value") == []


SAMPLE = """async () => {
    const {Rates} = await import("/static/rates.js");
    const copy = {uid: "1", strategy: "snapshot", done: 0, bytesPerSecond: 5, storageClass: "a"};
    globalThis.model = {
        running: [copy],
        images: {all: {peek: () => []}},
        copies: {running: {peek: () => model.running}},
    };
    globalThis.rates = new Rates(model);
}"""
"""The sampler alone, on the test's clock."""


async def test_an_import_that_failed(there: Visit) -> None:
    """The class says how many did, and why."""
    async with WebServer(b"<!doctype html>" + b" " * 4096) as server:
        source = {"type": "url", "url": server.url("/page.img")}
        await there.page.evaluate(CREATE, {"name": "page", "spec": {"source": source}})
        await there.state("page", "Failed")
    line = await classes(there.page)
    await expect(line).to_contain_text("1 failed")
    await expect(line).to_contain_text(re.compile("not-an-image . 1"))


CREATE = """async (image) => {
    const {create} = await import("/static/api.js");
    await create(image);
}"""


async def test_rates_that_plans_reckon_with(there: Visit) -> None:
    """The rates of every storage class are one key away."""
    await classes(there.page)
    fold = there.page.locator(".planned")
    await expect(fold.get_by_role("table")).to_be_hidden()
    await fold.locator("summary").focus()
    await there.page.keyboard.press("Enter")
    row = fold.get_by_role("row", name="local")
    await expect(row.get_by_role("cell")).to_have_count(5)
    await expect(row).to_contain_text(re.compile(r"\d [MG]B/s"))
