"""A claim that somebody else made for an upload, filled with somebody else's token.

CDI itself says whether the token opens the claim: the request to its upload proxy is begun before
a byte of the image is read, with ``Expect: 100-continue``. The proxy looks at the token, waits for
the claim and its pod, and only then asks for the body (transcripts ``cdi-proxy-bad-token``,
``cdi-proxy-pvc``), so an answer before that is its verdict. The claim is never removed.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from importer.config import Cdi
from importer.errors import ImporterError, NoSpace, ObjectGone, TargetError, TargetUnavailable
from importer.kube.cluster import Cluster, Object
from importer.kube.objects import Claim, view
from importer.kube.resources import CLAIMS
from importer.kube.wait import wait_for
from importer.model import Format, ImageInfo, Placed, Wire
from importer.stream.extent import Layout
from importer.stream.pipe import Chunks, Pipe
from importer.targets import Finished, Tell, Written, untold
from importer.targets.cdi import answers
from importer.targets.cdi.body import Body
from importer.targets.cdi.proxy import Proxy
from importer.targets.cdi.shelf import ACCEPTS as NEW
from importer.targets.remote import Answer, Sending, sending
from importer.units import MiB

ACCEPTS = replace(NEW, made=True)

VERDICT = 60.0
"""Seconds until CDI has said yes or no; it waits 10 for the claim's pod."""

_TAKEN = 60.0
"""Seconds until it takes the next bytes."""

_ANSWERED = 24 * 3600.0
"""Seconds from the last byte to the answer; `ClaimPlace` knows the disk and waits for less."""

_SLOWEST = 20 * MiB
"""Bytes of a disk a second that CDI's own work is given time for."""


def begin(to: Proxy, path: str, headers: Mapping[str, str]) -> Sending:
    """Begin an upload to *path* with the client's own *headers*; use it as a context manager."""
    told = {"Content-Type": "application/octet-stream", "Expect": "100-continue", **headers}
    return sending(str(to), to.url.with_path(path), told, _TAKEN, to.tls, _ANSWERED)


async def verdict(post: Sending) -> Answer | None:
    """Return what CDI refuses the upload with, None when it asks for the body.

    Raises TargetUnavailable, TargetError.
    """
    asked = asyncio.create_task(post.asked.wait())
    try:
        await asyncio.wait(
            {asked, post.answer}, timeout=VERDICT, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        asked.cancel()
    if post.answer.done():
        return post.answer.result()
    if not post.asked.is_set():
        raise TargetUnavailable(f"CDI's upload proxy says nothing for {VERDICT:g} s")
    return None


class ClaimPlace:
    """The claim, once CDI has asked for the body."""

    def __init__(self, cluster: Cluster, settings: Cdi, claim: Claim, post: Sending) -> None:
        self._cluster = cluster
        self._settings = settings
        self._claim = claim
        self._post = post
        self._tell: Tell = untold
        self._info = ImageInfo(format=Format.RAW)
        self._body = Body(self._info, "as-is", None)
        self._wire: Wire = "as-is"

    def telling(self, tell: Tell) -> "ClaimPlace":
        """Return the same; *tell* hears what it waits for."""
        self._tell = tell
        return self

    async def prepare(self, info: ImageInfo, wire: Wire = "as-is", size: int | None = None) -> None:
        """Compare the disk with the claim. Raises NoSpace."""
        self._info, self._wire, self._body = info, wire, Body(info, wire, size)
        room = max(self._claim.requested, self._claim.capacity)
        if room and info.virtual_size and info.virtual_size > room:
            raise NoSpace(
                f"virtual image size {info.virtual_size} is larger than the reported available "
                f"storage {room}. A larger PVC is required"
            )

    async def write(self, chunks: Chunks) -> Written:
        """Send the bytes, a raw disk padded with zeros to whole sectors."""
        sent, early = 0, None
        async with Pipe(chunks) as path:
            await self._body.through(path)
            async for piece in path.chunks:
                if early := await self._post.send(piece):
                    break
                sent += len(piece)
            answer = early or await self._ended()
        if early and early.status == 200:
            raise TargetUnavailable(f"{self._shown}: CDI says 200 before the end of the body")
        if answer.status != 200:
            raise self._refusal(answer)
        return Written(self._body.size, self._body.data, sent)

    async def fill(self, layout: Layout) -> Written:
        """Never asked for: CDI is not on this machine."""
        raise ImporterError(f"{self._shown} takes bytes in order, no extents")

    async def finish(self) -> Finished:
        """Wait until CDI says on the claim that its pod has succeeded."""
        self._tell("CDI makes the volume of what it got")
        space, name = self._claim.metadata.namespace, self._claim.name
        uid, what = self._claim.metadata.uid, "for CDI to make the volume"
        await wait_for(
            self._cluster, CLAIMS, space, name, self._done, self._patience, uid=uid, what=what
        )
        size = self._body.size if self._wire == "as-is" else self._info.size
        info = msgspec.structs.replace(self._info, size=size)
        return Finished(info, Placed(kind="PersistentVolumeClaim", name=f"{space}/{name}"))

    async def settle(self) -> None:
        """Do nothing: nothing is kept."""

    async def abort(self) -> None:
        """Break the request off. The claim is its maker's, and takes another upload."""
        await self._post.close()

    async def _ended(self) -> Answer:
        try:
            async with asyncio.timeout(self._patience):
                return await self._post.end()
        except TimeoutError as exc:
            raise TargetUnavailable(
                f"{self._shown}: no answer {self._patience:g} s after the last byte"
            ) from exc

    def _done(self, found: Object) -> bool | None:
        claim = view(Claim, found)
        if claim.metadata.deletion_timestamp:
            raise ObjectGone(f"{self._shown} is being deleted")
        if claim.cdi("pod.phase") == "Succeeded":
            return True
        if _restarts(claim) > _restarts(self._claim):
            why = claim.cdi("condition.running.message") or "its upload pod was started again"
            raise answers.failure(self._shown, why, self._body.is_file)
        return None

    def _refusal(self, answer: Answer) -> TargetError | ImporterError:
        if answer.is_page:
            return answers.page(self._shown, answer)
        if answer.status in (400, 500) and answer.text.strip():
            return answers.failure(self._shown, answer.words, self._body.is_file)
        return TargetError(f"{self._shown}: CDI answers {answer.status} {answer.words}")

    @property
    def _patience(self) -> float:
        return self._settings.finish + (self._info.virtual_size or 0) / _SLOWEST

    @property
    def _shown(self) -> str:
        return str(self._claim)


def _restarts(claim: Claim) -> int:
    text = claim.cdi("pod.restarts")
    return int(text) if text.isascii() and text.isdigit() else 0
