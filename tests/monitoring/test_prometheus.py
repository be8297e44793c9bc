"""A real Prometheus with our rules: every recording is the script's, every panel has an answer."""

import math
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from deploy.monitoring.dashboard import dashboard
from deploy.monitoring.recordings import beside_last_week, live
from tests import images
from tests.monitoring.history import BEFORE, CLASS, DAY, LAST_DAY, WAYS, MiB, blocks, told
from tests.monitoring.prometheus import Prometheus, prometheus
from tests.servers.running import Client, config, running

TOKEN = "scrape-me"
MINUTE = 60
RECORDED = [recording.name for recording in (*live(), *beside_last_week())]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A service that Prometheus may scrape."""
    settings = config(tmp_path / "data", service={"scrape_token": TOKEN})
    async with running(settings) as client:
        yield client


@pytest.fixture(scope="module")
def nine_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, Path]:
    """When the history ended, just now, and the folder that it is in."""
    folder, end = tmp_path_factory.mktemp("history"), time.time() - 1
    blocks(told(end), folder)
    return end, folder


@pytest.fixture
async def asked(
    client: Client, tmp_path: Path, nine_days: tuple[float, Path]
) -> AsyncIterator[Prometheus]:
    """A Prometheus that knows nine days of another service, and scrapes this one."""
    end, folder = nine_days
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    target = client.base.removeprefix("http://")
    async with prometheus(target, TOKEN, tmp_path, end) as asked:
        yield asked


def shares(sizes: dict[str, float]) -> dict[str, float]:
    flowing = sizes["Inspecting"] + sizes["Transferring"]
    return {side: sizes[side] / flowing for side in ("source", "target")}


def expected(period: str, sizes: dict[str, float]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, labels and value of what is recorded of a period."""
    sent, disk = sizes["wire"], sizes["wire"] + sizes["skipped"]
    whole = sizes["Transferring"] + sizes["Processing"]
    yield f"importer_wire_bytes_per_second:{period}", {}, sent / sizes["Transferring"]
    yield f"importer_guest_bytes_per_second:{period}", {}, disk / whole
    for strategy, basis in WAYS.items():
        labels = {"strategy": strategy, "basis": basis}
        rate = sizes["copied"] / sizes["copying"]
        yield f"importer_copy_bytes_per_second:{period}", labels, rate
    for phase in ("Inspecting", "Preparing", "Transferring", "Processing"):
        yield f"importer_phase_seconds:mean_{period}", {"phase": phase}, sizes[phase]
    for side, share in shares(sizes).items():
        yield f"importer_stall:share_{period}", {"side": side}, share


def of_now() -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield the same of what is recorded of the last minutes: an import and two copies in each."""
    for hop in ("source", "wire", "written", "skipped"):
        size = LAST_DAY["skipped" if hop == "skipped" else "wire"]
        yield "importer_bytes:rate5m", {"hop": hop}, size / MINUTE
    for side in ("source", "target"):  # One import is in Transferring all the time.
        yield "importer_stall:share_15m", {"side": side}, LAST_DAY[side] / MINUTE
    for strategy, basis in WAYS.items():
        labels = {"strategy": strategy, "basis": basis}
        rate = LAST_DAY["copied"] / LAST_DAY["copying"]
        yield "importer_copy_bytes_per_second:1h", labels, rate


async def test_every_recording_is_the_scripts(asked: Prometheus) -> None:
    """Rates, seconds, shares are what the script did: in minutes, in a day, in the week before."""
    values = [*expected("1d", LAST_DAY), *expected("week_before", BEFORE)]
    for name, labels, value in values:
        (found,) = await asked.until(f"storage_class:{name}{{{matching(labels)}}}")
        assert float(found["value"][1]) == pytest.approx(value, rel=1e-6), (name, labels)
    names = {f"storage_class:{name}" for name, _, _ in values}
    for name in set(RECORDED) - names:  # How many: of as many steps as the script has.
        (found, *_) = await asked.until(f"{name}{{{matching({})}}}")
        assert float(found["value"][1]) > 0, name
    exprs = {recording.name: recording.expr for recording in live()}
    for name, labels, value in of_now():  # At the script's end, which is some seconds ago.
        found = await asked.ask(exprs[f"storage_class:{name}"], asked.end)
        values = [
            float(one["value"][1]) for one in found if labels.items() <= one["metric"].items()
        ]
        assert values == [pytest.approx(value, rel=1e-6)], (name, labels)


def matching(labels: dict[str, str]) -> str:
    wanted = {"storage_class": CLASS.name, "engine": CLASS.engine, **labels}
    return ", ".join(f'{label}="{text}"' for label, text in wanted.items())


async def test_alerts_that_are_due_wait_for_their_time(asked: Prometheus) -> None:
    """The class is slower than last week and its imports fail: both are told, the rest is not."""
    for name in ("ImporterImportsSlower", "ImporterCopiesSlower"):
        (found, *_) = await asked.until(f'ALERTS{{alertname="{name}", alertstate="pending"}}')
        assert found["metric"]["storage_class"] == CLASS.name
    for name in ("ImporterImportsFail", "ImporterCopiesFail"):
        (found, *_) = await asked.until(f'ALERTS{{alertname="{name}", alertstate="firing"}}')
        assert found["metric"]["reason"] in ("no-space", "clone-error")
    await asked.until('up unless on () ALERTS{alertname="ImporterDown"}')  # once it was scraped
    due = {one["metric"]["alertname"] for one in await asked.ask("ALERTS")}
    assert due == {
        *("ImporterImportsSlower", "ImporterCopiesSlower"),
        *("ImporterImportsFail", "ImporterCopiesFail"),
    }


async def test_the_first_import_of_a_class_counts(
    client: Client, asked: Prometheus, tmp_path: Path
) -> None:
    """increase() sees the first image of a class, its bytes and its failure: no series is new."""
    of = 'storage_class="local"'
    await asked.until(f"importer_images_total{{{of}}} == 0")
    disk = images.raw(tmp_path / "d.raw", 4 * MiB, data=4 * MiB).read_bytes()
    assert (await client.put("disk", disk))[0] == 200
    assert (await client.put("bad", b"no image"))[0] == 422
    await asked.until(f"storage_class:importer_imports:1d{{{of}}} > 0")
    await asked.until(f"storage_class:importer_wire_bytes_per_second:1d{{{of}}} > 0")
    (found,) = await asked.until(f"storage_class:importer_failed_imports:1d{{{of}}}")
    assert found["metric"]["reason"] == "not-an-image"


async def test_every_panel_has_an_answer(asked: Prometheus) -> None:
    """Each query of each panel, with the variables as Grafana fills them in, returns numbers."""
    for name in ("up", *RECORDED):
        await asked.until(name)
    listed = [one for one in dashboard()["templating"]["list"] if one["type"] == "query"]
    chosen = {one["name"]: f"({'|'.join(await values_of(asked, one))})" for one in listed}
    everything = {one["name"]: one["allValue"] for one in listed}
    panels = [one for one in dashboard()["panels"] if one["type"] != "row"]
    assert len(panels) > 20
    queries = [(panel["title"], query) for panel in panels for query in panel["targets"]]
    for (title, query), variables in product(queries, (chosen, everything)):
        found = await answer(asked, query, variables)
        assert any(numbers(one) for one in found), (title, query["expr"])


async def answer(
    asked: Prometheus, query: dict[str, Any], variables: dict[str, str]
) -> list[dict[str, Any]]:
    """Return what a panel gets for *query*, of the last day where it draws a line."""
    expr = query["expr"]
    for name, value in variables.items():
        expr = expr.replace(f"${name}", value)
    assert "$" not in expr
    end = time.time()
    return await (asked.ask(expr) if query["instant"] else asked.over(expr, end - DAY, end))


async def values_of(asked: Prometheus, variable: dict[str, Any]) -> list[str]:
    """Return what a variable of the dashboard offers; each must offer something."""
    metric, _, label = variable["definition"][len("label_values(") : -1].partition(", ")
    assert label == variable["name"]
    found = await asked.labels(metric, label)
    assert found, variable["name"]
    return found


def numbers(series: dict[str, Any]) -> list[float]:
    """Return the values of *series* that are numbers."""
    points = series.get("values") or [series["value"]]
    return [float(value) for _, value in points if not math.isnan(float(value))]
