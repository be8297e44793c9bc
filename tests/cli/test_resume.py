"""Uploads go on: after lost connections by themselves, after Ctrl-C with the same command."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from importer.cli.access import Access
from importer.cli.body import LocalFile
from importer.cli.client import Client as CliClient
from importer.cli.exits import Refused
from importer.cli.patience import Patience
from importer.cli.progress import Nothing
from importer.cli.sending import Sending
from importer.errors import TargetUnavailable
from importer.units import KiB, MiB
from tests import images
from tests.cli.command import Ran, importer, start
from tests.servers.cutting import Cutting
from tests.servers.gated import gated
from tests.servers.proxying import Proxy, proxying
from tests.servers.running import Client, config, running

SIZE = 96 * MiB
FORMS = [
    (("--as-is",), "as-is", "raw"),
    (("--format", "raw"), "raw+zstd", "raw"),
    (("--format", "qcow2"), "qcow2", "qcow2"),
]
"""Options, the form that travels, and what is made of it."""

SENT = {"as-is": SIZE, "raw+zstd": 64.1 * MiB, "qcow2": 72.4 * MiB}
"""Bytes in each form of `disk` when it is so large."""


@dataclass
class Holding:
    """Holds an import once so many chunks were written; each has up to 2 MiB, as they come."""

    chunks: int
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def passes(self, point: str) -> None:
        self.chunks -= point == "amid write"
        if self.chunks == 0:
            self.reached.set()
            await self.opened.wait()


@dataclass
class Way:
    """A service, and the way to it that breaks."""

    service: Client
    cutting: Cutting

    @property
    def where(self) -> tuple[str, ...]:
        return "--server", self.cutting.url, "--data", str(self.service.data)

    async def upload(self, path: Path, *options: str) -> Ran:
        """Run the command to its end."""
        return await importer("upload", str(path), *options, *self.where)

    async def start(self, path: Path, *options: str) -> asyncio.subprocess.Process:
        """Start the command."""
        return await start("upload", str(path), *options, *self.where)


@asynccontextmanager
async def way(data: Path, points: list[int], gate: Holding | None = None) -> AsyncIterator[Way]:
    settings = config(data)
    shelves = gated(settings, gate) if gate else None
    async with running(settings, shelves) as service, Cutting(service.base, points) as cutting:
        yield Way(service, cutting)


def disk(folder: Path, seed: int = 1, size: int = 24 * MiB) -> Path:
    """Make a raw disk whose first quarter is a hole, with written zeros in it too."""
    path, noise = folder / "disk.raw", random.Random(seed)
    with path.open("wb") as file:
        file.seek(size // 4)
        for number in range(size * 3 // 4 // MiB):
            file.write(bytes(MiB) if number % 9 == 5 else noise.randbytes(MiB))
        file.seek(510)
        file.write(b"\x55\xaa")
    return path


async def assert_made(service: Client, path: Path, form: str, format: str) -> None:
    """See that ``disk`` is Ready, came as *form*, and holds what *path* does."""
    image = await service.image("disk")
    assert (image["status"]["phase"], image["status"]["plan"]["wire"]) == ("Ready", form)
    made = Path(image["status"]["target"]["name"])
    assert service.files() == [made.name]
    assert images.same(path, "raw", made, format)


@pytest.mark.parametrize(("options", "form", "format"), FORMS)
@pytest.mark.timeout(60)
async def test_lost_connections(
    tmp_path: Path, options: tuple[str, ...], form: str, format: str
) -> None:
    """Cut at seeded points, it goes on by itself, says so, and sends little twice."""
    path = disk(tmp_path, size=SIZE)
    points = sorted(random.Random(form).sample(range(MiB, 60 * MiB, 64 * KiB), 4))
    async with way(tmp_path / "data", points) as there:
        ran = await there.upload(path, *options)
        assert ran.code == 0, ran
        await assert_made(there.service, path, form, format)
        assert there.cutting.cuts == 4
        assert "trying again" in ran.err
        assert there.cutting.passed < 1.1 * SENT[form]


@pytest.mark.parametrize(("options", "form", "format"), FORMS)
@pytest.mark.timeout(60)
async def test_interrupted_and_called_again(
    tmp_path: Path, state: Path, options: tuple[str, ...], form: str, format: str
) -> None:
    """After Ctrl-C, the same command goes on where it stopped: little is sent twice."""
    path, gate = disk(tmp_path, size=SIZE), Holding(20)
    async with way(tmp_path / "data", [], gate) as there:
        first = await there.start(path, *options)
        await gate.reached.wait()
        first.send_signal(signal.SIGINT)
        _, err = await first.communicate()
        assert first.returncode == 130
        assert b"the same command again goes on" in err
        assert [entry.stat().st_mode & 0o777 for entry in state.iterdir()] == [0o600]
        gate.opened.set()
        ran = await there.upload(path, *options)
        assert ran.code == 0, ran
        assert "disk: going on at " in ran.err
        assert "beginning anew" not in ran.err
        await assert_made(there.service, path, form, format)
        assert there.cutting.passed < 1.1 * SENT[form]
        assert list(state.iterdir()) == []


async def test_service_started_again(tmp_path: Path) -> None:
    """A service that is stopped amid an upload and started again gets it from the start."""
    path, gate = disk(tmp_path), Holding(6)
    settings = config(tmp_path / "data")
    async with Cutting("", []) as cutting:
        async with running(settings, gated(settings, gate)) as old:
            cutting.base = old.base
            sending = await Way(old, cutting).start(path)
            await gate.reached.wait()
            gate.opened.set()
        async with running(settings) as new:
            cutting.base = new.base
            _, err = await sending.communicate()
            assert sending.returncode == 0, err
            assert b"the service has nothing of it: sending from the start" in err
            await assert_made(new, path, "raw+zstd", "raw")


async def test_target_that_lost_it(tmp_path: Path) -> None:
    """When the target loses what it had, all of it is sent again, and the user is told."""
    path, settings = disk(tmp_path), config(tmp_path / "data")
    async with running(settings, gated(settings, Breaking())) as service:
        ran = await importer("upload", str(path), *where(service))
        assert ran.code == 0, ran
        assert "the service has nothing of it: sending from the start" in ran.err
        await assert_made(service, path, "raw+zstd", "raw")


@pytest.mark.parametrize(("options", "most"), [(("--as-is",), 20 * MiB), ((), 3 * MiB)])
async def test_proxy_with_a_limit(tmp_path: Path, options: tuple[str, ...], most: int) -> None:
    """A 413 on the way makes requests smaller, said once each time, and the upload succeeds."""
    path = disk(tmp_path, size=SIZE)
    async with running(config(tmp_path / "data")) as service:
        proxy = Proxy(service.base, most=most)
        async with proxying(proxy) as address:
            words = ("--server", address, "--data", str(service.data))
            ran = await importer("upload", str(path), *options, *words)
        assert ran.code == 0, ran
        piece = 16 * MiB if most > 16 * MiB else MiB
        assert "a proxy answers 413: it takes no request of this size; " in ran.err
        assert f"going on with {piece // MiB}.0 MiB a request" in ran.err
        assert max(proxy.bodies) == piece
        assert sum(proxy.bodies) < 1.1 * SENT["as-is" if options else "raw+zstd"]
        await assert_made(service, path, "as-is" if options else "raw+zstd", "raw")


async def test_chunk_size(tmp_path: Path) -> None:
    """With --chunk-size no request has more, from the first one on."""
    path = disk(tmp_path, size=SIZE)
    async with running(config(tmp_path / "data")) as service:
        proxy = Proxy(service.base, most=5 * MiB)
        async with proxying(proxy) as address:
            words = ("--server", address, "--data", str(service.data), "--chunk-size", "5M")
            ran = await importer("upload", str(path), "--as-is", *words)
        assert ran.code == 0, ran
        assert "413" not in ran.err
        assert sorted(size for size in proxy.bodies if size) == [MiB] + [5 * MiB] * 19
        assert len(proxy.ways) == 1
        await assert_made(service, path, "as-is", "raw")


async def test_proxy_that_loses_patience(tmp_path: Path) -> None:
    """Where long requests bring no byte, shorter ones are tried."""
    path = disk(tmp_path, size=SIZE)
    async with running(config(tmp_path / "data")) as service:
        proxy = Proxy(service.base, patience=70 * MiB)
        async with proxying(proxy) as address:
            words = ("--server", address, "--data", str(service.data))
            ran = await importer("upload", str(path), "--as-is", *words)
        assert ran.code == 0, ran
        assert "going on with 64.0 MiB a request" in ran.err
        await assert_made(service, path, "as-is", "raw")


@asynccontextmanager
async def sending(proxy: Proxy, service: Client, path: Path) -> AsyncIterator[Sending]:
    """Give an upload of *path* as it is, which is about to begin."""
    async with (
        proxying(proxy) as address,
        CliClient(Access(address, data=service.data)) as client,
    ):
        body = LocalFile(path, lambda _: None)
        upload = Sending(client, "disk", body, {"name": "disk"}, Nothing(), lambda: None)
        yield upload
        await upload.close()


async def test_proxy_that_does_not_know_the_question(tmp_path: Path) -> None:
    """Where nobody says that the first byte is wanted, it is sent without asking."""
    path = disk(tmp_path)
    async with running(config(tmp_path / "data")) as service:
        proxy = Proxy(service.base, continues=False)
        async with sending(proxy, service, path) as upload:
            upload.silent = 0.5
            assert (await upload.run()).phase == "Ready"
        assert proxy.asked["PATCH"] == 2
        await assert_made(service, path, "as-is", "raw")


async def test_patience_ends(tmp_path: Path) -> None:
    """A way that stays broken ends the command, which says that the same one goes on."""
    path = disk(tmp_path)
    async with running(config(tmp_path / "data")) as service:
        proxy = Proxy(service.base, faults=[502] * 100)
        async with sending(proxy, service, path) as upload:
            upload.patience = Patience(1.0)
            with pytest.raises(Refused, match=r"no byte arrived for \d s. The same command again"):
                await upload.run()
        assert proxy.asked["HEAD"] > 1


async def test_proxy_without_a_service(tmp_path: Path) -> None:
    """What a proxy says while the service is away for a moment ends nothing."""
    path = disk(tmp_path)
    async with running(config(tmp_path / "data")) as service:
        proxy = Proxy(service.base, faults=[502, 503, 504])
        async with proxying(proxy) as address:
            words = ("--server", address, "--data", str(service.data))
            ran = await importer("upload", str(path), *words)
        assert ran.code == 0, ran
        assert "a proxy answers 502" in ran.err
        assert proxy.faults == []
        await assert_made(service, path, "raw+zstd", "raw")


@pytest.mark.parametrize(
    ("change", "said"), [("content", "has changed since"), ("options", "with other options")]
)
async def test_another_upload_now(tmp_path: Path, change: str, said: str) -> None:
    """A file that changed after Ctrl-C, or other options, begin anew, and that is said."""
    path, gate = disk(tmp_path), Holding(6)
    async with way(tmp_path / "data", [], gate) as there:
        first = await there.start(path)
        await gate.reached.wait()
        first.send_signal(signal.SIGINT)
        await first.communicate()
        gate.opened.set()
        if change == "content":
            disk(tmp_path, seed=2)
        options = ("--format", "qcow2") if change == "options" else ()
        ran = await there.upload(path, *options)
        assert ran.code == 0, ran
        assert said in ran.err
        assert "beginning anew" in ran.err
        made = ("qcow2", "qcow2") if options else ("raw+zstd", "raw")
        await assert_made(there.service, path, *made)


async def test_upload_that_was_given_up(tmp_path: Path) -> None:
    """After Ctrl-C and `cancel`, the name is taken until the image is deleted, as always."""
    path, gate = disk(tmp_path), Holding(6)
    async with way(tmp_path / "data", [], gate) as there:
        first = await there.start(path)
        await gate.reached.wait()
        first.send_signal(signal.SIGINT)
        await first.communicate()
        gate.opened.set()
        assert (await importer("cancel", "disk", *there.where)).code == 0
        ran = await there.upload(path)
        assert (ran.code, "(name-taken, caller)" in ran.err) == (1, True), ran
        assert (await importer("delete", "disk", *there.where)).code == 0
        assert (await there.upload(path)).code == 0
        await assert_made(there.service, path, "raw+zstd", "raw")


async def test_two_of_the_same(tmp_path: Path) -> None:
    """The newer of two processes that send the same file goes on; the older one says why not."""
    path, gate = disk(tmp_path), Holding(6)
    async with way(tmp_path / "data", [], gate) as there:
        older = await there.start(path)
        await gate.reached.wait()
        newer = await there.start(path)
        _, err = await older.communicate()
        assert older.returncode == 1
        assert b"another client goes on with the upload of disk" in err
        gate.opened.set()
        _, err = await newer.communicate()
        assert newer.returncode == 0, err
        await assert_made(there.service, path, "raw+zstd", "raw")


async def test_killed_amid(tmp_path: Path) -> None:
    """A command that could say nothing any more is gone on with as well."""
    path, gate = disk(tmp_path, size=SIZE), Holding(20)
    async with way(tmp_path / "data", [], gate) as there:
        first = await there.start(path)
        await gate.reached.wait()
        first.kill()
        await first.communicate()
        gate.opened.set()
        ran = await there.upload(path)
        assert ran.code == 0, ran
        assert "disk: going on at " in ran.err
        await assert_made(there.service, path, "raw+zstd", "raw")
        assert there.cutting.passed < 1.1 * SENT["raw+zstd"]


@dataclass
class Breaking:
    """Breaks the first write after a few chunks."""

    chunks: int = 9

    async def passes(self, point: str) -> None:
        self.chunks -= point == "amid write"
        if self.chunks == 0 and point == "amid write":
            raise TargetUnavailable("the pod died")


def where(service: Client) -> tuple[str, ...]:
    """Return the options that name *service*."""
    return "--server", service.base, "--data", str(service.data)
