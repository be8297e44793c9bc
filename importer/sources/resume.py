"""A file over one connection, from its first byte to its last; taken up again where it broke.

A server without ranges sends it from the start again: what was delivered is read and dropped. That
is done only when the server can prove the file to be the same one; without proof the fault stands.
"""

import asyncio

from importer.sources.body import Body
from importer.sources.patience import PASSING, Patience
from importer.sources.remote import Remote
from importer.stream.pipe import Chunks


async def streamed(remote: Remote, body: Body, patience: Patience) -> Chunks:
    """Yield what *body* brings, and what is missing when it breaks.

    Raises SourceChanged, SourceError, SourceUnavailable, SourceTruncated.
    """
    at, tries = 0, 0
    current: Body | None = body
    while True:
        since = asyncio.get_running_loop().time()
        try:
            current = current or await remote.body(at, None)
            with current:
                while chunk := await current.read():
                    fresh = chunk[max(0, len(chunk) - (current.at - at)) :]
                    at += len(fresh)
                    if fresh:
                        tries = 0
                        patience.progress()  # what is read again is none
                        yield fresh
        except PASSING as fault:
            if not remote.version.proof or remote.coded:
                raise
            tries += 1
            await patience.again(fault, tries, current.since if current else since)
        else:
            if current.end in (None, at) or at == remote.size:
                return
        current = None
