"""`importer copies` and the figures of `importer classes`: tables, lines, a live table, JSON."""

import asyncio
import json
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.cli.copies import rate
from tests.api.test_copies import Told, beside_a_cluster
from tests.cli.command import Ran, environment, importer, start

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Told]:
    async with beside_a_cluster(tmp_path) as one:
        yield one


def where(told: Told) -> tuple[str, ...]:
    return "--server", told.client.base, "--data", str(told.client.data)


async def command(told: Told, *words: str) -> Ran:
    """Run ``importer`` with *words* against the service."""
    return await importer(*words, *where(told))


async def test_the_table(told: Told) -> None:
    """A row for each copy; the rate of one that runs is marked as a hint, of one that is over not.

    `--json` prints what the API answers.
    """
    await told.cloned("vm-1")
    told.clone("vm-2")
    await told.until("vm-2", "Running")
    ran = await command(told, "copies")
    assert ran.code == 0, ran
    head, running, over = ran.out.splitlines()
    heads = ["CLASS", "ENGINE", "STRATEGY", "STATE", "DONE", "RATE", "SECONDS", "WHAT"]
    assert head.split() == heads
    assert "Running: HostClone" in running
    assert re.search(r"2\.0 GiB of 8\.0 GiB +~[\d.]+ MB/s", running)
    assert "8.0 GiB of 8.0 GiB" in over
    assert "~" not in over
    assert "default/vm-1 of PersistentVolumeClaim default/golden" in over
    shown = (await command(told, "copies", "--json", "--limit", "0")).json
    assert [one["name"] for one in shown["items"]] == ["vm-2"]
    other = await command(told, "copies", "--namespace", "team")
    assert other.out.split() == heads


async def test_watching_in_a_pipe(told: Told) -> None:
    """A line for what is there, and for every change; Ctrl-C ends it."""
    one = told.clone()
    await told.until("vm-1", "Running")
    process = await start("copies", "--watch", *where(told))
    assert process.stdout
    assert b"Running: HostClone" in await process.stdout.readline()
    one.succeed()
    while b"Done" not in (line := await process.stdout.readline()):
        assert b"Running" in line
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"interrupted\n")


async def test_watching_as_json(told: Told) -> None:
    """Each copy that changed, as the API has it, one a line."""
    await told.cloned("vm-1")
    process = await start("copies", "--watch", "--json", *where(told))
    assert process.stdout
    copy = json.loads(await process.stdout.readline())
    assert (copy["name"], copy["state"], copy["basis"]) == ("vm-1", "Done", "inferred")
    process.kill()
    await process.communicate()


async def test_watching_on_a_terminal(told: Told) -> None:
    """One table that is kept up to date, in the place of lines that pile up."""
    master, slave = pty.openpty()
    words = ("-m", "importer", "copies", "--watch", *where(told))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=slave, stderr=slave, env=environment()
    )
    os.close(slave)
    text, news, loop = bytearray(), asyncio.Event(), asyncio.get_running_loop()

    def take() -> None:
        text.extend(os.read(master, 65536))
        news.set()

    async def until(word: str) -> str:
        while word not in (shown := _ESCAPES.sub("", text.decode(errors="replace"))):
            news.clear()
            await news.wait()
        return shown

    loop.add_reader(master, take)
    try:
        await until("no copies yet")
        one = told.clone()
        await until("Running: HostClone")
        one.succeed()
        assert "8.0 GiB of 8.0 GiB" in await until("Done")
        assert b"\x1b[2K" in text  # lines are drawn over
    finally:
        loop.remove_reader(master)
        process.kill()
        await process.wait()
        os.close(master)


async def test_watching_no_service() -> None:
    """Where nobody answers at all, nobody is waited for."""
    ran = await importer("copies", "--watch", "--server", "http://127.0.0.1:1")
    assert (ran.code, "unreachable" in ran.err) == (1, True)


async def test_classes(told: Told) -> None:
    """Room first, then what imports and copies came to; `--json` has both."""
    await told.cloned("vm-1")
    ran = await command(told, "classes")
    assert ran.code == 0, ran
    first, second = ran.out.split("\n\n")
    assert "PROVISIONER" in first
    assert "SLOWEST PHASE" in second
    row = next(line for line in second.splitlines() if line.startswith("ceph"))
    assert "host-assisted: 1 done" in row
    assert "Done" in row
    told_as_json = (await command(told, "classes", "--json")).json
    names = {one["name"] for one in told_as_json["items"]}
    assert names == {one["storageClass"] for one in told_as_json["reports"]} == {"local", "ceph"}


@pytest.mark.parametrize(
    ("known", "hint", "text"),
    [(None, False, ""), (0.0, True, ""), (1.5e6, False, "1.5 MB/s"), (1.5e6, True, "~1.5 MB/s")],
)
def test_rates(known: float | None, hint: bool, text: str) -> None:
    """A rate that nobody knows is none; one that comes from a percentage says so."""
    assert rate(known, hint=hint) == text
