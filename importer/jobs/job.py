"""An image that somebody works on, from its first try to its end."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from importer.errors import ImporterError
from importer.jobs.attempt import Attempt
from importer.jobs.into import Into
from importer.jobs.timeline import Speed
from importer.model import RUNNING, Image, Phase, Progress, UploadSource
from importer.targets.remote import one_line


@dataclass(frozen=True, slots=True)
class Doing:
    """What a target says that it does, *done* of *total* where it counts."""

    words: str
    done: int | None
    total: int | None


@dataclass(slots=True, eq=False)
class Job:
    """An image that somebody works on."""

    image: Image
    done: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    attempt: Attempt | None = None
    speed: Speed = field(default_factory=Speed)
    cancelled: bool = False
    whole: bool = False
    """The target has the whole image: too late to cancel."""

    error: ImporterError | None = None
    left: bool = False
    """Something of the last try may be on the target still: it could not be taken away."""

    shuffled: str = ""
    """Why the image cannot be read in one pass, once a try found that out."""

    doing: Doing | None = None
    """What the target does or waits for in this phase."""

    ready: Callable[[], Awaitable[None]] | None = None
    """Waits for the upload's first byte before a worker is taken for it: it is a resumable one."""

    away: bool = False
    """The client of a resumable upload sends nothing; its worker is lent to others."""

    absences: int = 0
    """Tries that ended because of that: they are none of those that an image has."""

    into: Into | None = None
    """Where its bytes go, if that is no place of its storage class."""

    received: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the source has given its last byte, or the job is over."""

    @property
    def is_waiting_upload(self) -> bool:
        """A client's connection is held open for it, and nothing is read yet."""
        is_upload = isinstance(self.image.spec.source, UploadSource)
        return is_upload and self.image.phase is Phase.PENDING

    def tell(self, doing: str, done: int | None = None, total: int | None = None) -> None:
        """Hear what the target does; much of it are words of the cluster's objects."""
        self.doing = Doing(one_line(doing), done, total)

    def tell_away(self, away: bool) -> None:
        """Hear that the client is away, or back."""
        self.away = away
        self.doing = Doing("waiting for the client to go on", None, None) if away else None

    @property
    def tries(self) -> int:
        """How often the image was tried with its client there."""
        return self.image.status.attempt - self.absences

    def live(self, image: Image) -> Image:
        """Return the image with the progress of this moment; *image* while nothing runs."""
        if self.attempt is None or self.image.phase not in RUNNING:
            return image
        status = msgspec.structs.replace(
            self.image.status,
            progress=self._progress(self.attempt),
            doing=self.doing.words if self.doing else None,
        )
        return msgspec.structs.replace(self.image, status=status)

    def _progress(self, attempt: Attempt) -> Progress | None:
        at = asyncio.get_running_loop().time()
        if self.image.phase in (Phase.INSPECTING, Phase.TRANSFERRING) and attempt.done:
            return self.speed.progress(at, attempt.done, attempt.total)
        if self.doing and self.doing.done is not None:
            return Progress(done=self.doing.done, total=self.doing.total)
        return None
