"""The commands. docs/cli.md describes each of them for people."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from typer import Argument, Option

from importer import config
from importer.cli.exits import exits, print_json
from importer.cli.given import Given
from importer.cli.names import name_of_file, name_of_url
from importer.cli.options import (
    ChecksumOption,
    ClassOption,
    ConfigOption,
    DataOption,
    FormatOption,
    JsonOption,
    LookedUpOption,
    NameArgument,
    NameOption,
    TargetOption,
    bytes_of,
    remote,
    target_of,
    with_source,
)
from importer.errors import CallerError
from importer.model import ImageInfo, WantedFormat

if TYPE_CHECKING:
    from importer.cli.session import Session

app = typer.Typer(
    help="Takes a VM disk image by upload or URL and makes a bootable volume of it.",
    no_args_is_help=True,
    add_completion=False,
    # Plain help and usage errors: rich alone would double the time to start.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def serve(
    *,
    config_file: ConfigOption = None,
    data: DataOption = None,
    listen: Annotated[
        str | None, Option("--listen", metavar="ADDRESS:PORT", help="Where to listen.")
    ] = None,
    no_token: Annotated[
        bool, Option("--no-token", help="Let everybody in; on loopback only.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the service until it is told to stop."""
    with exits(as_json=as_json):
        settings = _settings(config_file, data, listen, no_token=no_token)
        from importer.app import serve as serve_forever

        serve_forever(settings)


@app.command("config")
def show_config(
    *,
    config_file: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the settings that `serve` would use; secrets as ***."""
    with exits(as_json=as_json):
        sections = config.shown(_settings(config_file, data))
    if as_json:
        print_json(sections)
        return
    for section, values in sections.items():
        typer.echo(f"[{section}]")
        for name, value in values.items():
            typer.echo(f"{name} = {_toml(value)}")
        typer.echo()


@app.command()
@remote
async def upload(
    session: "Session",
    files: Annotated[list[Path], Argument(metavar="FILE...", help="Disk images or block devices.")],
    *,
    name: NameOption = None,
    storage_class: ClassOption = None,
    checksum: ChecksumOption = None,
    format: FormatOption = None,
    target: TargetOption = None,
    as_is: Annotated[
        bool, Option("--as-is", help="Send the file's own bytes, zeros and all.")
    ] = False,
    chunk_size: Annotated[
        str | None,
        Option("--chunk-size", metavar="BYTES", help="Most of one request, as 64M; else no limit."),
    ] = None,
    parallel: Annotated[
        int, Option("--parallel", min=1, max=64, help="Files that are sent at once.")
    ] = 3,
) -> None:
    """Send files and wait until their images are ready. After Ctrl-C, the same again goes on."""
    from importer.cli.batch import upload_files
    from importer.cli.order import Order, Wanted
    from importer.stream.memory import keep_chunks

    if len(files) > 1 and (name or ":" in (checksum or "")):
        raise CallerError("--name and --checksum ALG:HEX are for one file, not for several")
    keep_chunks()
    wanted = Wanted(storage_class, checksum, _wanted(format), target_of(target))
    most = bytes_of(chunk_size, "--chunk-size") if chunk_size else None
    orders = [Order(file, name or name_of_file(file.name), wanted, as_is, most) for file in files]
    await upload_files(session, orders, parallel)


@app.command("import")
@remote
@with_source
async def import_url(
    session: "Session",
    url: Annotated[str, Argument(metavar="URL", help="http, https, or s3://BUCKET/KEY.")],
    *,
    given: Given,
    name: NameOption = None,
    storage_class: ClassOption = None,
    checksum: LookedUpOption = None,
    format: FormatOption = None,
    target: TargetOption = None,
    retries: Annotated[
        int | None, Option("--retries", help="Times a passing failure is tried again.")
    ] = None,
    limit_rate: Annotated[
        str | None,
        Option("--limit-rate", metavar="BYTES", help="Bytes a second at most, as 500K or 20M."),
    ] = None,
    no_wait: Annotated[
        bool, Option("--no-wait", help="Leave it to the service, do not wait for the end.")
    ] = False,
) -> None:
    """Have the service fetch an image, and wait until it is ready. Ctrl-C cancels it."""
    from importer.cli.images import import_image

    spec: dict[str, Any] = {
        "source": given.source(url),
        "storageClass": storage_class,
        "checksum": checksum,
        "format": _wanted(format),
        "target": target_of(target),
    }
    if retries is not None:
        spec["retries"] = retries
    if limit_rate is not None:
        spec["limitRate"] = bytes_of(limit_rate, "--limit-rate")
    await import_image(session, name or name_of_url(url), spec, wait=not no_wait)


@app.command()
@remote
@with_source
async def inspect(
    session: "Session",
    image: Annotated[str, Argument(metavar="FILE|URL", help="An image here, or a URL.")],
    *,
    given: Given,
) -> None:
    """Tell what an image is: format, virtual size, size, compression."""
    from importer.cli.images import print_info

    if "://" in image:
        print_info(session, await session.client.inspect(given.source(image)))
    else:
        print_info(session, await _inspected(Path(image)))


@app.command()
@remote
@with_source
async def plan(
    session: "Session",
    image: Annotated[str, Argument(metavar="FILE|URL", help="An image here, or a URL.")],
    *,
    given: Given,
    storage_class: ClassOption = None,
    format: FormatOption = None,
) -> None:
    """Tell what would be sent of an image, how many bytes, and why. Nothing is sent."""
    from importer.cli.plan import plan_file, print_plan

    wanted = _wanted(format)
    if "://" in image:
        planned = await session.client.plan(given.source(image), storage_class, wanted)
    else:
        path = Path(image)
        planned = await plan_file(session, path, await _inspected(path), storage_class, wanted)
    print_plan(planned, as_json=session.as_json)


@app.command("list")
@remote
async def list_images(session: "Session") -> None:
    """List the images of a namespace."""
    from importer.cli.images import print_list

    print_list(session, await session.client.images())


@app.command()
@remote
async def show(session: "Session", name: NameArgument) -> None:
    """Show all there is to know of one image."""
    from importer.cli.images import print_details

    print_details(session, await session.client.image(name))


@app.command()
@remote
async def watch(session: "Session", name: NameArgument) -> None:
    """Follow an import to its end. Ctrl-C leaves it running."""
    from importer.cli.images import watch_image

    await watch_image(session, name)


@app.command()
@remote
async def cancel(session: "Session", name: NameArgument) -> None:
    """Stop an import."""
    from importer.cli.images import print_phase

    print_phase(session, await session.client.cancel(name))


@app.command()
@remote
async def retry(session: "Session", name: NameArgument) -> None:
    """Try a failed import again; `watch` follows it."""
    from importer.cli.images import print_phase

    print_phase(session, await session.client.retry(name))


@app.command()
@remote
async def delete(session: "Session", name: NameArgument) -> None:
    """Remove an image from its target and from the list."""
    await session.client.delete(name)
    if session.as_json:
        print_json({"deleted": name})
    else:
        typer.echo(f"{name} is deleted")


@app.command()
@remote
async def classes(session: "Session") -> None:
    """List the storage classes side by side: their room, and how imports and copies went."""
    from importer.cli.copies import print_classes

    await print_classes(session)


@app.command()
@remote
async def copies(
    session: "Session",
    *,
    watch: Annotated[bool, Option("--watch", help="Go on until Ctrl-C.")] = False,
    limit: Annotated[
        int, Option("--limit", metavar="N", help="Copies that are over.", min=0, max=500)
    ] = 20,
) -> None:
    """List copies of volumes on the cluster: those that run, and the last that are over."""
    from importer.cli.copies import list_copies, watch_copies

    await (watch_copies if watch else list_copies)(session, limit)


@app.command()
@remote
async def bench(
    session: "Session",
    *,
    storage_class: Annotated[
        list[str], Option("--storage-class", help="Where to measure. Any number.")
    ],
    size: Annotated[
        str, Option("--size", metavar="SIZE", help="Size of the disk, as 512MiB or 4GiB.")
    ] = "4GiB",
    data_share: Annotated[
        float, Option("--data-share", metavar="SHARE", help="Of it that is data: 0 to 1.")
    ] = 0.5,
    runs: Annotated[
        int, Option("--runs", metavar="N", help="Times that every class has its turn.")
    ] = 1,
) -> None:
    """Compare storage classes: import a generated disk, copy it, remove both. Ctrl-C ends it."""
    from importer.cli.bench import bench as run_bench
    from importer.cli.bench import request_of

    request = request_of(storage_class, size, data_share, runs, session.namespace)
    await run_bench(session, request)


async def _inspected(path: Path) -> ImageInfo:
    from importer.cli.body import size_of
    from importer.formats.inspect import inspect_readable
    from importer.formats.qemu_img import QemuImg
    from importer.stream.readable import FileReadable

    size_of(path)  # Says what is wrong with a path that is no file.
    settings = config.load(None)
    file = FileReadable(path)
    return await inspect_readable(file, QemuImg(settings.qemu_img), settings.limits)


def _settings(
    file: Path | None, data: Path | None, listen: str | None = None, *, no_token: bool = False
) -> config.Config:
    given = {
        "data": str(data) if data else None,
        "listen": listen,
        "no_token": no_token or None,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    return config.apply(config.load(file), {"service": chosen})


def _wanted(format: str | None) -> WantedFormat | None:
    for known in get_args(WantedFormat):
        if format == known:
            return cast(WantedFormat, known)
    if format is not None:
        raise CallerError(f"--format {format}: images are stored as raw or qcow2")
    return None


def _toml(value: object) -> str:
    import json

    # JSON's strings, numbers, booleans and lists of those are TOML as well.
    return json.dumps(list(value) if isinstance(value, tuple) else value)
