"""Small chunks joined to ones that are worth a thread hop."""

from importer.stream.pipe import Chunks
from importer.units import CHUNK


async def rechunk(chunks: Chunks) -> Chunks:
    """Yield the bytes of *chunks* in pieces of at least CHUNK, but for the last."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size >= CHUNK:
            yield b"".join(parts)
            parts, size = [], 0
    if parts:
        yield b"".join(parts)
