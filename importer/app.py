"""The service: wires everything together and serves it."""

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import structlog
import uvloop
from aiohttp import web
from yarl import URL

from importer import __version__
from importer.api.application import application
from importer.api.auth import Door, token_of
from importer.api.events import EventRoutes
from importer.api.images import ImageRoutes
from importer.api.plan import PlanRoutes
from importer.api.service import ServiceRoutes
from importer.config import Config
from importer.errors import CallerError, TargetBusy
from importer.formats.disks import Disks
from importer.formats.inspect import inspect_head, inspect_readable, inspect_start
from importer.formats.qemu_img import QemuImg
from importer.formats.survey import data_of
from importer.jobs.events import Hub
from importer.jobs.images import Images
from importer.jobs.runner import Runner
from importer.jobs.spool import Spool
from importer.jobs.store import Record, Store
from importer.logs import set_up_logs
from importer.metrics import ClassMetrics, Metrics
from importer.model import Image, ImageInfo, Spec
from importer.sources import Source
from importer.sources.checksum_file import settled
from importer.sources.http import Web
from importer.sources.origins import Origins, OriginSource, Remote, remote
from importer.sources.sealed import open_source
from importer.sources.secrets import Seal
from importer.stream.memory import keep_chunks
from importer.targets import Shelf
from importer.targets.classes import Classes
from importer.targets.local import shelves as local_shelves
from importer.units import MiB

log = structlog.get_logger()

READ_BUFFER = MiB
"""Bytes that aiohttp reads ahead of a handler; its default of 64 KiB halves the rate."""


@dataclass(slots=True)
class Service:
    """A service that runs, and what its tests look at."""

    app: web.Application
    images: Images
    runner: Runner
    token: str | None


@asynccontextmanager
async def service(
    config: Config, shelves: Mapping[str, Shelf] | None = None
) -> AsyncIterator[Service]:
    """Build the service on its data directory, run its imports, and stop them at the end.

    *shelves* replaces the configured storage classes, for targets that are not configuration's.
    Raises CallerError for a configuration that cannot work, TargetBusy when another service holds
    the data directory.
    """
    data, lock = _taken(config)
    qemu_img = QemuImg(config.qemu_img)
    disks = Disks(qemu_img, config.limits)
    if shelves is None:
        shelves = local_shelves(config.local.classes, data, disks, config.limits)
    seal, hub, metrics = Seal(data / "key"), Hub(), Metrics()
    spool = Spool(data / "spool", disks, config.limits)
    store, sources, origins = Store(data / "importer.db"), Web(config.url), Origins(config)
    classes = Classes(shelves)
    await classes.renew()

    async def inspect(head: bytes, size: int | None) -> ImageInfo:
        return await inspect_head(head, size, qemu_img, config.limits)

    async def inspect_remote(source: Remote) -> ImageInfo:
        origins.check(source)
        probe = await sources.probe(await origins.of(source))
        if probe.readable is not None:
            return await inspect_readable(probe.readable, qemu_img, config.limits)
        return await inspect_start(probe.head, probe.size, qemu_img, config.limits)

    async def survey_remote(source: Remote) -> tuple[ImageInfo, int | None]:
        origins.check(source)
        probe = await sources.probe(await origins.of(source))
        if probe.readable is None:
            return await inspect_start(probe.head, probe.size, qemu_img, config.limits), None
        info = await inspect_readable(probe.readable, qemu_img, config.limits)
        return info, await data_of(probe.readable, info)

    def open_remote(record: Record) -> Source:
        source = open_source(record.image.spec.source, record.secret, seal)
        rate = record.image.spec.limit_rate or 0
        return OriginSource(remote(source), origins, lambda origin: sources.source(origin, rate))

    async def settle(spec: Spec) -> Spec:
        return await settled(spec, origins, sources)

    def metrics_of(image: Image) -> ClassMetrics:
        return metrics.of(classes.described(image.spec.storage_class or classes.default))

    runner = Runner(config, store, classes, spool, inspect, open_remote, metrics_of, hub)
    images = Images(store, runner, classes, seal, hub, settle)
    events = EventRoutes(images, hub)
    token = None if config.service.no_token else token_of(config.service, data)
    door = Door(token, config.service.scrape_token, config.service.origins)
    routes = [
        *ImageRoutes(images, config.upload).routes,
        *events.routes,
        *PlanRoutes(images, survey_remote).routes,
        *ServiceRoutes(images, metrics, inspect_remote).routes,
    ]
    app = application(door, routes)
    app.on_shutdown.append(events.close)
    await store.open()
    try:
        await runner.start()
        yield Service(app, images, runner, token)
    finally:
        await runner.stop()
        await sources.close()
        await store.close()
        os.close(lock)


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
        shutdown_timeout=config.service.grace,
        keepalive_timeout=75,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=512)
        await site.start()
        bound = runner.addresses[0]
        yield str(URL.build(scheme="http", host=bound[0], port=bound[1]))
    except OSError as exc:
        raise CallerError(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    finally:
        await runner.cleanup()


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
