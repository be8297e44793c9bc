"""A sparse stand-in for an image: of its length, and with only the bytes that its format needs.

It lives in anonymous memory (memfd_create(2)), so it has no name and goes when its holder does,
even by kill -9.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator

from importer.errors import CorruptImage

Part = tuple[int, bytes]
"""Offset, and what is there."""


@contextlib.contextmanager
def skeleton(length: int, parts: Iterable[Part]) -> Iterator[int]:
    """Yield the descriptor of a file of *length* bytes that holds *parts*, and zeros elsewhere."""
    file = os.memfd_create("skeleton")
    try:
        for offset, data in parts:
            os.pwrite(file, data, offset)
        os.ftruncate(file, length)
        yield file
    except OverflowError as exc:
        raise CorruptImage(f"{length} bytes are more than a file can have") from exc
    finally:
        os.close(file)
