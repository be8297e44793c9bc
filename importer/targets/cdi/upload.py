"""Sending a disk to CDI's upload proxy: one POST of the raw body (facts of its sources: A1 to A6).

``Expect: 100-continue`` makes the proxy check the token, and wait for the pod, before a byte of the
source is spent: its handler's first read of the body is what asks for it. Until then all can be
sent again. CDI resumes nothing: what breaks later is the next try's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from importer.errors import CorruptImage, ImporterError, ObjectGone, TargetError, TargetUnavailable
from importer.kube.patience import Patience
from importer.stream.pipe import Chunks
from importer.targets import Tell
from importer.targets.cdi import answers
from importer.targets.cdi.proxy import Proxy
from importer.targets.remote import Answer, Sending, sending

_LATER = (502, 503, 504)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that CDI may keep us waiting."""

    taken: float = 60.0
    """Until it takes the next bytes."""

    busy: float = 120.0
    """While it answers that it is not ready, or busy."""

    quiet: float = 5.0
    """Without news of a DataVolume, until its events are asked for; tripled each time."""

    told: float = 5.0
    """Until the cluster says why an upload broke."""


@dataclass(slots=True)
class Upload:
    """One body on its way."""

    proxy: Proxy
    path: str
    claim: str
    """``NAMESPACE/NAME``, for messages."""

    size: int | None
    """Bytes of the body, where they are known."""

    as_is: bool
    """It is the image's own file."""

    token: Callable[[], Awaitable[str]]
    """Return a new token. Called right before each request: tokens last 5 minutes."""

    tell: Tell
    pace: Pace
    answered: float
    """Seconds from the last byte to the answer."""

    sent: int = 0
    _held: list[bytes] = field(default_factory=list)
    """What was read of the source while the server had not asked for it."""

    _taken: bool = False
    """The server has asked for the body."""

    async def run(self, pieces: Chunks) -> int:
        """Send *pieces*, and return how many bytes that was.

        Raises TargetUnavailable, TargetError, NoSpace, CorruptImage, and what *pieces* raise.
        """
        if (first := await anext(pieces, None)) is None:
            raise CorruptImage(f"upload into {self.claim}: not a byte came")
        self._held = [first]
        patience, renewed = Patience(self.pace.busy), False
        while (answer := await self._once(pieces)).status != 200:
            if self._taken or answer.is_page:
                break
            if answer.status == 401 and not renewed:
                renewed = True
            elif not _may_pass(answer) or not await self._paused(answer, patience):
                break
        if answer.status != 200:
            raise self._refusal(answer)
        return self.sent

    async def _paused(self, answer: Answer, patience: Patience) -> bool:
        self.tell(f"CDI's upload proxy: {answer.status} {answer.words}; trying again")
        return await patience.pause()

    async def _once(self, pieces: Chunks) -> Answer:
        """Make one request; return its answer, which may come before the end."""
        headers = {
            "Authorization": f"Bearer {await self.token()}",
            "Content-Type": "application/octet-stream",
            "Expect": "100-continue",
        }
        if self.size is not None:
            headers["Content-Length"] = str(self.size)
        url, tls = self.proxy.url.with_path(self.path), self.proxy.tls
        self.sent = 0
        async with sending(
            str(self.proxy), url, headers, self.pace.taken, tls, self.answered
        ) as request:
            for held in self._held:
                if early := await request.send(held):
                    return _unfinished(early)
                self.sent += len(held)
            self._taken = len(self._held) > 1
            while (piece := await self._next(pieces, request)) is not None:
                if not piece:
                    return _unfinished(request.answer.result())
                if not self._taken:
                    self._held.append(piece)
                if early := await request.send(piece):
                    return _unfinished(early)
                # One piece waits in the request: this one could follow when the first was taken.
                self._taken = True
                self._held.clear()
                self.sent += len(piece)
            return await request.end()

    async def _next(self, pieces: Chunks, request: Sending) -> bytes | None:
        """Return the next piece, None at the end, an empty one when the answer came before it."""
        if not self._taken:  # what is read now may have to be sent again
            return await anext(pieces, None)
        coming = asyncio.ensure_future(anext(pieces, None))
        try:
            await asyncio.wait({coming, request.answer}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else b""
        finally:
            coming.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await coming

    def _refusal(self, answer: Answer) -> ImporterError:
        who = f"upload into {self.claim}"
        if answer.is_page:
            return answers.page(who, answer)
        told = f"{who}: {self.proxy} answers {answer.status} {answer.words}"
        match answer.status:
            case 401 if self._taken:
                return TargetError(
                    f"{told} after the body: something in front of it kept the body until the "
                    "token was too old; turn its request buffering off, or let [cdi] url go round"
                )
            case 401:
                return TargetError(
                    f"{told}, also to a new token: are the clocks of CDI's apiserver and "
                    "uploadproxy the same, and their signing keys?"
                )
            case 409:
                return TargetError(f"{told}: the volume was filled already, by somebody else")
            case 404 | 405 | 301 | 302 | 307 | 308:
                return TargetError(f"{told}: is [cdi] url CDI's upload proxy?")
            case 503 if "doesn't exist" in answer.text or "doesn&#39;t" in answer.text:
                return ObjectGone(f"{told}: somebody deleted it")
            case 503 if not _may_pass(answer):
                return TargetError(told)
            case 400 | 500 if answer.text.strip():
                return answers.failure(who, answer.words, self.as_is)
            case status if status >= 500 or status in (200, 408, 429):
                return TargetUnavailable(told)
        return TargetError(told)


def _unfinished(answer: Answer) -> Answer:
    """Return *answer*, which came before the end: a 200 then is none."""
    return Answer(502, "200 before the end of the body") if answer.status == 200 else answer


def _may_pass(answer: Answer) -> bool:
    """Whether a proxy that says no may soon say yes: busy, or its pod not ready."""
    final = ("doesn", "already finished", "not an upload target", "content-type")
    return answer.status in _LATER and not any(words in answer.text for words in final)
