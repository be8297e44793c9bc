"""Sends a body until the service has all of it, over as many connections as that takes.

Raises Refused when the service says no, or cannot be reached for too long, and what reading the
body raises.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping

from importer.cli.around import AroundBody
from importer.cli.body import Body
from importer.cli.client import Client, TooLarge, Unreachable, odd
from importer.cli.exits import Refused
from importer.cli.follow import follow
from importer.cli.patience import Patience
from importer.cli.progress import Show
from importer.cli.reader import Reader
from importer.cli.stillness import Stillness
from importer.cli.tus import Tus
from importer.model import OVER, Image, Phase, Problem
from importer.units import KiB, MiB, human

PIECES = (64 * MiB, 16 * MiB, 4 * MiB, MiB, 256 * KiB)
"""Bytes of one request, the next one when something on the way takes no larger. Limits that are
met: 100 MB at Cloudflare, 1 MiB as nginx is delivered."""

STUCK = 3
"""Tries in a row that brought no byte, after which requests become smaller: a proxy may keep all of
a request to itself until it is whole, and then have a limit on its time."""

RESTARTS = 10
"""Times that all is sent anew, at most."""

TICK = 2.0
"""Seconds between two looks at a request that is under way."""

QUIET = 60.0
"""Seconds without a byte after which the service is asked whether it waits for something."""

SILENT = 10.0
"""Seconds that it gets to say that it wants the first byte. Who does not is a proxy that does not
know the question (``Expect``), and is not asked again."""

AGAIN = 300
"""Times, a second each, that a service which is away is asked for what it makes of an upload."""


class Sending:
    """One upload. *id*: of one that was begun already."""

    def __init__(
        self,
        client: Client,
        name: str,
        body: Body,
        told: Mapping[str, str],
        show: Show,
        news: Callable[[], None],
        chunk_size: int | None = None,
        id: str | None = None,
    ) -> None:
        self._client = client
        self._tus = Tus(client)
        self._name = name
        self._body = body
        self._told = told
        self._show = show
        self._news = news
        self._most = chunk_size
        self._reader = Reader(body)
        self.patience = Patience()
        self._restarts = 0
        self._asks, self._flows = True, False
        self.quiet, self.silent = QUIET, SILENT
        self.id = id
        self.offset = 0
        """Bytes that the service has, as far as is known."""

        self.whole = False
        """The service has all of it."""

    @property
    def sent(self) -> int:
        """Bytes that the service has or that are on their way."""
        return max(self.offset, self._body.sent)

    async def run(self) -> Image:
        """Send, and return the image when it is over."""
        watch = asyncio.create_task(self._watch())
        try:
            while True:
                await self._send()
                self.whole = True
                image = await follow(self._client, self._name, self._show, AGAIN, _is_settled)
                if image.phase in OVER:
                    return image
                self._lost_it("the service was started again")
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def close(self) -> None:
        """Let go of the file."""
        await self._reader.close()

    async def _send(self) -> None:
        while True:
            try:
                await self._go_on()
            except Refused as exc:
                await self._overcome(exc)
            else:
                return

    async def _go_on(self) -> None:
        """Send what is missing."""
        if self.id is None:
            self.id = await self._tus.create(self._told, self._body.size)
            self._news()
        stand = await self._tus.stands(self.id)
        self._stands_at(stand.offset)
        while self.offset != stand.size:
            if self.offset == self._reader.total:
                await self._tus.finish(self.id, self.offset)
                return
            before = self.offset
            self._stands_at(await self._watched(self._piece(self.id, before)))
            if self.offset == before != self._reader.total:
                raise odd("took nothing of what it was sent")

    async def _piece(self, id: str, offset: int) -> int:
        sizes = [self._most, None if self._body.size is None else self._body.size - offset]
        length = min((size for size in sizes if size is not None), default=None)
        chunks = self._reader.piece(offset, self._most)
        known = None if self._body.size is None else length
        asks = self._asks and not self._flows
        self._flows = False
        stands = await self._tus.send(id, offset, chunks, known, asks=asks)
        self._flows = True  # The next piece need not ask: this one was wanted.
        return stands

    def _stands_at(self, offset: int) -> None:
        if offset > self.offset:
            self.patience.progress()
        elif self.sent and not offset:
            self._note("the service has nothing of it: sending from the start")
        self.offset = offset
        self._news()

    async def _overcome(self, fault: Refused) -> None:
        """Do what lets it go on after *fault*; raise it when nothing does."""
        slug = fault.problem.slug
        if isinstance(fault, TooLarge):
            self._smaller(fault)
        elif isinstance(fault, Unreachable) or slug == "shutting-down":
            await self._again(fault)
        elif self.id is None:
            raise fault
        elif slug == "not-found":
            self._anew("the service does not have the upload any more")
        elif slug in ("conflict", "upload-incomplete"):
            await self._look(fault)
        else:
            raise fault

    async def _again(self, fault: Refused) -> None:
        if not self.patience.tries:
            self._note(f"{getattr(fault, 'what', fault)}; trying again")
        if self.patience.tries >= STUCK and self._most is None:
            self._smaller(fault)
        await self.patience.again(fault)

    def _smaller(self, fault: Refused) -> None:
        """Send less in one request from now on. Raises *fault* when that is not possible."""
        fitting = [size for size in PIECES if self._most is None or size < self._most]
        if not fitting:
            raise fault
        self._most = fitting[0]
        self._note(f"{fault.problem.message}; going on with {human(self._most)} a request")

    async def _look(self, fault: Refused) -> None:
        """Find out by the image why the service wants no more of it."""
        image = await self._image()
        if image and image.phase is Phase.FAILED and fault.problem.slug == "upload-incomplete":
            self._anew("the service has waited too long")
        elif image and image.phase is Phase.PENDING and image.status.error:
            await self.patience.again(fault)  # The target lost it; HEAD tells that it is at 0.
        elif fault.problem.slug == "upload-incomplete" and image and image.phase not in OVER:
            await self._again(fault)
        elif fault.problem.slug == "conflict":
            raise _taken_over(self._name) from fault
        else:
            raise fault

    async def _image(self) -> Image | None:
        while True:
            try:
                return await self._client.find(self._name)
            except Unreachable as exc:
                await self._again(exc)

    def _anew(self, why: str) -> None:
        """Begin another upload of the same."""
        self._lost_it(why)
        self.id = None

    def _lost_it(self, why: str) -> None:
        """Take it that the service has nothing of it. Raises Refused when that was so too often."""
        self._restarts += 1
        if self._restarts > RESTARTS:
            raise Refused(_lost(self._name, why))
        self._note(why)
        self.offset, self.whole = 0, False

    def _note(self, text: str) -> None:
        self._show.note(f"{self._name}: {text}")

    async def _watched(self, request: Coroutine[None, None, int]) -> int:
        """Return what *request* does. Raises Unreachable when nothing moves for no reason."""
        task = asyncio.ensure_future(request)
        stillness = Stillness(self._reader.at)
        try:
            while not (await asyncio.wait({task}, timeout=min(TICK, self.silent)))[0]:
                self._news()
                seconds = stillness.seconds(self._reader.at)
                if self._asks and not stillness.moved and seconds >= self.silent:
                    self._asks = False
                    raise _still("nobody says that the first byte is wanted")
                if seconds >= self.quiet:
                    await self._refuse_silence(stillness)
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _refuse_silence(self, stillness: Stillness) -> None:
        """Raise Unreachable unless the image waits for a worker or its target, or goes on."""
        what = f"nothing moved for {self.quiet:.0f} s"
        try:
            image = await asyncio.wait_for(self._client.image(self._name), self.quiet / 4)
        except TimeoutError as exc:
            raise _still(what) from exc
        waits = image.phase in (Phase.PENDING, Phase.PREPARING)
        if not stillness.excused(image) and not waits:
            raise _still(what)

    async def _watch(self) -> None:
        """Show what the service does before and after the body. The upload's own answers tell
        better what goes wrong."""
        around = AroundBody(self._body, self._show)
        while True:
            try:
                await follow(self._client, self._name, around)
            except Refused:
                await asyncio.sleep(TICK / 4)
            else:
                return


def _is_settled(image: Image) -> bool:
    """Say whether *image* is over, or waits for an upload again: then its service lost it."""
    return image.phase in OVER or image.phase is Phase.PENDING


def _taken_over(name: str) -> Refused:
    message = f"another client goes on with the upload of {name}; this one stops"
    return Refused(Problem(slug="conflict", side="caller", retryable=False, message=message))


def _still(what: str) -> Unreachable:
    problem = Problem(slug="unreachable", side="internal", retryable=True, message=what)
    return Unreachable(problem, what)


def _lost(name: str, why: str) -> Problem:
    message = f"{name} was sent {RESTARTS} times and is not there: {why}"
    return Problem(slug="unreachable", side="internal", retryable=True, message=message)
