"""importer/formats/qemu_img.py."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from importer import config
from importer.errors import CorruptImage, UnsupportedImage
from importer.formats.disks import Disks
from importer.formats.qemu_img import QemuImg
from importer.model import Format
from tests import images


async def test_a_directory_of_root_is_no_obstacle(tmp_path: Path, disks: Disks) -> None:
    """Files where only the service may go are read and written, and keep their owner."""
    path = images.make("vmdk", tmp_path)
    tmp_path.chmod(0o700)
    path.chmod(0o600)
    await disks.convert(path, Format.VMDK, tmp_path / "made", "qcow2")
    assert images.same(path, "vmdk", tmp_path / "made", "qcow2")
    assert {each.stat().st_uid for each in (path, tmp_path / "made")} == {os.geteuid()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_it_does_not_run_as_root(
    tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch, qemu_img: QemuImg
) -> None:
    """The process has the configured user's rights, and can gain no others."""
    folder = open_folder
    tool = folder / "qemu-img"
    tool.write_text("#!/bin/sh\ncat /proc/self/status >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr("importer.formats.qemu_img._SAID_MOST", 10_000)
    with (tmp_path / "empty").open("w+b") as file, pytest.raises(CorruptImage) as error:
        await qemu_img.info(file.fileno(), Format.QCOW2)
    status = str(error.value)
    nobody = images.run("id", "-u", "nobody").strip()
    assert f"Uid:\t{nobody}\t{nobody}\t{nobody}" in status
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that everybody may enter; pytest's own is closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_the_limit_on_memory_holds(tmp_path: Path) -> None:
    """A qemu-img that wants more memory than it may have fails, and not the service."""
    path = images.make("qcow2-zlib", tmp_path, 64 << 20)
    disks = Disks(QemuImg(config.QemuImg(memory=16 << 20)), config.Limits())
    with pytest.raises(UnsupportedImage, match="limit of memory"):
        await disks.measure(path, Format.QCOW2)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    """A loop device of 16 MiB, where there is one."""
    file = images.raw(tmp_path / "device.raw", 16 << 20)
    done = subprocess.run(["losetup", "-f", "--show", str(file)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no loop device: {done.stderr}")
    yield done.stdout.strip()
    subprocess.run(["losetup", "-d", done.stdout.strip()], check=True)


async def test_a_block_device_is_written(tmp_path: Path, device: str, disks: Disks) -> None:
    """A block device takes the guest data, zeros over what was there included."""
    path = images.make("vdi", tmp_path)
    await disks.convert(path, Format.VDI, Path(device), "raw")
    with Path(device).open("rb") as file:
        assert file.read(8 << 20) == (tmp_path / "disk.raw").read_bytes()
