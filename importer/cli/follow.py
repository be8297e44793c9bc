"""Follows an import to its end, and stops it when the user presses Ctrl-C."""

import asyncio
from collections.abc import Mapping

import typer

from importer.cli.body import Body
from importer.cli.client import Client
from importer.cli.exits import Refused
from importer.cli.progress import Show
from importer.cli.safe import plain
from importer.model import AT_TARGET, OVER, Image, Phase, Problem, UploadSource

TRIES = 5
"""Times in a row that a broken stream of events is opened again."""

PAUSE = 1.0
"""Seconds before that, and between looks for an image that is not there yet at most."""

GOODBYE = 10.0
"""Seconds that the service gets to stop an import."""


async def follow(client: Client, name: str, show: Show) -> Image:
    """Return the image when it is over; the service may be restarted meanwhile. Raises Refused."""
    tries = 0
    while True:
        try:
            async for image in client.events(name):
                tries = 0
                show.image(image)
                if image.phase in OVER:
                    return image
        except Refused as exc:
            if exc.problem.slug != "unreachable" or tries == TRIES:
                raise
        if tries == TRIES:
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


async def send(
    client: Client,
    name: str,
    body: Body,
    wanted: Mapping[str, str],
    earlier: Image | None,
    show: Show,
) -> Image:
    """Send *body* and return its image when it is over. Ctrl-C stops the import.

    *earlier*: the image that had this name before.
    """
    watching = _Own(client, name, earlier, _AroundBody(body, show))
    upload = asyncio.create_task(client.upload(name, body, wanted))
    watch = asyncio.create_task(watching.watch())
    try:
        # Shielded: the service would take a broken connection for a failed upload.
        image = await asyncio.shield(upload)
    except asyncio.CancelledError:
        await watching.cancel()
        raise
    finally:
        upload.cancel()
        watch.cancel()
        await asyncio.gather(upload, watch, return_exceptions=True)
    return image if image.phase in OVER else await follow_own(client, image, show)


class _AroundBody:
    """Shows what the service does before and after the body; in between the sender knows more."""

    def __init__(self, body: Body, show: Show) -> None:
        self._body = body
        self._show = show

    def phase(self, name: str, done: int, total: int | None) -> None:
        """Show it."""
        self._show.phase(name, done, total)

    def image(self, image: Image) -> None:
        """Show an image that waits for its turn, or that the target works on."""
        if not self._body.done or image.phase in AT_TARGET:
            self._show.image(image)


class _Own:
    """The import that an upload begins, told from an earlier image of the same name."""

    def __init__(self, client: Client, name: str, earlier: Image | None, show: Show) -> None:
        self._client = client
        self._name = name
        self._foreign = earlier.uid if earlier and not takes_upload(earlier) else None
        self._show = show

    async def watch(self) -> None:
        """Show what the service does. What goes wrong here, the upload's answer tells better."""
        try:
            while not await self._begun():  # noqa: ASYNC110 - no event tells of new images
                await asyncio.sleep(PAUSE / 5)
            await follow(self._client, self._name, self._show)
        except Refused:
            return

    async def cancel(self) -> None:
        """Stop it, if it was begun."""
        try:
            begun = await asyncio.wait_for(self._begun(), GOODBYE)
        except (Refused, TimeoutError):
            begun = False
        if begun:
            await _cancel(self._client, self._name)

    async def _begun(self) -> bool:
        image = await self._client.find(self._name)
        return image is not None and image.uid != self._foreign and image.phase not in OVER


def takes_upload(image: Image) -> bool:
    """Return whether an upload fills *image*, instead of being refused because of it."""
    waits = image.phase in (Phase.PENDING, Phase.FAILED)
    return waits and isinstance(image.spec.source, UploadSource)


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
