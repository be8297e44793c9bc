"""Uploads a file: looks at it, goes on with what was begun before, sends it, follows its image."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from importer.cli.body import Body, LocalFile, refuse_changed, size_of, stamp_of
from importer.cli.client import Client
from importer.cli.exits import Refused
from importer.cli.follow import ready
from importer.cli.kept import Begun, Kept
from importer.cli.order import Order, Wanted
from importer.cli.progress import Show
from importer.cli.sending import Sending
from importer.cli.tus import Stand, Tus
from importer.errors import ImporterError
from importer.model import (
    Image,
    Phase,
    StorageClass,
    UploadSource,
    Wire,
)
from importer.units import human

GOODBYE = 10.0
"""Seconds that the service gets to forget an upload whose file is no good."""


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a file."""

    image: Image
    sent: str
    """What travelled, where that is not the file as it is."""


class Upload:
    """One file on its way."""

    def __init__(self, client: Client, order: Order, show: Show) -> None:
        self._client = client
        self._tus = Tus(client)
        self._order = order
        self._show = show
        self._kept = Kept(client.address, client.namespace, order.name, order.path)
        self._is_new = False

    async def run(self) -> Made:
        """Send it and return its image when that is over; Ctrl-C leaves it for the next time."""
        self._order.check()
        begun = await self._begun()
        wanted = await self._wanted(begun)
        body = await self._body(wanted, begun)
        if begun and begun.shape != body.shape:
            await self._give_up(begun.id, "its holes are told otherwise now")
            begun = None
            body = await self._body(wanted, None)
        wanted = await self._hashed(wanted, body, begun)
        sending = self._sending(wanted, body, begun)
        try:
            image = ready(await sending.run())
        except BaseException as exc:
            await self._leave(sending, exc)
            raise
        finally:
            await sending.close()
        self._kept.forget()
        sent = "" if body.wire == "as-is" else f"{human(body.sent)} sent as {body.wire}"
        return Made(image, sent)

    async def _begun(self) -> Begun | None:
        """Return what an earlier command began and this one can go on with."""
        begun, path = self._kept.load(), self._order.path
        if begun is None:
            return None
        if begun.stamp != stamp_of(path):
            await self._give_up(begun.id, f"{path} has changed since it was begun")
            return None
        if begun.asked != self._order.asked:
            await self._give_up(begun.id, "it was begun with other options")
            return None
        stand = await self._stand(begun)
        if stand is None:
            self._note("the service holds the upload no more: beginning anew")
            self._kept.forget()
            return None
        self._note(f"going on at {human(stand.offset)}")
        return begun

    async def _stand(self, begun: Begun) -> Stand | None:
        """Return how far the upload is, None when it is over without an image."""
        try:
            stand = await self._tus.stands(begun.id)
        except Refused as exc:
            if exc.problem.slug == "not-found":
                return None
            raise
        image = await self._client.find(self._order.name)
        lost = image is None or image.phase in (Phase.FAILED, Phase.CANCELLED)
        return None if lost else stand

    async def _wanted(self, begun: Begun | None) -> Wanted:
        """Return what is wanted, also by an image that was named before."""
        earlier = await self._client.find(self._order.name)
        self._is_new = earlier is None
        if earlier and (begun or _takes_upload(earlier)):
            return self._order.wanted.of(earlier.spec)
        return self._order.wanted

    async def _body(self, wanted: Wanted, begun: Begun | None) -> Body:
        """Return what is sent: the disk in a smaller form, or the file as it is."""
        path = self._order.path
        whole: Body = LocalFile(path, lambda done: self._told("Uploading", done, whole.size))
        if self._order.as_is or (begun and begun.wire == "as-is"):
            return whole
        # Only here: what looks into files takes longer to load than a small file to send.
        from importer.cli import compact

        if (disk := await compact.look(path)) is None:
            return whole
        wire = begun.wire if begun else await self._wire(disk, wanted)
        if wire == "as-is":
            return whole
        return compact.Compact(
            disk,
            wire,
            None if wanted.algorithm else wanted.checksum,
            lambda done: self._told(f"Uploading as {wire}", done, disk.virtual_size),
            begun.marks if begun else (),
        )

    async def _wire(self, disk: Any, wanted: Wanted) -> Wire:
        from importer.cli import compact

        place = await self._place(wanted.storage_class)
        # A class that is not there, the service refuses in its own words.
        return compact.form(disk, wanted.format, place) if place else "as-is"

    async def _place(self, name: str | None) -> StorageClass | None:
        for place in await self._client.classes():
            if place.name == name or (name is None and place.default):
                return place
        return None

    async def _hashed(self, wanted: Wanted, body: Body, begun: Begun | None) -> Wanted:
        """Return *wanted* with the checksum that the file has, where one is to be computed."""
        if not wanted.algorithm:
            return wanted
        if begun and begun.checksum:
            return replace(wanted, checksum=begun.checksum)
        from importer.cli.checking import checksum_of

        path = self._order.path
        size = size_of(path)
        checksum = await checksum_of(
            path, wanted.algorithm, lambda done: self._told("Hashing", done, size)
        )
        await refuse_changed(path, body.stamp)
        return replace(wanted, checksum=checksum)

    def _sending(self, wanted: Wanted, body: Body, begun: Begun | None) -> Sending:
        told = {"name": self._order.name, "filename": self._order.path.name}
        if self._client.namespace:
            told["namespace"] = self._client.namespace
        told |= {**wanted.query, **body.query}

        def news() -> None:
            if sending.id:
                self._kept.save(
                    Begun(
                        id=sending.id,
                        asked=self._order.asked,
                        stamp=body.stamp,
                        wire=body.wire,
                        shape=body.shape,
                        checksum=wanted.checksum if self._order.wanted.algorithm else None,
                        marks=body.marks,
                    )
                )

        sending = Sending(
            self._client,
            self._order.name,
            body,
            told,
            self._show,
            news,
            self._order.chunk_size,
            begun.id if begun else None,
        )
        return sending

    async def _leave(self, sending: Sending, error: BaseException) -> None:
        """Keep what the same command can go on with; leave nothing of what it cannot."""
        if isinstance(error, asyncio.CancelledError):
            if sending.id:
                self._note(self._goodbye(sending))
        elif isinstance(error, ImporterError):  # Of the file: it never becomes this image.
            await self._end(sending.id)
        elif isinstance(error, Refused) and not _may_go_on(error):
            self._kept.forget()
            if (
                sending.id
                and self._is_new
                and not (sending.whole and error.problem.side == "target")
            ):
                await self._remove_failed()

    def _goodbye(self, sending: Sending) -> str:
        name = self._order.name + (
            f" --namespace {self._client.namespace}" if self._client.namespace else ""
        )
        if sending.whole:
            return (
                f"all of it is sent, and the service goes on: `importer watch {name}` follows it, "
                f"`importer cancel {name}` stops it"
            )
        return (
            f"stopped at {human(sending.sent)}; the same command again goes on, "
            f"`importer cancel {name}` gives it up"
        )

    async def _give_up(self, id: str, why: str) -> None:
        self._note(f"{why}: beginning anew")
        await self._end(id)

    async def _end(self, id: str | None) -> None:
        self._kept.forget()
        if id:
            with suppress(Refused, TimeoutError):  # It ends by itself, a little later.
                await asyncio.wait_for(self._tus.end(id), GOODBYE)

    async def _remove_failed(self) -> None:
        """Remove the record of an image that was made for this upload, and refused."""
        with suppress(Refused, TimeoutError):
            async with asyncio.timeout(GOODBYE):
                image = await self._client.find(self._order.name)
                if image and image.phase is Phase.FAILED and not image.status.target:
                    await self._client.delete(self._order.name)

    def _told(self, phase: str, done: int, total: int | None) -> None:
        self._show.phase(phase, done, total)

    def _note(self, text: str) -> None:
        self._show.note(f"{self._order.name}: {text}")


def _takes_upload(image: Image) -> bool:
    """Return whether an upload fills *image*, instead of being refused because of it."""
    waits = image.phase in (Phase.PENDING, Phase.FAILED)
    return waits and isinstance(image.spec.source, UploadSource)


def _may_go_on(error: Refused) -> bool:
    """Say whether the service may still have the upload, and another command go on with it."""
    passing = ("conflict", "unauthorized", "origin-refused", "too-many-uploads")
    return error.problem.side == "internal" or error.problem.slug in passing
