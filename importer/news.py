"""Tells whoever listens what has changed.

A listener that is slow misses versions between, never the last one: it holds one pending version
a thing, so a stream of news costs as much memory as there are things, whatever their rate.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Listener(Generic[T]):
    """One reader of news."""

    _pending: dict[str, T] = field(default_factory=dict)
    _something: asyncio.Event = field(default_factory=asyncio.Event)
    _ends: dict[str, asyncio.Event] = field(default_factory=dict)

    def tell(self, key: str, news: T, is_last: bool = False) -> None:
        """Put *news* in place of older ones of the same thing; *is_last*: none will follow."""
        self._pending[key] = news
        self._something.set()
        if is_last and key in self._ends:
            self._ends[key].set()

    async def last_of(self, key: str) -> None:
        """Wait until the thing *key* has had its last news."""
        await self._ends.setdefault(key, asyncio.Event()).wait()

    async def batch(self) -> list[T]:
        """Wait for news and return all of it."""
        await self._something.wait()
        self._something.clear()
        news = list(self._pending.values())
        self._pending.clear()
        return news


class News(Generic[T]):
    """Passes news to all listeners; *key* names the thing that they are of.

    *is_last* says whether that thing will have no more of them.
    """

    def __init__(
        self, key: Callable[[T], str], is_last: Callable[[T], bool] = lambda _: False
    ) -> None:
        self._key = key
        self._is_last = is_last
        self._listeners: set[Listener[T]] = set()
        self._calls: list[Callable[[T], None]] = []

    def call(self, hear: Callable[[T], None]) -> None:
        """Let *hear* be called with everything from now on, none left out."""
        self._calls.append(hear)

    def publish(self, news: T) -> None:
        """Tell every listener; nothing waits."""
        for hear in self._calls:
            hear(news)
        for listener in self._listeners:
            listener.tell(self._key(news), news, self._is_last(news))

    @contextmanager
    def listener(self) -> Iterator[Listener[T]]:
        """Return a listener that hears everything until the block ends."""
        listener = Listener[T]()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.remove(listener)
