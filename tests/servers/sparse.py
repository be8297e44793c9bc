"""Files that get no block for zeros."""

from typing import BinaryIO

BLOCK = 4096
_ZEROS = bytes(BLOCK)
_MANY = bytes(1 << 20)


def write(file: BinaryIO, offset: int, data: bytes) -> None:
    """Write *data* at *offset* of a file that holds zeros there, but not its blocks of zeros.

    Called in the event loop: it goes to the page cache in less time than a thread hop takes.
    """
    if zeros(data):
        return
    begin, at, length = 0, BLOCK - offset % BLOCK, len(data)
    run = None
    while begin < length:
        block = data[begin:at]
        if block != _ZEROS[: len(block)]:
            run = begin if run is None else run
        elif run is not None:
            _put(file, offset + run, data[run:begin])
            run = None
        begin, at = at, at + BLOCK
    if run is not None:
        _put(file, offset + run, data[run:])


def zeros(data: bytes) -> bool:
    """Whether there is nothing else in *data*."""
    return data == (_MANY if len(data) == len(_MANY) else bytes(len(data)))


def _put(file: BinaryIO, offset: int, data: bytes) -> None:
    file.seek(offset)
    file.write(data)
