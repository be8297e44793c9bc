"""A disk that boots, the service as users run it, and a web server for it to fetch from."""

import functools
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
IMPORTER = str(Path(sys.executable).parent / "importer")
START = 30.0
"""Seconds that the service may take to get ready."""


@pytest.fixture(scope="session")
def disk() -> Path:
    """The source of all images here: raw, 64 MiB, boots, kept from run to run."""
    command = [sys.executable, "deploy/demo/disk.py", ".run/disk"]
    made = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    return ROOT / made.stdout.strip()


@dataclass(frozen=True)
class Web:
    """A web server on loopback with the files of a directory."""

    directory: Path
    address: str


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web server with nothing in it yet."""
    directory = tmp_path_factory.mktemp("published")
    handler = functools.partial(_Quiet, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Web(directory, f"127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Service:
    """A service in a process of its own, reached as users reach it."""

    data: Path
    address: str

    def importer(self, *words: object) -> dict[str, Any]:
        """Run the command line tool with *words*; return the image that it prints."""
        token = (self.data / "token").read_text().strip()
        environment = os.environ | {"IMPORTER_SERVER": self.address, "IMPORTER_TOKEN": token}
        command = [IMPORTER, *(str(word) for word in words), "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def stored(self, name: str, format: str) -> Path:
        """Return where the image *name* is stored."""
        return self.data / "images" / f"{name}.{format}"


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, web: Web) -> Iterator[Service]:
    """`importer serve` with a fresh data directory, allowed to fetch from *web*."""
    data = tmp_path_factory.mktemp("data")
    listen = f"127.0.0.1:{free_port()}"
    command = [IMPORTER, "serve", "--data", str(data), "--listen", listen]
    environment = os.environ | {"IMPORTER_URL_ALLOW_ADDRESSES": web.address}
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stderr=log)
    try:
        wait_ready(f"http://{listen}/readyz", process, data / "log")
        yield Service(data, f"http://{listen}")
    finally:
        process.terminate()
        assert process.wait(30) == 0


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when *url* answers; fail when *process* ends or takes too long."""
    deadline = time.monotonic() + START
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
