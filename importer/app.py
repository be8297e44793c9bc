"""The service: wires everything together and serves it."""

import asyncio
import fcntl
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import msgspec
import structlog
import uvloop
from aiohttp import web
from yarl import URL

from importer import __version__
from importer.api.application import application
from importer.api.auth import Door, token_of
from importer.api.bench import BenchRoutes
from importer.api.clients import Clients
from importer.api.compat.requests import Service as CompatService
from importer.api.compat.routes import compat_routes
from importer.api.compat.words import authorised_elsewhere
from importer.api.copies import CopyRoutes
from importer.api.events import EventRoutes
from importer.api.head import Ends
from importer.api.images import ImageRoutes
from importer.api.plan import PlanRoutes
from importer.api.service import ServiceRoutes
from importer.api.taking import Taking
from importer.api.uploads import UploadRoutes
from importer.config import Config, Limits
from importer.copies import Copies
from importer.copies.history import History
from importer.copies.own import Own
from importer.copies.seen import ClassFact
from importer.copies.watcher import Watcher
from importer.errors import CallerError, LimitExceeded, TargetBusy
from importer.formats.disks import Disks
from importer.formats.inspect import inspect_head, inspect_readable, inspect_start
from importer.formats.qemu_img import QemuImg
from importer.formats.recognise import refuse_nested
from importer.formats.survey import Far, far
from importer.jobs.allowance import Allowance
from importer.jobs.bench.benches import Benches
from importer.jobs.bench.course import Course
from importer.jobs.bench.ledger import Ledger
from importer.jobs.events import Hub
from importer.jobs.images import Images
from importer.jobs.runner import Runner
from importer.jobs.spool import Spool
from importer.jobs.store import Record, Store
from importer.jobs.uploads import Uploads
from importer.kube.cluster import Cluster, cluster
from importer.logs import set_up_logs
from importer.metrics import ClassMetrics, Metrics
from importer.model import Image, ImageInfo, Spec, StorageClass
from importer.sources import Source
from importer.sources.checksum_file import settled
from importer.sources.http import Probe, Web
from importer.sources.origins import Origins, OriginSource, Remote, remote
from importer.sources.sealed import open_source
from importer.sources.secrets import Seal
from importer.stream.memory import keep_chunks
from importer.targets import Shelf
from importer.targets.classes import Classes
from importer.targets.in_cluster import look
from importer.targets.local import shelves as local_shelves
from importer.units import KiB, MiB

log = structlog.get_logger()

READ_BUFFER = MiB
"""Bytes that aiohttp reads ahead of a handler; its default of 64 KiB halves the rate."""

LINE = 64 * KiB
"""Bytes of a request's first line at most: of a query, every parameter as long as it may be."""

_GONE = {
    socket.TCP_KEEPIDLE: 30,  # seconds of silence before the first probe
    socket.TCP_KEEPINTVL: 10,
    socket.TCP_KEEPCNT: 6,
    socket.TCP_USER_TIMEOUT: 120_000,  # milliseconds
}


@dataclass(slots=True)
class Service:
    """A service that runs, and what its tests look at."""

    app: web.Application
    images: Images
    runner: Runner
    uploads: Uploads
    allowance: Allowance
    benches: Benches
    copies: Copies
    token: str | None


@dataclass(frozen=True, slots=True)
class _Remotes:
    """Images that are somewhere else: on web servers and in buckets."""

    web: Web
    origins: Origins
    seal: Seal
    qemu_img: QemuImg
    limits: Limits
    looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
    """Files of clients that are looked at at a time: each costs a process for a moment."""

    async def inspect(self, source: Remote) -> ImageInfo:
        """Return what the image is, moving only its head."""
        return await self._looked_at(await self._probe(source))

    async def look(self, file: Ends) -> ImageInfo:
        """Return what an image is of which a client sent both ends. Raises LimitExceeded."""
        if file.size > self.limits.image_size:
            raise LimitExceeded(
                f"size is {file.size} bytes, [limits] image_size allows {self.limits.image_size}"
            )
        async with self.looks:
            return await inspect_start(file.head, file.size, self.qemu_img, self.limits, file.tail)

    async def survey(self, source: Remote, libqcow: bool) -> Far:
        """Return the same, and what its map tells where it has one."""
        probe = await self._probe(source)
        info = await self._looked_at(probe)
        return await far(info, probe.head, probe.readable, libqcow=libqcow)

    def opened(self, record: Record) -> Source:
        """Return the source of an image's record."""
        source = remote(open_source(record.image.spec.source, record.secret, self.seal))
        rate = record.image.spec.limit_rate or 0
        return OriginSource(source, self.origins, lambda origin: self.web.source(origin, rate))

    async def settled(self, spec: Spec) -> Spec:
        """Return *spec* with the checksum that a checksum file has for its image."""
        return await settled(spec, self.origins, self.web)

    async def _probe(self, source: Remote) -> Probe:
        self.origins.check(source)
        return await self.web.probe(await self.origins.of(source))

    async def _looked_at(self, probe: Probe) -> ImageInfo:
        if probe.readable is not None:
            return await inspect_readable(probe.readable, self.qemu_img, self.limits)
        return await inspect_start(probe.head, probe.size, self.qemu_img, self.limits)


@asynccontextmanager
async def service(
    config: Config, shelves: Mapping[str, Shelf] | None = None
) -> AsyncIterator[Service]:
    """Build the service on its data directory, run its imports, and stop them at the end.

    *shelves* replaces the configured storage classes, for targets that are not configuration's.
    Raises CallerError for a configuration that cannot work, TargetBusy when another service holds
    the data directory, TargetError when the configured cluster does not answer.
    """
    data, lock = _taken(config)
    qemu_img = QemuImg(config.qemu_img)
    disks = Disks(qemu_img, config.limits)
    seal, hub, metrics = Seal(data / "key"), Hub(), Metrics()
    spool = Spool(data / "spool", disks, config.limits)
    store, sources = Store(data / "importer.db"), Web(config.url)
    remotes = _Remotes(sources, Origins(config), seal, qemu_img, config.limits)
    copies = Copies(History(data / "copies.db"), metrics.copies)
    async with AsyncExitStack() as stack:
        stack.callback(os.close, lock)
        connected = None
        if config.kubernetes.enabled and shelves is None:
            connected = await stack.enter_async_context(cluster(config.kubernetes))
        classes = (
            Classes(shelves) if shelves is not None else _classes(config, data, disks, connected)
        )
        for entry in await classes.renew():
            metrics.of(entry)
            copies.know([ClassFact(entry.name, entry.backend, entry.engine)])

        async def inspect(head: bytes, size: int | None) -> ImageInfo:
            return await inspect_head(head, size, qemu_img, config.limits)

        def described(image: Image) -> StorageClass:
            return classes.described(image.spec.storage_class or classes.default)

        def metrics_of(image: Image) -> ClassMetrics:
            told = described(image)
            backend = image.spec.backend or told.backend
            return metrics.of(msgspec.structs.replace(told, backend=backend))

        runner = Runner(config, store, classes, spool, inspect, remotes.opened, metrics_of, hub)
        images = Images(store, runner, classes, seal, hub, remotes.settled)
        watcher = Watcher(copies, config, connected if config.copies.watch else None)
        own = Own(copies, described, watcher.changed)
        hub.call(lambda event: own.hear(event.image, event.sent))
        events = EventRoutes(images, hub, copies)
        allowance = Allowance(config.upload)
        taking = Taking(allowance, Clients(config.service.trusted_proxies), config.upload)
        uploads = Uploads(images, store, allowance, config.upload)
        ledger = Ledger(data / "importer.db")
        benches = Benches(Course(images, classes, ledger, copies), config.limits)
        token = None if config.service.no_token else token_of(config.service, data)
        elsewhere = authorised_elsewhere(config.compat)
        door = Door(token, config.service.scrape_token, config.service.origins, elsewhere)
        routes = [
            *ImageRoutes(images, taking, config.upload).routes,
            *UploadRoutes(uploads, taking, config.limits.image_size).routes,
            *compat_routes(CompatService(images, config, connected), taking),
            *events.routes,
            *PlanRoutes(images, remotes.survey).routes,
            *BenchRoutes(benches).routes,
            *CopyRoutes(copies, images, classes).routes,
            *ServiceRoutes(images, metrics, remotes.inspect, remotes.look).routes,
        ]
        app = application(door, routes)
        app.on_shutdown.append(events.close)
        await store.open()
        await ledger.open()
        await copies.open()
        try:
            watcher.start()
            await runner.start()
            await benches.start()
            await uploads.start()
            yield Service(app, images, runner, uploads, allowance, benches, copies, token)
        finally:
            await benches.stop()
            await runner.stop()
            await watcher.stop()
            await sources.close()
            await copies.close()
            await ledger.close()
            await store.close()


def _classes(config: Config, data: Path, disks: Disks, connected: Cluster | None) -> Classes:
    """Return the storage classes that *config* names, and the cluster's that is *connected*."""
    local = config.local.classes
    if connected is None:
        return Classes(local_shelves(local, data, disks, config.limits))
    fixed = local_shelves(local, data, disks, config.limits) if local else {}
    return Classes(fixed, look(connected, config, refuse_nested))


def serve(config: Config) -> None:
    """Serve until told to stop (SIGTERM, SIGINT). Raises CallerError, TargetBusy."""
    set_up_logs(config.log, sys.stderr)
    host, port = _address(config)
    keep_chunks()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, host, port))


async def _serve(config: Config, host: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with service(config) as running, listening(running.app, host, port, config) as address:
        log.info("serving", version=__version__, address=address, data=config.service.data)
        await stop.wait()
        log.info("stopping")
        await running.benches.stop()
        await running.runner.stop()


@asynccontextmanager
async def listening(
    app: web.Application, host: str, port: int, config: Config
) -> AsyncIterator[str]:
    """Serve *app* until the block ends; yields the address as ``http://HOST:PORT``."""
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        read_bufsize=READ_BUFFER,
        max_line_size=LINE,
        shutdown_timeout=config.service.grace,
        keepalive_timeout=config.service.idle,
    )
    await runner.setup()
    try:
        for listener in _listeners(host, port):
            await web.SockSite(runner, listener, backlog=512).start()
        bound = runner.addresses[0]
        yield str(URL.build(scheme="http", host=bound[0], port=bound[1]))
    except OSError as exc:
        raise CallerError(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    finally:
        await runner.cleanup()


def _listeners(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket for each address of *host*; connections inherit its options (tcp(7)).

    A client that is gone without a word is noticed: by probes on a silent connection, and where it
    takes nothing of an answer.
    """
    kind = socket.SOCK_STREAM
    for family, _, _, _, to in socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE):
        listener = socket.create_server(to[:2], family=family, backlog=512)
        for option, value in _GONE.items():
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
        yield listener


def _address(config: Config) -> tuple[str, int]:
    host, _, port = config.service.listen.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise CallerError(f"[service] listen: {config.service.listen!r} is not ADDRESS:PORT")
    if config.service.no_token and not _is_loopback(host):
        raise CallerError(f"[service] no_token is only possible on loopback, not on {host}")
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _taken(config: Config) -> tuple[Path, int]:
    """Return the data directory, made when missing, and a lock on it that goes with the process."""
    data = Path(config.service.data).expanduser().absolute()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(fd)
        raise TargetBusy(f"another importer serves from {data} already") from exc
    return data, fd
