"""Tells whoever listens that an image changed.

A listener that is slow misses versions between, never the last one: it holds one pending version
an image, so a stream of events costs as much memory as there are images, whatever their rate.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from importer.model import Image


@dataclass(frozen=True, slots=True)
class Event:
    """An image as it is now, or as it was when it was deleted."""

    image: Image
    deleted: bool = False


@dataclass(slots=True, eq=False)
class Listener:
    """One reader of events."""

    _pending: dict[str, Event] = field(default_factory=dict)
    _something: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, event: Event) -> None:
        """Put *event* in place of an older one of the same image."""
        self._pending[event.image.uid] = event
        self._something.set()

    async def batch(self) -> list[Event]:
        """Wait for news and return all of it."""
        await self._something.wait()
        self._something.clear()
        news = list(self._pending.values())
        self._pending.clear()
        return news


class Hub:
    """Passes events to all listeners."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()

    def publish(self, event: Event) -> None:
        """Tell every listener; nothing waits."""
        for listener in self._listeners:
            listener.tell(event)

    @contextmanager
    def listener(self) -> Iterator[Listener]:
        """Return a listener that hears everything until the block ends."""
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.remove(listener)


async def batches(listener: Listener, interval: float) -> AsyncIterator[list[Event]]:
    """Yield news as it comes, at most once in *interval* seconds."""
    while True:
        yield await listener.batch()
        await asyncio.sleep(interval)
