"""Makes the next chunk while the last one is being used: the two sides of a path overlap."""

import asyncio
from contextlib import suppress

from importer.stream.pipe import Chunks


async def ahead(chunks: Chunks) -> Chunks:
    """Yield *chunks*, always one ahead; never more, so memory stays bounded."""
    coming = _next(chunks)
    try:
        while (chunk := await coming) is not None:
            coming = _next(chunks)
            yield chunk
    finally:
        coming.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await coming


def _next(chunks: Chunks) -> asyncio.Future[bytes | None]:
    return asyncio.ensure_future(anext(chunks, None))
