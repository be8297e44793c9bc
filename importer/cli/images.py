"""What the commands do with images: begin, follow, print."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer

from importer.cli import display
from importer.cli.access import checked_name
from importer.cli.body import Body, LocalFile
from importer.cli.exits import print_json
from importer.cli.follow import follow, follow_own, ready, send, takes_upload
from importer.cli.progress import Show, showing
from importer.cli.session import Session
from importer.errors import CallerError
from importer.model import Checksum, Image, ImageInfo, ImageRequest, Spec, StorageClass
from importer.units import human


async def upload_file(
    session: Session, path: Path, name: str, wanted: Mapping[str, str | None], *, as_is: bool
) -> None:
    """Send the file at *path*, follow its import, print the result."""
    checked_name(name)
    _check(wanted["checksum"])
    with showing(as_json=session.as_json) as show:
        body: Body = LocalFile(path, lambda done: show.phase("Uploading", done, body.size))
        earlier = await session.client.find(name)
        if earlier and takes_upload(earlier):
            spec = earlier.spec
            wanted = {"checksum": spec.checksum, "format": spec.format} | _given(wanted)
        if not as_is:
            body = await _compact(path, wanted, show) or body
        image = await send(session.client, name, body, _given(wanted), earlier, show)
    _print(session, image, display.result_line(ready(image), _told(body)))


def _given(wanted: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in wanted.items() if value}


async def _compact(path: Path, wanted: Mapping[str, str | None], show: Show) -> Body | None:
    """Return the disk in *path* in a smaller form, None when the file is best sent as it is."""
    # Only here: what looks into files takes longer to load than a small file to send.
    from importer.cli import compact

    disk = await compact.look(path)
    if disk is None or (wire := compact.form(disk, wanted.get("format"))) == "as-is":
        return None
    phase, total = f"Uploading as {wire}", disk.virtual_size
    return compact.Compact(
        disk, wire, wanted.get("checksum"), lambda done: show.phase(phase, done, total)
    )


def _told(body: Body) -> str:
    return "" if body.wire == "as-is" else f"{human(body.sent)} sent as {body.wire}"


async def import_image(session: Session, name: str, spec: dict[str, Any], *, wait: bool) -> None:
    """Ask for an image, follow its import, print the result."""
    try:
        wanted = msgspec.convert(spec, Spec)
    except msgspec.ValidationError as exc:
        raise CallerError(f"the options make no import: {exc}") from exc
    request = ImageRequest(
        name=checked_name(name), namespace=session.namespace or "default", spec=wanted
    )
    image = await session.client.create(request)
    if not wait:
        print_phase(session, image)
        return
    with showing(as_json=session.as_json) as show:
        image = await follow_own(session.client, image, show)
    print_result(session, ready(image))


async def watch_image(session: Session, name: str) -> None:
    """Follow an import that somebody began."""
    with showing(as_json=session.as_json, stream=True) as show:
        image = ready(await follow(session.client, name, show))
    if not session.as_json:
        print_result(session, image)


def print_result(session: Session, image: Image) -> None:
    """Print what was made."""
    _print(session, image, display.result_line(image))


def print_phase(session: Session, image: Image) -> None:
    """Print where the image stands."""
    _print(session, image, f"{image.name} is {image.phase.value}")


def print_info(session: Session, info: ImageInfo) -> None:
    """Print what an image is."""
    _print(session, info, display.info_line(info))


def print_details(session: Session, image: Image) -> None:
    """Print all of an image."""
    if session.as_json:
        print_json(msgspec.to_builtins(image))
    else:
        display.print_image(image)


def print_list(session: Session, images: list[Image]) -> None:
    """Print a table of images."""
    if session.as_json:
        _print_items(images)
    else:
        display.print_images(images)


def print_shelves(session: Session, classes: list[StorageClass]) -> None:
    """Print a table of storage classes."""
    if session.as_json:
        _print_items(classes)
    else:
        display.print_classes(classes)


def _print_items(items: Sequence[Image | StorageClass]) -> None:
    print_json({"items": msgspec.to_builtins(items)})


def _print(session: Session, value: Image | ImageInfo, text: str) -> None:
    if session.as_json:
        print_json(msgspec.to_builtins(value))
    else:
        typer.echo(text)


def _check(checksum: str | None) -> None:
    try:
        msgspec.convert(checksum, Checksum | None)
    except msgspec.ValidationError as exc:
        raise CallerError(
            f"--checksum {checksum}: give ALG:HEX with md5, sha1, sha256 or sha512 and all of "
            "its digits"
        ) from exc
