"""A copy of a file on this machine: shared blocks where the file system has them, else its bytes.

Source: ioctl_ficlone(2); XFS, btrfs and others share blocks until one side is written to.
"""

import fcntl
import os
from contextlib import aclosing, suppress
from pathlib import Path

from importer.stream.readable import FileReadable
from importer.stream.threads import in_thread
from importer.targets.cloning import Cloned
from importer.targets.sparse import SparseWriter, failure, sync_directory

_FICLONE = 0x40049409


async def copied(source: Path, to: Path, reserve: int) -> Cloned:
    """Copy *source* to *to*, which is not there yet, durably; *reserve* bytes are to stay free.

    Raises NoSpace, TargetError.
    """
    try:
        if await in_thread(_shared, source, to):
            return Cloned("linked-clone", "measured", 0)
        file = FileReadable(source)
        async with SparseWriter(to, reserve) as writer, aclosing(file.chunks()) as chunks:
            written = await writer.write(chunks)
        await in_thread(sync_directory, to.parent)
    except OSError as exc:
        raise failure(f"copying {source}", exc) from exc
    return Cloned("full-copy", "measured", written.data)


def _shared(source: Path, to: Path) -> bool:
    """Say whether *to* has the blocks of *source* now; where that cannot be, nothing is left."""
    with source.open("rb") as old, to.open("xb") as new, suppress(OSError):
        fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        os.fsync(new.fileno())
        return True
    to.unlink()
    return False
