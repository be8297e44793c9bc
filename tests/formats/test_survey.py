"""What a map tells is what the encoders make of the disk."""

from pathlib import Path

import pytest

from importer.formats.encode.qcow2 import MOST
from importer.formats.encode.zstd_frame import zstd_frame
from importer.formats.read import raw
from importer.formats.survey import read, survey
from importer.stream.extent import Run
from importer.units import MiB
from tests import images


async def test_the_frame_is_as_large_as_was_told(tmp_path: Path) -> None:
    """Zeros that were written are found by reading, so the size is exact to the byte."""
    path = images.raw(tmp_path / "disk.raw", 12 * MiB, 3 * MiB)
    with path.open("r+b") as file:
        file.seek(5 * MiB)
        file.write(bytes(MiB))
    found = survey(await read(path))
    made = [chunk async for chunk in zstd_frame(raw.extents(path), 12 * MiB)]
    assert found.sizes["raw+zstd"] == sum(map(len, made))
    assert found.data == found.sizes["raw"] == 3 * MiB + 4096
    by_holes = survey(await raw.runs(path))
    assert by_holes.data == found.data + MiB


@pytest.mark.parametrize(("size", "told"), [(MOST, True), (MOST + 512, False)])
def test_a_disk_too_large_for_a_qcow2_has_no_size_as_one(size: int, told: bool) -> None:
    """Nothing is foretold of a form that cannot be made."""
    assert ("qcow2" in survey((Run(0, size, True),)).sizes) is told
