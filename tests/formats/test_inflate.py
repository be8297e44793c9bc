"""importer/formats/inflate.py."""

import shutil
from pathlib import Path

import pytest

from importer.errors import CorruptImage
from importer.formats.disks import Disks
from importer.model import Format
from tests import images


@pytest.mark.parametrize("kind", ["qcow2-zlib", "qcow2-zstd"])
async def test_the_last_compressed_cluster_may_lack_its_padding_alone(
    kind: str, tmp_path: Path, disks: Disks
) -> None:
    """Cut off byte by byte, it is accepted as long as the cluster inflates, and refused after."""
    path = images.make(kind, tmp_path)
    size = path.stat().st_size
    accepted = []
    for cut in range(1, 512, 30):
        short = shutil.copy(path, tmp_path / "short")
        with short.open("r+b") as file:
            file.truncate(size - cut)
        try:
            await disks.verify(short, Format.QCOW2)
        except CorruptImage as error:
            assert f"needs {size} bytes, has {size - cut}" in str(error)  # noqa: PT017
            accepted.append(False)
        else:
            assert images.same(tmp_path / "disk.raw", "raw", short, "qcow2")
            accepted.append(True)
    assert set(accepted) == {True, False}
    assert accepted == sorted(accepted, reverse=True)
