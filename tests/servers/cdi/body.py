"""What CDI makes of an upload's bytes: looked at, decompressed, told apart (facts, A7)."""

import asyncio
import lzma
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from backports import zstd

HEADER = 512
"""Bytes that CDI looks at (filefmt.go:17)."""

STEP = 1 << 20
"""Most bytes that come out of a decompressor at once."""

CONVERTED: dict[str, tuple[int, bytes]] = {
    "qcow2": (0, b"QFI\xfb"),
    "vmdk": (0, b"KDMV"),
    "vdi": (0x40, b"\x7f\x10\xda\xbe"),
    "vhd": (0, b"conectix"),
    "vhdx": (0, b"vhdxfile"),
}
"""Formats that go through scratch: name → offset and magic (filefmt.go:20-85)."""


class Unreadable(Exception):
    """The body is not what its first bytes promise; the message is Go's."""


class Decoder(Protocol):
    """One compressed stream."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gunzip:
    """zlib, with the manners of lzma and zstd."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail


COMPRESSED: dict[str, tuple[bytes, Callable[[], Decoder]]] = {
    "gz": (b"\x1f\x8b", _Gunzip),
    "zst": (b"\x28\xb5\x2f\xfd", zstd.ZstdDecompressor),
    "xz": (b"\xfd7zXZ\0", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)),
}

Chunks = AsyncIterator[bytes]


async def peek(chunks: Chunks) -> tuple[bytes, Chunks]:
    """Return the first bytes, and the chunks with them put back."""
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= HEADER:
            break
    return head[:HEADER], _again(head, chunks)


async def _again(head: bytes, chunks: Chunks) -> Chunks:
    yield head
    async for chunk in chunks:
        yield chunk


def compression(head: bytes) -> str | None:
    """Return how a body is compressed, by its first bytes."""
    found = (name for name, (magic, _) in COMPRESSED.items() if head.startswith(magic))
    return next(found, None)


def converted(head: bytes) -> str | None:
    """Return the format that must be converted, or None for what is written as it comes."""
    for name, (offset, magic) in CONVERTED.items():
        if head[offset:].startswith(magic):
            return name
    return None


async def expand(chunks: Chunks, kind: str) -> Chunks:
    """Yield the plain bytes; members one after the other are one body."""
    make = COMPRESSED[kind][1]
    decoder = make()
    async for chunk in chunks:
        while chunk or not decoder.needs_input:
            if decoder.eof:
                decoder = make()
            data = _step(decoder, chunk)
            if data:
                yield data
                await asyncio.sleep(0)  # a few bytes may expand to gigabytes
            chunk = decoder.unused_data if decoder.eof else b""
            if decoder.eof and not chunk:
                break
    if not decoder.eof:
        raise Unreadable("unexpected EOF")


def _step(decoder: Decoder, chunk: bytes) -> bytes:
    try:
        return decoder.decompress(chunk, STEP)
    except (zlib.error, lzma.LZMAError, zstd.ZstdError) as exc:
        raise Unreadable(str(exc)) from exc
