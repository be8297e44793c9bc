"""Longhorn's fakes answer what the real data-source server was seen to answer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.servers.longhorn import DataSource
from tests.servers.recorded import Files, Scene, scenes
from tests.servers.recorded_web import RecordedWeb
from tests.servers.replay import NEAR, Replay, Step, until

WRONG = "f" * 128


@dataclass
class LonghornReplay(Replay):
    """Plays one scene to a data source."""

    source: DataSource = field(default=None)  # type: ignore[assignment]
    sha512: str = ""

    def url(self, request: Step) -> str:
        port = self.source.sync_port if request.get("sync") else self.source.port
        return f"http://127.0.0.1:{port}{request['path']}"

    def received(self) -> int:
        return self.source.received

    async def noticed(self) -> None:
        await until(lambda: self.source.info()["state"] != "in-progress")

    def root(self) -> Path:
        return self.source.root.parent

    async def check(self, step: Step, where: str) -> None:
        wanted = step["info"]
        if not self._says(wanted):
            self.source.hashing.set()
            self.source.fetching.set()
            await until(lambda: self._says(wanted) or self._ended(wanted))
        assert self._plain() == self._filled(wanted), where
        assert (self.source.info()["modificationTime"] != "") == (wanted["modificationTime"] != "")
        assert abs(self.source.info()["realSize"] - wanted["realSize"]) < NEAR, where

    def _ended(self, wanted: Step) -> bool:
        return self.source.info()["state"] in ("failed", "ready-for-transfer", "ready")

    def _says(self, wanted: Step) -> bool:
        return self._plain() == self._filled(wanted)

    def _plain(self) -> Step:
        vary = {"modificationTime": "*", "realSize": 0}
        return {**self.source.info(), **vary}

    def _filled(self, wanted: Step) -> Step:
        """Return the recorded state with what differs from run to run as it must be here."""
        text = {name: self._fill(value) for name, value in wanted.items()}
        actual = self.source.info()["currentChecksum"]
        if text["currentChecksum"] == "*" and actual:
            text["currentChecksum"] = actual
        parameters = {name: self._fill(value) for name, value in wanted["parameters"].items()}
        return {**text, "parameters": parameters, "modificationTime": "*", "realSize": 0}

    def _fill(self, value: object) -> object:
        return fill(value, self.sha512, self.base) if isinstance(value, str) else value


def fill(text: str, sha512: str, web: str) -> str:
    """Put this run's checksum and addresses where the transcript has a name for them."""
    closed = "127.0.0.1:1"
    for name, value in {"sha512": sha512, "wrong": WRONG, "web": web, "closed": closed}.items():
        text = text.replace("{" + name + "}", value)
    return text


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files that were sent."""
    return Files(tmp_path_factory.mktemp("files"))


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What is closed after the test."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.mark.parametrize("scene", scenes("longhorn-*.json"), ids=str)
async def test_data_source_answers_as_recorded(
    scene: Scene, files: Files, tmp_path: Path, stack: AsyncExitStack
) -> None:
    """Every answer, state and file of the transcript comes out the same."""
    server = dict(scene.server)
    web = await stack.enter_async_context(RecordedWeb(files))
    sha512 = files.sha512("small.qcow2")
    server["checksum"] = fill(server.get("checksum", ""), sha512, "")
    given = server.get("parameters", {}).items()
    server["parameters"] = {name: fill(value, sha512, web.url("")) for name, value in given}
    source = DataSource(tmp_path / "data", **server)
    replay = LonghornReplay(scene, files, web.url(""), source=source, sha512=sha512)
    source.clock = replay.clock
    source.hashing.clear()
    source.fetching.clear()
    await stack.enter_async_context(source)
    await replay.play()
