"""What a map of a disk tells a plan: how much of it is data, and what each form would weigh."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from importer.formats import fit
from importer.formats.encode.qcow2 import MOST, qcow2_size
from importer.formats.encode.zstd_frame import frame_size
from importer.formats.read import qcow2, raw
from importer.model import Format, ImageInfo, Readable, Wire
from importer.stream.extent import Zero
from importer.stream.runs import Map, Runs

PATIENCE = 20.0
"""Seconds that the tables of a file far away may take: one of 1 TiB has 128 MiB of them."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Bytes, all of them exact when the map is."""

    data: int
    """Guest bytes that are data."""

    sizes: Mapping[Wire, int]
    """Of the forms that can be made of the map."""


def survey(runs: Runs) -> Survey:
    """Return what *runs*, which are a whole disk, tell."""
    data = sum(run.length for run in runs if not run.is_zero)
    virtual_size = runs[-1].end if runs else 0
    sizes: dict[Wire, int] = {"raw": data, "raw+zstd": frame_size(runs)}
    if virtual_size <= MOST:
        sizes["qcow2"] = qcow2_size(runs, virtual_size)
    return Survey(data, sizes)


@dataclass(frozen=True, slots=True)
class Far:
    """What is known of an image somewhere else before it is imported."""

    info: ImageInfo
    survey: Survey | None = None
    """None where no map tells."""

    unfit: str = ""
    """Why libqcow would not read it right, as far as that is known."""


async def far(info: ImageInfo, head: bytes, file: Readable | None, *, libqcow: bool) -> Far:
    """Return what the image of which *info* tells is, of which *head* are the first bytes.

    *file*: itself, where it can be read anywhere. *libqcow*: who reads it in the end. Raises
    CorruptImage for tables that cannot be, and what *file* raises.
    """
    if info.compression or info.format is not Format.QCOW2:
        return Far(info)
    known = Far(info, None, (fit.by_head(head) or "") if libqcow else "")
    if file is None:
        return known
    try:
        async with asyncio.timeout(PATIENCE):
            found = survey(await qcow2.runs(file))
            unfit = known.unfit or (await fit.longhorn(file) if libqcow else "")
            return Far(info, found, unfit or "")
    except TimeoutError:
        return known


async def read(path: Path) -> Runs:
    """Return where the raw file at *path* has data, by reading it: zeros that were written count
    as zeros too. Raises SourceError."""
    found = Map()
    async with aclosing(raw.extents(path)) as extents:
        async for extent in extents:
            found.add(extent.length, is_zero=isinstance(extent, Zero))
    return found
