"""A name for an image, made from its file's name."""

import re

_ENDINGS = re.compile(
    r"\.(xz|gz|zst|zstd|bz2|qcow2|qcow|raw|img|iso|vmdk|vhd|vhdx|vdi|bin)$", re.IGNORECASE
)


def label_of(name: str) -> str:
    """Return a DNS-1123 label for the file *name*, empty when nothing is left of it.

    ``Debian_12.qcow2.xz`` gives ``debian-12``.
    """
    stem = name
    while _ENDINGS.search(stem):
        stem = _ENDINGS.sub("", stem)
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:63].rstrip("-")
