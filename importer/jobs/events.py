"""Tells whoever listens that an image changed."""

from dataclasses import dataclass
from typing import TypeAlias

from importer import news
from importer.model import OVER, Image


@dataclass(frozen=True, slots=True)
class Event:
    """An image as it is now, or as it was when it was deleted."""

    image: Image
    deleted: bool = False
    sent: int = 0
    """Bytes that have gone to its target in this try."""

    @property
    def is_last(self) -> bool:
        """Say whether nothing more happens to the image by itself."""
        return self.deleted or self.image.phase in OVER


Listener: TypeAlias = news.Listener[Event]


class Hub(news.News[Event]):
    """Passes events of images to all listeners."""

    def __init__(self) -> None:
        super().__init__(lambda event: event.image.uid, lambda event: event.is_last)
