"""What `make run` shows: the service, one image uploaded to it, one fetched by it from a URL.

Serves on 127.0.0.1:PORT until Ctrl-C. DATA says where images are kept (default: the service's own).
Images that are there already stay as they are. The service may fetch from this program's own small
web server and from nowhere else on this machine.
"""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from disk import disk

from importer.config import load

IMPORTER = str(Path(sys.executable).parent / "importer")
WORK = Path(".run")
UPLOADED, FETCHED = "demo-upload", "demo-url"
START = 30.0
"""Seconds that the service may take to get ready."""

STOP = 20.0
"""Seconds that it may take to stop."""


@dataclass(frozen=True)
class Service:
    """Where the service is, and what opens it."""

    data: Path
    port: int

    @property
    def address(self) -> str:
        """The service's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """Where the service's log goes."""
        return WORK / f"serve-{self.port}.log"

    @property
    def token(self) -> str:
        """What the service made at its first start; empty before."""
        path = self.data / "token"
        return path.read_text().strip() if path.exists() else ""

    def get(self, path: str) -> bytes | None:
        """Return what a GET of *path* answers, or None where it fails."""
        bearer = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.address + path, headers=bearer)
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return bytes(response.read())
        except OSError:
            return None

    def command(self, *words: object) -> list[str]:
        """Return the command line of the importer with *words*."""
        return [IMPORTER, *(str(word) for word in words)]

    @property
    def environment(self) -> dict[str, str]:
        """What the command line tool needs to find the service."""
        return os.environ | {"IMPORTER_SERVER": self.address, "IMPORTER_TOKEN": self.token}

    def show(self, name: str) -> dict[str, Any] | None:
        """Return the image *name*, or None when there is none."""
        answer = self.get(f"/v1/images/{name}")
        return json.loads(answer) if answer else None


def main() -> None:
    """Start everything, import what is missing, print the results, serve."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell made it ignored
    data = Path(os.environ.get("DATA") or load(None).service.data).expanduser().absolute()
    service = Service(data, int(os.environ.get("PORT") or 8080))
    if taken(service.port):
        found_running(service)
        return
    say("Finding or making a small disk image that boots ...")
    raw = disk(WORK / "disk")
    published = compressed(raw)
    with ExitStack() as stack:
        web = stack.enter_context(web_server(published.parent))
        say(f"Starting the service on {service.address}, images in {service.data} ...")
        process = stack.enter_context(serving(service, allow=web))
        ensure(service, UPLOADED, "upload", raw)
        ensure(service, FETCHED, "import", f"http://{web}/{published.name}")
        results(service)
        say(f"Another URL to try there: http://{web}/{published.name}")
        say(f"Log: {service.log}. Ctrl-C stops the service; the images stay.")
        process.wait()
        raise SystemExit(
            f"The service ended by itself; the end of {service.log}:\n{tail(service.log)}"
        )


def taken(port: int) -> bool:
    """Say whether something listens on *port* already."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def found_running(service: Service) -> None:
    """Show the service that runs on the port already, or say that it is something else."""
    if not (service.token and service.get("/v1/storageclasses")):
        raise SystemExit(
            f"Port {service.port} is taken by something that is not this service with its data in"
            f" {service.data}. Another port: make run PORT={service.port + 1}"
        )
    say(f"The service runs already on {service.address}, images in {service.data}.")
    results(service)


def compressed(raw: Path) -> Path:
    """Return *raw* as a compressed qcow2 in a directory of its own, made if it is not there."""
    path = raw.parent / "published" / f"{raw.stem}.qcow2"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        half = path.with_suffix(".part")
        convert = ["qemu-img", "convert", "-f", "raw", "-c", "-O", "qcow2", str(raw), str(half)]
        subprocess.run(convert, check=True)
        os.replace(half, path)
    return path


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and writes no log."""

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@contextmanager
def web_server(directory: Path) -> Iterator[str]:
    """Serve *directory* on loopback; yields ADDRESS:PORT."""
    handler = functools.partial(Quiet, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextmanager
def serving(service: Service, allow: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `importer serve`, ready for requests, with *allow* (ADDRESS:PORT) open to imports."""
    command = service.command(
        "serve", "--data", service.data, "--listen", f"127.0.0.1:{service.port}"
    )
    environment = os.environ | {"IMPORTER_URL_ALLOW_ADDRESSES": allow}
    with service.log.open("wb") as log:
        # A session of its own: Ctrl-C comes here first, and the service is told once.
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_ready(service, process)
        yield process
    finally:
        stop(process)


def wait_ready(service: Service, process: subprocess.Popen[bytes]) -> None:
    """Return when the service takes requests; leave when it does not come up."""
    deadline = time.monotonic() + START
    while service.get("/readyz") is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(
                f"The service did not start; the end of {service.log}:\n{tail(service.log)}"
            )
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Let the service end, and end it when it does not."""
    process.terminate()
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(path: Path) -> str:
    """Return the last lines of *path*."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:])


def ensure(service: Service, name: str, verb: str, what: object) -> None:
    """Have the image *name*: keep one that is ready, replace what an earlier run left half-way."""
    image = service.show(name)
    if image and image["status"]["phase"] == "Ready":
        say(f"{name} is there already.")
        return
    if image:
        subprocess.run(service.command("delete", name), env=service.environment, check=True)
    words = (verb, what, "--name", name)
    say(f"$ importer {' '.join(str(word) for word in words)}")
    if subprocess.run(service.command(*words), env=service.environment).returncode:
        raise SystemExit(f"{name} was not imported; the end of {service.log}:\n{tail(service.log)}")


def results(service: Service) -> None:
    """Print what was imported, and where the page is."""
    row = "{:12} {:7} {:>13} {:>11} {:>8} {:>8}"
    say("\n" + row.format("image", "format", "virtual size", "size", "seconds", "MB/s"))
    for image in filter(None, map(service.show, (UPLOADED, FETCHED))):
        say(row.format(*figures(image)))
    say(f"\nPage: {service.address}/#token={service.token}\n")


def figures(image: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of one image: MB/s are bytes of the published file by seconds of work."""
    status = image["status"]
    phases = [phase for phase in status["phases"] if phase["name"] != "Pending"]
    seconds = sum(phase["seconds"] or 0.0 for phase in phases)
    size = status["size"]
    rate = f"{size / seconds / 1e6:.0f}" if seconds else "-"
    guest = f"{status['virtualSize'] / 2**20:.1f} MiB"
    sizes = (guest, f"{size / 2**20:.1f} MiB")
    return (image["name"], status["format"], *sizes, f"{seconds:.2f}", rate)


def say(text: str) -> None:
    """Print *text* at once, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        say("\nStopped.")
