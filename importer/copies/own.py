"""Imports of this service as copies: their bytes are counted as they go to the target.

A copy begins when bytes flow and ends when the image is Ready: the target's own work after the last
byte is a part of it. Each try is a copy.
"""

from collections.abc import Callable
from dataclasses import replace

from importer.copies import IMAGES, Copies
from importer.copies.seen import ClassFact, Seen
from importer.model import Image, Phase, StorageClass, UploadSource
from importer.sources.secrets import shown

_FLOWS = (Phase.TRANSFERRING, Phase.PROCESSING)


class Own:
    """Hears of every change to an image."""

    def __init__(
        self,
        copies: Copies,
        described: Callable[[Image], StorageClass],
        changed: Callable[[], None],
    ) -> None:
        self._copies = copies
        self._described = described
        self._changed = changed
        self._running: dict[str, Seen] = {}
        """By the image's uid."""

    def hear(self, image: Image, sent: int) -> None:
        """Take in what has become of *image*; *sent*: bytes that went to its target so far."""
        if image.phase in _FLOWS:
            seen = self._running[image.uid] = _running(image, sent, self._described(image))
        elif image.uid in self._running:
            seen = _over(self._running.pop(image.uid), image, sent)
        else:
            return
        self._copies.own(seen)
        self._changed()


def _running(image: Image, sent: int, described: StorageClass) -> Seen:
    status, source = image.status, image.spec.source
    predicted = status.plan.bytes if status.plan else None
    return Seen(
        uid=image.uid if status.attempt < 2 else f"{image.uid}/{status.attempt}",
        kind=IMAGES,
        namespace=image.namespace,
        name=image.name,
        of=ClassFact(described.name, described.backend, described.engine),
        strategy="import",
        basis="measured",
        state="running",
        total=max(predicted, sent) if predicted is not None else None,
        done=sent,
        source="upload" if isinstance(source, UploadSource) else shown(source.url),
        phase=image.phase.value,
        began=_since(image, Phase.TRANSFERRING),
        is_timed=True,
    )


def _over(before: Seen, image: Image, sent: int) -> Seen:
    sent = max(sent, before.done or 0)
    before = replace(before, phase=None, done=sent, ended=_last(image))
    if image.phase is Phase.READY:
        return replace(before, state="done", total=sent)
    error = image.status.error
    return replace(
        before,
        state="failed",
        error=error.message if error else "",
        reason=error.side if error else "deleted",
    )


def _since(image: Image, phase: Phase) -> float | None:
    """Return when *image* came into *phase* the last time."""
    times = [one.started_at.timestamp() for one in image.status.phases if one.name is phase]
    return times[-1] if times else None


def _last(image: Image) -> float | None:
    """Return when the phase before the one it is in was over."""
    if not image.status.phases:
        return None
    last = image.status.phases[-1]
    return last.started_at.timestamp() + (last.seconds or 0.0)
