"""The command line against the real service: every command, its output and its exit code."""

import asyncio
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.units import GiB, MiB
from tests import images
from tests.cli.command import Ran, importer, start
from tests.cli.terminal import terminal
from tests.servers.running import Client, config, running
from tests.servers.web import WebServer


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(config(tmp_path / "data", jobs={"workers": 2})) as client:
        yield client


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return images.raw(tmp_path / "Disk_1.raw")


async def command(service: Client, *words: str | Path) -> Ran:
    """Run ``importer`` with *words* against *service*."""
    where = ("--server", service.base, "--data", str(service.data))
    return await importer(*map(str, words), *where)


async def test_upload_makes_an_image(service: Client, disk: Path) -> None:
    """A file becomes an image named after it, and one line says all about it."""
    ran = await command(service, "upload", disk, "--as-is")
    assert ran.code == 0, ran
    digest = hashlib.sha256(disk.read_bytes()).hexdigest()
    assert ran.out.startswith("disk-1: raw, virtual size 8.0 MiB, size 8.0 MiB, ")
    assert f"MB/s, sha256 {digest}, " in ran.out
    assert "Uploading: " in ran.err
    assert (service.data / "images/disk-1.raw").read_bytes() == disk.read_bytes()


async def test_import_makes_an_image(service: Client, disk: Path) -> None:
    """A URL becomes an image; `--json` prints just the image, as the API has it."""
    async with WebServer(disk) as web:
        url = web.url("/a%20path/Disk_2.raw?secret=hidden")
        ran = await command(service, "import", url, "--json")
    assert ran.code == 0, ran
    assert ran.json["name"] == "disk-2"
    assert ran.json["status"]["phase"] == "Ready"
    assert "hidden" not in ran.out + ran.err
    assert ran.err == ""


async def test_import_no_wait(service: Client, disk: Path) -> None:
    """With --no-wait the service goes on alone; watch follows it, and prints every change."""
    async with WebServer(disk, stall_after=MiB) as web:
        ran = await command(service, "import", web.url(), "--name", "later", "--no-wait")
        assert ran.out == "later is Pending\n"
        web.released.set()
        ran = await command(service, "watch", "later", "--json")
    assert ran.code == 0, ran
    assert ran.json["status"]["phase"] == "Ready"


async def test_upload_refused_for_its_checksum(service: Client, disk: Path) -> None:
    """A wrong checksum is the image's fault: exit code 3, and the message has both values."""
    wrong = "sha256:" + "0" * 64
    ran = await command(service, "upload", disk, "--checksum", wrong)
    assert ran.code == 3, ran
    assert "expected " + "0" * 64 in ran.err
    assert "(checksum-mismatch, image)" in ran.err


async def test_upload_of_no_image(service: Client, tmp_path: Path) -> None:
    """Bytes that are no disk are refused, exit code 3, and nothing is left."""
    text = tmp_path / "letter.qcow2"
    text.write_bytes(b"QFI\xfb" + b"Dear all" * MiB)
    ran = await command(service, "upload", text, "--json")
    assert ran.code == 3, ran
    assert ran.json["error"]["side"] == "image"
    assert service.files() == []


async def test_upload_of_a_name_taken(service: Client, disk: Path) -> None:
    """A name that is taken is refused with exit code 1, and the first image stays."""
    assert (await command(service, "upload", disk)).code == 0
    ran = await command(service, "upload", disk)
    assert (ran.code, service.files()) == (1, ["disk-1.raw"])
    assert "(name-taken, caller)" in ran.err


async def test_look_and_delete(service: Client, disk: Path) -> None:
    """list, show and classes print what is there, and delete removes it."""
    await command(service, "upload", disk, "--name", "one")
    ran = await command(service, "list")
    heads, row = ran.out.splitlines()
    titles = ["NAME", "STATE", "CLASS", "FORMAT", "VIRTUAL SIZE", "SIZE", "CREATED", "ERROR"]
    assert heads.split() == " ".join(titles).split()
    assert row.split()[:8] == ["one", "Ready", "local", "raw", "8.0", "MiB", "8.0", "MiB"]
    assert [i["name"] for i in (await command(service, "list", "--json")).json["items"]] == ["one"]
    ran = await command(service, "show", "one")
    assert "name:           default/one" in ran.out
    assert "virtual size:   8.0 MiB (8388608 bytes)" in ran.out
    assert "Transferring:" in ran.out
    assert "local (default)" in (await command(service, "classes")).out
    assert (await command(service, "delete", "one")).out == "one is deleted\n"
    assert (await command(service, "show", "one")).code == 1
    assert service.files() == []


async def test_cancel_and_retry(service: Client, disk: Path) -> None:
    """cancel stops an import; retry begins a failed one again."""
    async with WebServer(disk, statuses=[404]) as web:
        ran = await command(service, "import", web.url(), "--name", "one", "--retries", "0")
        assert ran.code == 3, ran
        assert (await command(service, "retry", "one")).out == "one is Pending\n"
        assert (await command(service, "watch", "one")).code == 0
        web.stall_after = MiB
        await command(service, "import", web.url(), "--name", "two", "--no-wait")
        assert (await command(service, "cancel", "two")).out == "two is Cancelled\n"
        assert (await command(service, "watch", "two")).code == 1


async def test_inspect(service: Client, disk: Path) -> None:
    """inspect tells the same of a file and of its URL, and imports nothing."""
    qcow2 = images.convert(disk, disk.with_suffix(".qcow2"), "qcow2")
    size = qcow2.stat().st_size
    async with WebServer(qcow2) as web:
        for where in (str(qcow2), web.url()):
            told = (await command(service, "inspect", where, "--json")).json
            assert (told["format"], told["virtualSize"], told["size"]) == ("qcow2", 8 * MiB, size)
    ran = await command(service, "inspect", qcow2)
    assert ran.out.startswith("qcow2, virtual size 8.0 MiB, size ")
    assert await service.names() == {}


async def test_interrupted_import_is_cancelled(service: Client, disk: Path) -> None:
    """Ctrl-C stops the import on the service too, says so and leaves 130."""
    async with WebServer(disk, stall_after=MiB) as web:
        words = ("import", web.url(), "--name", "one", "--server", service.base)
        process = await start(*words, "--data", str(service.data))
        await web.stalled.wait()
        await service.until("one", "Transferring")
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert err.decode().splitlines()[-2:] == ["one is cancelled", "interrupted"]
    assert (await service.names())["one"] == "Cancelled"


async def test_interrupted_upload_is_held(service: Client, tmp_path: Path) -> None:
    """Ctrl-C in an upload's middle leaves it as it stands, says so, and leaves no traceback."""
    disk = images.raw(tmp_path / "large.raw", 32 * GiB)
    where = ("--server", service.base, "--data", str(service.data))
    async with terminal("upload", str(disk), "--as-is", *where) as ran:
        await ran.until("Uploading")
        await service.until("large", "Transferring")
        ran.process.send_signal(signal.SIGINT)
        assert await ran.process.wait() == 130
        await ran.until("interrupted")
        assert "large: stopped at " in ran.text
        assert "`importer cancel large` gives it up" in ran.text
        assert "Traceback" not in ran.text
    assert (await service.image("large"))["status"]["phase"] == "Transferring"
    assert (await command(service, "cancel", "large")).out == "large is Cancelled\n"
    assert service.files() == []


async def test_bar_on_a_terminal(service: Client, tmp_path: Path) -> None:
    """On a terminal, a bar shows bytes and rate; the result goes to stdout alone."""
    disk = images.raw(tmp_path / "disk.raw", 256 * MiB)
    where = ("--server", service.base, "--data", str(service.data))
    async with terminal("upload", str(disk), *where) as ran:
        out, _ = await ran.process.communicate()
        await ran.until("256.0/256.0 MiB")
    assert ran.process.returncode == 0
    assert out.startswith(b"disk: raw, virtual size 256.0 MiB")
    assert "sha256" not in ran.text


async def test_upload_beside_an_import_of_that_name(service: Client, disk: Path) -> None:
    """An upload to a name that is being imported is refused, and the import goes on."""
    async with WebServer(disk, stall_after=MiB) as web:
        await service.fetch("disk-1", web.url())
        await service.until("disk-1", "Transferring")
        ran = await command(service, "upload", disk)
        assert ran.code == 1, ran
        assert (await service.image("disk-1"))["status"]["phase"] == "Transferring"
        web.released.set()


async def test_serve(tmp_path: Path, disk: Path) -> None:
    """`serve` serves with a token of its own making, which the other commands find."""
    data = tmp_path / "data"
    process = await start("serve", "--data", str(data), "--listen", "127.0.0.1:0")
    assert process.stderr is not None
    try:
        said: dict[str, str] = {}
        while said.get("event") != "serving":
            said = json.loads(await process.stderr.readline())
        address = said["address"]
        ran = await importer("list", "--server", address, "--data", str(data), "--json")
        assert ran.json == {"items": []}, ran
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert os.stat(data / "token").st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "words",
    [
        ["upload", "/nonexistent/disk.img"],
        ["upload", "/"],
        ["upload", "{disk}", "--name", "Not A Name"],
        ["upload", "{disk}", "--checksum", "sha256:12"],
        ["upload", "{disk}", "--format", "vmdk"],
        ["list", "--server", "nowhere"],
        ["list", "--namespace", "../x"],
        ["list", "--token", "two words"],
        ["config", "--config", "/nonexistent.toml"],
        ["unknown"],
    ],
)
async def test_wrong_usage(disk: Path, words: list[str]) -> None:
    """What cannot be meant is refused before any service is asked: exit code 2, no traceback."""
    ran = await importer(*(word.format(disk=disk) for word in words))
    assert ran.code == 2, ran
    assert "Traceback" not in ran.err


async def test_config(tmp_path: Path) -> None:
    """`config` prints what file and environment make of the settings, without secrets, as TOML."""
    import tomllib

    file = tmp_path / "importer.toml"
    file.write_text('[service]\ntoken = "hush"\n[jobs]\nworkers = 7\n')
    words = ("config", "--config", str(file))
    ran = await importer(*words, IMPORTER_URL_PORTS="80,443")
    told = tomllib.loads(ran.out)
    assert (told["service"]["token"], told["jobs"]["workers"]) == ("***", 7)
    assert told["url"]["ports"] == [80, 443]
    assert (await importer(*words, "--json")).json["jobs"]["workers"] == 7
