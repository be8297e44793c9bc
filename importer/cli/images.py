"""What the commands do with images: begin, follow, print."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import typer

from importer.cli import display
from importer.cli.access import checked_name
from importer.cli.body import Body, LocalFile
from importer.cli.client import Client
from importer.cli.exits import print_json
from importer.cli.follow import follow, follow_own, ready, send, takes_upload
from importer.cli.progress import Show, showing
from importer.cli.session import Session
from importer.errors import CallerError
from importer.model import (
    Checksum,
    Image,
    ImageInfo,
    ImageRequest,
    Spec,
    StorageClass,
    WantedFormat,
)
from importer.units import human


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the image is to be; None: as the service has it."""

    storage_class: str | None = None
    checksum: str | None = None
    format: WantedFormat | None = None
    target: Mapping[str, Any] = field(default_factory=dict)
    """Options of the backend."""

    @property
    def query(self) -> dict[str, str]:
        """What an upload is told of it."""
        wanted = {
            "storageClass": self.storage_class,
            "checksum": self.checksum,
            "format": self.format,
            "target": json.dumps(self.target) if self.target else None,
        }
        return {key: value for key, value in wanted.items() if value}

    def of(self, spec: Spec) -> "Wanted":
        """Return the same for an image that was named before, with this *spec*."""
        return Wanted(
            self.storage_class or spec.storage_class,
            self.checksum or spec.checksum,
            self.format or spec.format,
            self.target or spec.target,
        )


async def upload_file(
    session: Session, path: Path, name: str, wanted: Wanted, *, as_is: bool
) -> None:
    """Send the file at *path*, follow its import, print the result."""
    checked_name(name)
    _check(wanted.checksum)
    with showing(as_json=session.as_json) as show:
        body: Body = LocalFile(path, lambda done: show.phase("Uploading", done, body.size))
        earlier = await session.client.find(name)
        if earlier and takes_upload(earlier):
            wanted = wanted.of(earlier.spec)
        if not as_is:
            body = await _compact(session.client, path, wanted, show) or body
        image = await send(session.client, name, body, wanted.query, earlier, show)
    _print(session, image, display.result_line(ready(image), _told(body)))


async def _compact(client: Client, path: Path, wanted: Wanted, show: Show) -> Body | None:
    """Return the disk in *path* in a smaller form, None when the file is best sent as it is."""
    # Only here: what looks into files takes longer to load than a small file to send.
    from importer.cli import compact

    if (disk := await compact.look(path)) is None:
        return None
    if (place := await _place(client, wanted.storage_class)) is None:
        return None  # The service refuses it in its own words.
    if (wire := compact.form(disk, wanted.format, place)) == "as-is":
        return None
    phase, total = f"Uploading as {wire}", disk.virtual_size
    return compact.Compact(disk, wire, wanted.checksum, lambda done: show.phase(phase, done, total))


async def _place(client: Client, name: str | None) -> StorageClass | None:
    for place in await client.classes():
        if place.name == name or (name is None and place.default):
            return place
    return None


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


def _print_items(items: Sequence[Image]) -> None:
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
