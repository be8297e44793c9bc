"""What one hop of the path costs, with nothing at either end.

Source: the same buffer over and over. Target: counts and drops. What is left is Python's price per
chunk and per hop, which no larger disk or network removes: an empty stage, the stages of a real
path (metered, limited, rechunk, ahead), and one thread hop.
"""

import asyncio
import time
from typing import Any

from importer.errors import LimitExceeded
from importer.stream.ahead import ahead
from importer.stream.meter import Meter, limited
from importer.stream.pipe import Chunks, Pipe, Stage
from importer.stream.rechunk import rechunk
from importer.stream.threads import in_thread
from importer.units import CHUNK
from perf.report import figure, in_turns

BUFFER = bytes(CHUNK)


async def source(count: int) -> Chunks:
    """Give the same buffer *count* times."""
    for _ in range(count):
        yield BUFFER


async def hop(chunks: Chunks) -> Chunks:
    """Do nothing."""
    async for chunk in chunks:
        yield chunk


async def threaded(chunks: Chunks) -> Chunks:
    """Do nothing, in a thread."""
    async for chunk in chunks:
        await in_thread(len, chunk)
        yield chunk


def stages() -> dict[str, list[Stage]]:
    """Return the paths that are measured."""
    bound = limited(1 << 60, lambda size: LimitExceeded(f"{size}"))
    return {
        "no hop": [],
        "four empty hops": [hop] * 4,
        "metered, limited, rechunk": [Meter().metered, bound, rechunk],
        "ahead": [ahead],
        "a thread": [threaded],
    }


async def main(smoke: bool) -> list[dict[str, Any]]:
    """Measure every path."""
    count = 2_000 if smoke else 50_000

    def path(through: list[Stage]) -> Any:
        async def run() -> float:
            start = time.perf_counter()
            async with Pipe(source(count)) as pipe:
                for stage in through:
                    pipe.through(stage)
                async for _ in pipe.chunks:
                    pass
            return (time.perf_counter() - start) / count * 1e6

        return run

    paths = stages()
    taken = await in_turns(3 if smoke else 7, *(path(through) for through in paths.values()))
    return [
        figure("pipe", "us_per_chunk", runs, path=name)
        for name, runs in zip(paths, taken, strict=True)
    ]


if __name__ == "__main__":
    asyncio.run(main(smoke=False))
