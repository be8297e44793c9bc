"""Joins a source and stages into one path, and closes them all.

A stage is an async generator function: chunks in, chunks out, about 1 MiB each, order kept. Nothing
runs ahead: a chunk is made when the next stage asks for it, so backpressure needs no code. A path
is read once; a retry is a new one.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Any, Self, TypeAlias

Chunks: TypeAlias = AsyncGenerator[bytes, None]
"""Bytes of a file in order; no chunk is empty."""

Stage: TypeAlias = Callable[[Chunks], Chunks]


class Pipe:
    """A path from *source* that grows stage by stage, as its head tells what is needed.

    >>> async with Pipe(source) as path:
    ...     path.through(hashed)
    ...     head = await path.peek(MiB)
    ...     path.through(gunzip)
    ...     async for chunk in path.chunks: ...

    On leaving, every stage is closed, the last first. Stages therefore never close their input.
    """

    def __init__(self, source: Chunks) -> None:
        self._source = source
        self._stack = AsyncExitStack()
        self.chunks = source

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(aclosing(self._source))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def through(self, stage: Stage) -> None:
        """Let what comes now go through *stage* too."""
        self.chunks = stage(self.chunks)
        self._stack.push_async_callback(self.chunks.aclose)

    def instead(self, chunks: Chunks) -> None:
        """Let *chunks* come from now on; they may be made of what came here so far."""
        self.through(lambda _: chunks)

    def closes(self, reader: AsyncGenerator[Any, None]) -> None:
        """Close *reader*, which reads from here something else than bytes, before the stages."""
        self._stack.push_async_callback(reader.aclose)

    async def peek(self, size: int) -> bytes:
        """Return the next *size* bytes (fewer only at the end) and leave them in the path."""
        head: list[bytes] = []
        missing = size
        async for chunk in self.chunks:
            head.append(chunk)
            missing -= len(chunk)
            if missing <= 0:
                break
        rest = self.chunks

        async def again(_: Chunks) -> Chunks:
            for chunk in head:
                yield chunk
            async for chunk in rest:
                yield chunk

        self.through(again)
        return b"".join(head)[:size]
