"""The memory of chunks that are done with is kept for the next ones.

glibc's malloc takes anything of about a MiB from fresh pages and gives it back at once, and the
kernel clears each page again: 2 GiB from a file through the qcow2 encoder took 1.25 s of CPU, and
take 0.46 s so. Source: mallopt(3), malloc.h. Other C libraries are left as they are.
"""

import ctypes

from importer.units import MiB

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

LARGEST = 4 * MiB
"""What is larger still comes and goes by itself."""

KEPT = 64 * MiB
"""Free memory above this is given back."""


def keep_chunks() -> bool:
    """Tell malloc, before there are threads; return False where it does not listen."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    # One arena: each would keep its own, and almost nothing is allocated without the GIL.
    told = [
        mallopt(_MMAP_THRESHOLD, LARGEST),
        mallopt(_TRIM_THRESHOLD, KEPT),
        mallopt(_ARENA_MAX, 1),
    ]
    return all(told)
