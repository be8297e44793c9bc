"""Follows an import to its end, or stops it when the user presses Ctrl-C."""

import asyncio
from collections.abc import Callable

import typer

from importer.cli.client import Client
from importer.cli.exits import Refused
from importer.cli.progress import Show
from importer.cli.safe import plain
from importer.model import OVER, Image, Phase, Problem

TRIES = 5
"""Times in a row that a broken stream of events is opened again."""

PAUSE = 1.0
"""Seconds before that, and between looks for an image that is not there yet at most."""

GOODBYE = 10.0
"""Seconds that the service gets to stop an import."""


def is_over(image: Image) -> bool:
    """Say whether nothing becomes of *image* any more."""
    return image.phase in OVER


async def follow(
    client: Client,
    name: str,
    show: Show,
    most: int = TRIES,
    until: Callable[[Image], bool] = is_over,
) -> Image:
    """Return the image when it is over, or *until* says so.

    The service may be restarted meanwhile: *most* times in a row it is asked again. Raises Refused.
    """
    tries = 0
    while True:
        try:
            async for image in client.events(name):
                tries = 0
                show.image(image)
                if until(image):
                    return image
        except Refused as exc:
            if exc.problem.slug != "unreachable" or tries == most:
                raise
        if tries == most:
            raise Refused(_silent(name))
        tries += 1
        await asyncio.sleep(PAUSE)


def ready(image: Image) -> Image:
    """Return *image* when it is Ready. Raises Refused with why it is not."""
    if image.phase == Phase.READY:
        return image
    raise Refused(image.status.error or _not_ready(image))


async def follow_own(client: Client, image: Image, show: Show) -> Image:
    """Follow an import that this command began: Ctrl-C stops it."""
    try:
        return await follow(client, image.name, show)
    except asyncio.CancelledError:
        await _cancel(client, image.name)
        raise


async def _cancel(client: Client, name: str) -> None:
    try:
        await asyncio.wait_for(client.cancel(name), GOODBYE)
    except TimeoutError:
        said = f"{name}: the service does not answer; cancel it with `importer cancel {name}`"
    except Refused as exc:
        said = f"{name} is not cancelled: {exc.problem.message}"
    else:
        said = f"{name} is cancelled"
    typer.echo(plain(said), err=True)


def _not_ready(image: Image) -> Problem:
    slug = "cancelled" if image.phase == Phase.CANCELLED else "failed"
    message = f"image {image.name} is {image.phase.value}"
    return Problem(slug=slug, side="caller", retryable=False, message=message)


def _silent(name: str) -> Problem:
    message = f"the service does not tell how {name} goes on; look with `importer show {name}`"
    return Problem(slug="unreachable", side="internal", retryable=True, message=message)
