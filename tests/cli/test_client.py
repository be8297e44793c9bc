"""The command line against a service that fails in ways the real one cannot be made to."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from importer.cli.access import Access
from importer.cli.body import LocalFile
from importer.cli.client import Client
from importer.cli.progress import Lines, Nothing
from importer.cli.sending import Sending
from importer.errors import SourceTruncated
from importer.units import MiB
from tests.cli.command import importer, start
from tests.servers.api import FakeApi, error, image, serving
from tests.servers.running import until

TAKEN = error("name-taken", "caller", "image disk is there already")
READY = image("disk", "Ready", format="raw", size=5 * MiB, virtualSize=5 * MiB)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A file that fits into no socket's buffers."""
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(range(256)) * (64 * MiB // 256))
    return path


async def test_service_unreachable(tmp_path: Path) -> None:
    """The message names the address and what starts a service."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        ran = await importer("list", "--server", address, "--data", str(tmp_path))
    assert ran.code == 1
    assert address in ran.err
    assert "Connection refused" in ran.err
    assert "importer serve" in ran.err


@pytest.mark.parametrize("hang_up", [False, True])
@pytest.mark.parametrize("asks_first", [False, True])
async def test_upload_refused_early(disk: Path, asks_first: bool, hang_up: bool) -> None:
    """A refusal before the end of the body is shown, whatever becomes of the connection."""
    api = FakeApi(refuse=TAKEN, hang_up=hang_up, asks_first=asks_first)
    async with serving(api) as address:
        ran = await importer("upload", str(disk), "--server", address, "--json")
    assert ran.code == 1
    assert ran.json == {"error": TAKEN}


async def test_upload_sends_the_whole_file(disk: Path) -> None:
    """Every byte arrives, and the result is the image of the answer."""
    api = FakeApi(events=[READY])
    async with serving(api) as address:
        ran = await importer("upload", str(disk), "--server", address, "--json")
    assert ran.code == 0, ran
    assert api.received == disk.stat().st_size
    assert ran.json["status"]["phase"] == "Ready"


async def test_watch_survives_a_cut() -> None:
    """A stream that breaks off, as when the service restarts, is taken up again."""
    api = FakeApi(cut_streams=2, events=[image("disk", "Transferring"), READY])
    async with serving(api) as address:
        ran = await importer("watch", "disk", "--server", address)
    assert ran.code == 0, ran
    assert ran.out.startswith("disk: raw, virtual size 5.0 MiB")
    assert api.calls == ["GET /v1/images/disk/events"] * 3


async def test_file_shrinks_while_it_is_sent(disk: Path) -> None:
    """The file's own error comes out, not the broken connection that follows from it."""
    async with serving(FakeApi(events=[READY])) as address:
        file = LocalFile(disk, lambda _: None)
        os.truncate(disk, 3 * MiB)
        async with Client(Access(server=address, token="any")) as client:
            sending = Sending(client, "disk", file, {}, Nothing(), lambda: None)
            with pytest.raises(SourceTruncated, match=r"shrunk to 3145728 bytes from 67108864"):
                await sending.run()
            await sending.close()


@asynccontextmanager
async def sending(address: str, disk: Path) -> AsyncIterator[Sending]:
    """Give an upload of *disk* that is about to begin."""
    async with Client(Access(server=address, token="any")) as client:
        body = LocalFile(disk, lambda _: None)
        upload = Sending(client, "disk", body, {}, Lines(), lambda: None)
        yield upload
        await upload.close()


async def test_nothing_moves(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A connection that only looks alive is given up, and the upload goes on over another one."""
    api = FakeApi(silent=True, events=[image("disk", "Transferring"), READY])
    async with serving(api) as address, sending(address, disk) as upload:
        upload.quiet = upload.silent = 0.4
        assert (await upload.run()).phase == "Ready"
    assert api.received == disk.stat().st_size
    assert api.calls.count("PATCH /v1/uploads/u1") == 2
    assert "nothing moved for" in capsys.readouterr().err


async def test_service_that_waits_is_waited_for(disk: Path) -> None:
    """As long as the image waits for a worker, a connection on which nothing moves is kept."""
    api = FakeApi(deaf=True, events=[image("disk", "Pending")])
    async with serving(api) as address, sending(address, disk) as upload:
        upload.quiet = 0.1
        upload.silent = 0.02
        task = asyncio.create_task(upload.run())
        await until(lambda: api.calls.count("GET /v1/images/disk") == 3)
        assert api.calls.count("PATCH /v1/uploads/u1") == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_second_interrupt_leaves_at_once() -> None:
    """While a service does not answer the cancel, a second Ctrl-C leaves, with 130 as well."""
    api = FakeApi(deaf=True, events=[image("disk", "Transferring")])
    async with serving(api) as address:
        process = await start("import", "http://web.example/disk.raw", "--server", address)
        await api.begun.wait()
        process.send_signal(signal.SIGINT)
        await api.cancelled.wait()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("side", "code"), [("image", 3), ("source", 3), ("target", 4), ("internal", 1), ("caller", 1)]
)
async def test_exit_code(side: str, code: int) -> None:
    """The exit code of a failed import tells whose fault it is."""
    failed = image("disk", "Failed", error=error("some-slug", side, "it broke"))
    async with serving(FakeApi(events=[failed])) as address:
        ran = await importer("watch", "disk", "--server", address)
    assert (ran.code, ran.err.splitlines()[-1]) == (code, f"error: it broke (some-slug, {side})")


async def test_words_of_strangers_do_nothing() -> None:
    """Neither control characters nor markup of a message reach the terminal as such."""
    bad = error("some-slug", "image", "[red]\x1b[2J\x9b31m\u202e[/red]")
    api = FakeApi(events=[image("disk", "Failed", error=bad)])
    async with serving(api) as address:
        shown = [
            await importer(*words, "--server", address) for words in (["watch", "disk"], ["list"])
        ]
    for text in (shown[0].err, shown[1].out):
        assert r"[red]\x1b[2J\x9b31m\u202e[/red]" in text


async def test_token_is_not_for_other_machines(tmp_path: Path) -> None:
    """The token of the data directory goes to loopback, and nowhere else."""
    (tmp_path / "token").write_text("secret\n")
    here = Access(server="http://localhost:8080", data=tmp_path)
    there = Access(server="http://importer.example:8080", data=tmp_path)
    assert (here.bearer(), there.bearer()) == ("secret", "")


async def test_token_is_found(tmp_path: Path) -> None:
    """The token comes from the option, the environment or the data directory, in this order."""
    (tmp_path / "token").write_text("file\n")
    api = FakeApi()
    async with serving(api) as address:
        words = ["list", "--server", address, "--data", str(tmp_path)]
        for more, env, token in (
            (["--token", "option"], {"IMPORTER_TOKEN": "variable"}, "option"),
            ([], {"IMPORTER_TOKEN": "variable"}, "variable"),
            ([], {}, "file"),
        ):
            api.tokens.clear()
            assert (await importer(*words, *more, **env)).code == 0
            assert api.tokens == {f"Bearer {token}"}
