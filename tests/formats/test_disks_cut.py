"""importer/formats/disks.py: files that guests wrote to, cut off and damaged anywhere."""

import asyncio
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from importer import config
from importer.errors import ImporterError
from importer.formats.disks import Disks
from importer.formats.qemu_img import QemuImg
from importer.model import Format
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
