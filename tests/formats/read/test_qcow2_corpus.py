"""importer/formats/read/qcow2.py with the files in corpus/: damage that readers have fallen for.

Each is a sound file of qemu-img (512-byte clusters, or 16 KiB with subclusters) of which one field,
entry or end was changed; its name says which. What a fuzzer finds is added here, compressed with
``gzip -9n``.
"""

import gzip
from pathlib import Path

import pytest

from importer.errors import ImporterError
from importer.formats.read import qcow2
from tests.formats.read.guest import Counted, collect
from tests.formats.read.test_qcow2_fuzz import check

CORPUS = Path(__file__).with_name("corpus")

EXPECTED: dict[str, str | None] = {
    "all-clusters-are-the-l2-table": "uses parts in several places",
    "cluster-behind-the-end": "in its clusters) ends too early",
    "cluster-far-behind-the-end": "in its clusters) ends too early",
    "clusters-of-256-bytes": "cluster_bits is 8",
    "clusters-of-4-mib": "cluster_bits is 22",
    "compressed-cluster-behind-the-end": "in its compressed clusters) ends too early",
    "compressed-last-sector-cut": "has 347 bytes, expected 512",
    "compression-type-without-its-number": "compression type is 0",
    "cut-behind-the-header": "in its L1 table) ends too early",
    "cut-inside-the-data": "in its clusters) ends too early",
    "deflate-data-damaged": "is damaged",
    "first-cluster-at-the-header-reads-as-zeros": None,
    "header-length-of-a-mebibyte": "header length is 1048576",
    "l1-entry-points-nowhere": None,
    "l1-entry-with-reserved-bits": None,
    "l1-size-of-gigabytes": "L1 table has 2147483648 entries",
    "l1-size-of-nothing": "L1 table has 0 entries",
    "l1-table-behind-the-end": "in its L1 table) ends too early",
    "l1-table-off-its-cluster": "which cannot be",
    "l2-entry-with-reserved-bits": "sets reserved bits",
    "l2-table-behind-the-end": "in its L2 tables) ends too early",
    "l2-table-is-the-l1-table": None,
    "marked-corrupt": "is marked corrupt",
    "marked-dirty": None,
    "one-compressed-cluster-for-five": None,
    "subcluster-stored-and-zeros": "contradicts itself",
    "subclusters-flagged-as-zeros": None,
    "subclusters-stored-nowhere": "contradicts itself",
    "two-entries-one-cluster": None,
    "virtual-size-inside-a-sector": None,
    "virtual-size-of-exbibytes": "L1 table has 1 entries",
    "zero-flag-in-version-2": "version 2 image has a zero cluster",
    "zero-flag-on-a-stored-cluster": None,
    "zstd-header-damaged": "is damaged",
}
"""What is said of each; None: it is read, and as qemu-img reads it."""


def test_every_file_is_looked_at() -> None:
    """What is kept is tried, and stays small."""
    files = list(CORPUS.iterdir())
    assert {file.name.removesuffix(".qcow2.gz") for file in files} == set(EXPECTED)
    assert sum(file.stat().st_size for file in files) < 100_000


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_kept_file_is_refused_or_read_as_qemu_does(name: str, tmp_path: Path) -> None:
    """By its reason, or byte by byte."""
    data = gzip.decompress((CORPUS / f"{name}.qcow2.gz").read_bytes())
    said = EXPECTED[name]
    assert await check(data, tmp_path) == (said is None)
    if said:
        with pytest.raises(ImporterError) as raised:
            await collect(qcow2.extents(Counted(data)))
        assert said in str(raised.value)
