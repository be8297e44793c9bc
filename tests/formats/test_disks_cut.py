"""importer/formats/disks.py: files that guests wrote to, cut off and damaged anywhere."""

import asyncio
import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer import config
from importer.errors import CorruptImage, ImporterError
from importer.formats.disks import Disks
from importer.formats.qemu_img import QemuImg
from importer.model import Format, WantedFormat
from importer.units import KiB, MiB
from tests import images

WRITTEN = {
    "qcow2": ("qcow2", ()),
    "qcow2-512": ("qcow2", ("-o", "cluster_size=512")),
    "qcow2-2M": ("qcow2", ("-o", "cluster_size=2M")),
    "qcow2-extended": ("qcow2", ("-o", "extended_l2=on")),
    "qcow2-metadata": ("qcow2", ("-o", "preallocation=metadata")),
    "vmdk": ("vmdk", ()),
    "vpc": ("vpc", ("-o", "force_size=on")),
    "vhdx": ("vhdx", ("-o", "block_size=1M")),
    "vdi": ("vdi", ()),
}
SIZE = 5 * MiB + 512
CUTS = (1, 511, 512, 4 * KiB, 64 * KiB, "third", "half")


def disks() -> Disks:
    return Disks(QemuImg(config.QemuImg()), config.Limits())


@pytest.mark.parametrize("kind", WRITTEN)
async def test_what_a_guest_wrote_is_whole_until_it_is_cut(kind: str, tmp_path: Path) -> None:
    """An image with writes here and there passes; cut off, it is refused or reads the same."""
    name, options = WRITTEN[kind]
    path = images.empty(tmp_path / f"disk.{name}", name, SIZE, *options)
    sectors = images.virtual_size(path, name) // 512
    writes = [(0x41, 700, 13), (0x42, 3000, 2500), (0x43, sectors - 3, 3)]
    commands = [f"write -P {value} {at * 512} {count * 512}" for value, at, count in writes]
    images.run("qemu-io", "-f", name, *(f"-c{each}" for each in commands), str(path))

    await _accept(path, Format(name))
    for cut in CUTS:
        size = path.stat().st_size
        short = shutil.copy(path, tmp_path / "short")
        with short.open("r+b") as file:
            file.truncate({"third": size * 2 // 3, "half": size // 2}.get(cut) or size - int(cut))
        try:
            await _accept(short, Format(name))
        except ImporterError:
            continue
        assert images.same(path, name, short, name), f"{cut} bytes less were not missed"


async def _accept(path: Path, format: Format) -> None:
    info = await disks().measure(path, format)
    assert info.format is format
    await disks().verify(path, format)


@pytest.mark.parametrize("wanted", ["raw", "qcow2"])
async def test_an_odd_length_is_filled_up_to_a_sector(wanted: WantedFormat, tmp_path: Path) -> None:
    """A raw disk whose last sector is short becomes a disk of whole sectors."""
    path = images.raw(tmp_path / "disk.raw", 3 * MiB + 100)
    info = await disks().measure(path, Format.RAW)
    await disks().convert(path, Format.RAW, tmp_path / "made", wanted)
    assert info.virtual_size == 3 * MiB + 512 == images.virtual_size(tmp_path / "made", wanted)
    assert images.same(path, "raw", tmp_path / "made", wanted)


@pytest.mark.parametrize("wanted", ["raw", "qcow2"])
async def test_an_iso_converts(wanted: WantedFormat, tmp_path: Path) -> None:
    """An ISO is raw to qemu-img, and is never opened as anything else."""
    path = images.hybrid_iso(tmp_path / "disk.iso")
    await disks().verify(path, Format.ISO)
    await disks().convert(path, Format.ISO, tmp_path / "made", wanted)
    assert images.same(path, "raw", tmp_path / "made", wanted)


async def test_one_table_in_many_places_is_refused(tmp_path: Path) -> None:
    """A small file whose L1 names one L2 table over and over cannot keep the service busy."""
    path = images.make("qcow2-small", tmp_path)
    content = bytearray(path.read_bytes())
    l1_size, l1_offset = struct.unpack_from(">IQ", content, 36)
    table = content[l1_offset : l1_offset + 8] * l1_size
    content[l1_offset : l1_offset + len(table)] = table
    path.write_bytes(content[: 100 * KiB])
    with pytest.raises(CorruptImage, match="one L2 table in several places"):
        await disks().verify(path, Format.QCOW2)


@settings(max_examples=40)
@given(
    kind=st.sampled_from([kind for kind in images.KINDS if kind != "raw"]),
    share=st.floats(0, 1),
    damage=st.lists(st.tuples(st.integers(0, 4 * KiB), st.binary(min_size=1, max_size=16))),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
def test_damage_anywhere_converts_or_has_a_name(
    kind: str, share: float, damage: list[tuple[int, bytes]], cut: float | None, kinds: Path
) -> None:
    """Written over and cut off anywhere: an image of the same disk's size, or an ImporterError."""
    name, _ = images.KINDS[kind]
    content = bytearray((kinds / f"{kind}.{name}").read_bytes())
    for at, data in damage:
        start = int(share * (len(content) - len(data))) // 512 * 512 + at
        content[start : start + len(data)] = data
    path, made = kinds / "damaged", kinds / "made"
    path.write_bytes(content[: None if cut is None else int(cut * len(content))])
    try:
        virtual_size = asyncio.run(_convert(path, Format(name), made))
    except ImporterError:
        assert not made.exists()
    else:
        assert made.stat().st_size == virtual_size
        assert made.stat().st_mode & 0o777 == 0o600
        made.unlink()


async def _convert(path: Path, claimed: Format, made: Path) -> int | None:
    info = await disks().measure(path, claimed)
    await disks().verify(path, info.format)
    await disks().convert(path, info.format, made, "raw")
    return info.virtual_size


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small image of each kind."""
    folder = tmp_path_factory.mktemp("kinds")
    for kind in images.KINDS:
        images.make(kind, folder, 2 * MiB)
    return folder
