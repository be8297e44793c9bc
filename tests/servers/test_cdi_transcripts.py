"""CDI's fakes answer what the real upload server and upload proxy were seen to answer."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from importer.units import MiB
from tests.servers.cdi import UploadProxy, UploadServer, token
from tests.servers.cdi.upload_proxy import POD_PHASE, POD_READY, TARGET
from tests.servers.certificates import Authority, rsa_key
from tests.servers.listening import Listening
from tests.servers.recorded import Files, Scene, scenes
from tests.servers.replay import Replay, Step, compared, until

CLIENT = "uploadclient"
READY = {TARGET: "", POD_READY: "true"}
CLAIMS = {
    "up1": READY,
    "noserver": READY,
    "notready": {TARGET: "", POD_READY: "false"},
    "plain": {},
    "done": {TARGET: "", POD_READY: "false", POD_PHASE: "Succeeded"},
}
"""The claims that were there, and what CDI had written on them."""


@dataclass
class CdiReplay(Replay):
    """Plays one scene to an upload server, with a proxy before it or without."""

    server: UploadServer = field(default=None)  # type: ignore[assignment]
    contexts: dict[str, ssl.SSLContext] = field(default_factory=dict)

    def context(self, request: Step) -> ssl.SSLContext | bool:
        return self.contexts[request.get("certificate", "none")]

    def token(self, claims: Step) -> str:
        return token.sign(
            said(claims, self.clock.now()),
            rsa_key(claims.get("key", "cdi")),
            claims.get("alg", "PS256"),
        )

    def received(self) -> int:
        return self.server.received

    async def noticed(self) -> None:
        await until(lambda: not self.server.uploading)

    async def settled(self) -> None:
        await until(lambda: not self.server.processing)

    def root(self) -> Path:
        return self.server.root

    async def check(self, step: Step, where: str) -> None:
        match step:
            case {"exited": _}:
                await until(lambda: not self.server.alive)
            case {"running": _}:
                assert self.server.alive, where
            case {"termination": text}:
                assert self.server.termination == text, where
            case {"compare": name, "says": says}:
                assert compared(self.server.volume, self.files[name]) == says, where
            case {"hold": "exiting"}:
                self.server.exiting.clear()
            case {"until": "done"}:
                await until(lambda: self.server.done)
            case {"release": "exiting"}:
                self.server.exiting.set()
                await until(lambda: not self.server.alive)
            case _:
                raise AssertionError(where)


def said(claims: Step, now: float) -> dict[str, Any]:
    """Return the claims of a token that is wrong as the step says."""
    plain = token.claims(claims.get("namespace", "demo"), claims["pvc"], now)
    for name in ("exp", "nbf"):
        plain[name] = int(now) + claims[name] if name in claims else plain[name]
    for name in ("iss", "operation"):
        plain[name] = claims.get(name, plain[name])
    if "resource" in claims:
        plain["resource"] = {**token.PVCS, "resource": claims["resource"]}
    return plain


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files that were sent."""
    return Files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the servers' certificates."""
    return Authority(tmp_path_factory.mktemp("servers"))


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates of the upload server's clients."""
    return Authority(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def contexts(
    servers: Authority, clients: Authority, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, ssl.SSLContext]:
    """What a client may show: nothing, the right certificate, or a wrong one."""
    foreign = Authority(tmp_path_factory.mktemp("foreign"))
    return {
        "none": servers.client(),
        "client": servers.client(clients.issue(CLIENT)),
        "wrongcn": servers.client(clients.issue("wrongcn")),
        "foreign": servers.client(foreign.issue(CLIENT)),
    }


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What is closed after the test."""
    async with AsyncExitStack() as stack:
        yield stack


def upload_server(scene: Scene, root: Path) -> UploadServer:
    """Return the server of a scene."""
    size = int(scene.server.get("size", "100Mi").removesuffix("Mi")) * MiB
    return UploadServer(root, size, xz_error=scene.server.get("xz_error"))


DIRECT = [scene for scene in scenes("cdi-*.json") if "proxy" not in scene.transcript]


@pytest.mark.parametrize("scene", DIRECT, ids=str)
async def test_upload_server_answers_as_recorded(
    scene: Scene,
    files: Files,
    servers: Authority,
    clients: Authority,
    contexts: dict[str, ssl.SSLContext],
    tmp_path: Path,
    stack: AsyncExitStack,
) -> None:
    """Every answer and file of the transcript comes out the same, over TLS and by certificate."""
    server = upload_server(scene, tmp_path)
    server.certificates = servers.server("server", "127.0.0.1", clients=clients), CLIENT
    await stack.enter_async_context(server)
    replay = CdiReplay(scene, files, server.url, server=server, contexts=contexts)
    await replay.play()


@pytest.mark.parametrize("scene", scenes("cdi-proxy-*.json"), ids=str)
async def test_upload_proxy_answers_as_recorded(
    scene: Scene,
    files: Files,
    servers: Authority,
    contexts: dict[str, ssl.SSLContext],
    tmp_path: Path,
    stack: AsyncExitStack,
) -> None:
    """Every answer of the transcript comes out the same, through the proxy."""
    server = upload_server(scene, tmp_path)
    claims = {("demo", name): {"metadata": {"annotations": told}} for name, told in CLAIMS.items()}
    proxy = UploadProxy(claims, {("demo", "up1"): server})
    tls = servers.server("proxy", "127.0.0.1")
    listening = await stack.enter_async_context(Listening(proxy.app(), tls=tls))
    replay = CdiReplay(scene, files, listening.url, server=server, contexts=contexts)
    proxy.clock = replay.clock
    await replay.play()
