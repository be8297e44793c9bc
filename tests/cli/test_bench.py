"""`importer bench` against the real service: its table, its JSON, its refusals, Ctrl-C."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.cli.bench import size_of
from importer.errors import CallerError
from importer.units import GiB, MiB
from tests.cli.command import Ran, importer, start
from tests.servers.gated import Gate, gated
from tests.servers.running import Client, config, running

TWO = {"classes": ["one=images", "two=more"]}
SMALL = ("bench", "--size", "8MiB", "--storage-class")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(config(tmp_path / "data", local=TWO)) as client:
        yield client


def where(service: Client) -> tuple[str, ...]:
    return "--server", service.base, "--data", str(service.data)


async def bench(service: Client, *words: str) -> Ran:
    """Run a small bench against *service*."""
    return await importer(*SMALL, *words, *where(service))


async def test_classes_side_by_side(service: Client) -> None:
    """A row for every turn, and the median of every class that had several."""
    ran = await bench(service, "one", "--storage-class", "two", "--runs", "2")
    assert ran.code == 0, ran
    head, columns, *rows = ran.out.splitlines()
    assert head.startswith("disk of 8.0 MiB, 4.0 MiB of it data")
    assert columns.split()[:5] == ["CLASS", "ENGINE", "RUN", "IMPORT", "RATE"]
    turns = [("one", "1"), ("two", "1"), ("one", "2"), ("two", "2")]
    turns += [("one", "median"), ("two", "median")]
    assert [(row.split()[0], row.split()[2]) for row in rows] == turns
    assert "of 2 and 2" in rows[-1]
    assert "bench: one, run 1 of 2" in ran.err


async def test_json(service: Client) -> None:
    """`--json` prints the whole bench as the API has it, and no progress."""
    ran = await bench(service, "one", "--data-share", "0", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["state"] == "Done"
    assert ran.json["data"] == 0
    assert ran.json["runs"][0]["imported"]["wire"]


async def test_refusals(service: Client) -> None:
    """The service's own words; what cannot be meant is refused before it is asked."""
    unknown = await bench(service, "elsewhere")
    assert (unknown.code, "unknown-storage-class" in unknown.err) == (1, True)
    twice = await bench(service, "one", "--storage-class", "one")
    assert (twice.code, "named twice" in twice.err) == (1, True)
    share = await bench(service, "one", "--data-share", "2")
    assert (share.code, "dataShare" in share.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 4 * GiB), ("512m", 512 * MiB), ("4096", 4096), ("1KB", 1024)]
)
def test_sizes(text: str, size: int) -> None:
    """They are read in every usual spelling."""
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "0", "GiB", "1.5G", "-1", "4 GiB"])
def test_no_sizes(text: str) -> None:
    """What is no size is refused by name."""
    with pytest.raises(CallerError, match="--size"):
        size_of(text)


async def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends the bench, and the command waits until all of it is gone."""
    ours, gate = config(tmp_path / "data", local=TWO), Gate("after copy")
    async with running(ours, gated(ours, gate)) as service:
        process = await start(*SMALL, "one", *where(service))
        await gate.reached.wait()
        process.send_signal(signal.SIGINT)
        assert process.stderr
        while b"waiting until" not in (line := await process.stderr.readline()):
            assert line
        id = line.split()[1].decode()
        while (await service.ask("GET", f"/v1/bench/{id}"))[1]["state"] == "Running":
            await asyncio.sleep(0.01)  # it says that it ends the bench before it asks for that
        gate.opened.set()
        _, err = await process.communicate()
        assert process.returncode == 130
        assert b"was ended before its time" in err
        assert await service.names() == {}
        assert service.files() == []


async def test_a_service_that_is_started_anew(tmp_path: Path) -> None:
    """The bench is gone with the service that ran it, and the command says so."""
    data = tmp_path / "data"
    ours, gate = config(data, local=TWO), Gate("after copy")
    async with running(ours, gated(ours, gate)) as service:
        process = await start(*SMALL, "one", *where(service))
        await gate.reached.wait()
        service.service.benches._bench = None
        _, err = await asyncio.wait_for(process.communicate(), 20)
        gate.opened.set()
    assert process.returncode == 1
    assert b"started anew" in err
