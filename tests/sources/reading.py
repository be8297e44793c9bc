"""What tests of web sources share: a client with little patience, and a whole reading."""

from importer.config import Url
from importer.sources.http import Web

SETTINGS = Url(
    allow_addresses=("127.0.0.0/8", "::1"), stall=0.3, connect=2, patience=1.5, backoff=0.01
)


def client(settings: Url = SETTINGS) -> Web:
    """Return a client that may connect to loopback, and waits without chance."""
    return Web(settings, jitter=lambda: 0.5)


async def read(web: Web, url: str) -> bytes:
    """Return the file; nothing of it stays open."""
    return (await read_sized(web, url))[0]


async def read_sized(web: Web, url: str) -> tuple[bytes, int | None]:
    """Return the file, and the size that was told before."""
    source = web.source(url)
    try:
        opened = await source.open()
        return b"".join([chunk async for chunk in opened.chunks]), opened.size
    finally:
        await source.close()
