"""What the commands do with images: import, follow, print."""

from collections.abc import Sequence
from typing import Any

import msgspec
import typer

from importer.cli import display
from importer.cli.access import checked_name
from importer.cli.exits import print_json
from importer.cli.follow import follow, follow_own, ready
from importer.cli.progress import showing
from importer.cli.session import Session
from importer.errors import CallerError
from importer.model import (
    Image,
    ImageInfo,
    ImageRequest,
    Spec,
)


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


def print_result(session: Session, image: Image, sent: str = "") -> None:
    """Print what was made; *sent*: what travelled, where that is not the file as it is."""
    _print(session, image, display.result_line(image, sent))


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
