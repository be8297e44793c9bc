"""Sizes in bytes, and how people read and write them."""

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB
TiB = 1024 * GiB

SECTOR = 512
"""Bytes a disk is made of: no virtual size is anything but a multiple of it."""

CHUNK = MiB
"""Bytes that travel together. A thread hop costs about 120 us, so smaller ones pay more for the
hop than for the work; larger ones only cost memory."""


def round_up(size: int, unit: int) -> int:
    """Return the smallest multiple of *unit* that holds *size*."""
    return -(-size // unit) * unit


def human(size: float) -> str:
    """Return *size* bytes as people read it: ``human(3 * GiB) == "3.0 GiB"``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
