"""importer/formats/qemu_img.py: the process, its limits and its end.

Where qemu-img itself is too quick or too good, a shell script of that name stands in its place.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import uvloop

from importer import config
from importer.errors import CallerError, CorruptImage, ImporterError, UnsupportedImage
from importer.formats.disks import Disks
from importer.formats.qemu_img import QemuImg
from importer.model import Format
from importer.units import MiB
from tests import images

Stand = Callable[[str], None]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """Put a shell script in qemu-img's place, where every user may run it."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)

        def put(script: str) -> None:
            tool = Path(name, "qemu-img")
            tool.write_text(f"#!/bin/sh\n{script}\n")
            tool.chmod(0o755)
            monkeypatch.setenv("PATH", f"{name}:{os.environ['PATH']}")

        yield put


@pytest.fixture
def image(tmp_path: Path) -> Iterator[int]:
    with images.make("qcow2", tmp_path).open("rb") as file:
        yield file.fileno()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_cancelled_process_is_killed_and_reaped(loop: str, image: int, stand_in: Stand) -> None:
    """When the task that waits is cancelled, the process is gone before the task is."""
    stand_in("exec sleep 1000")

    async def cancel() -> None:
        task = asyncio.create_task(QemuImg(config.QemuImg()).info(image, Format.QCOW2))
        (child,) = await _until(lambda: _running("sleep", psutil.Process()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not psutil.pid_exists(child.pid)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(cancel())
    assert os.fstat(image).st_uid == os.geteuid()


@pytest.mark.parametrize("loop", LOOPS)
def test_both_event_loops_hand_files_over(loop: str, tmp_path: Path) -> None:
    """The service runs on uvloop, the command line on asyncio's own: both convert."""
    path, made = images.make("vmdk-stream", tmp_path), tmp_path / "made"
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        disks = Disks(QemuImg(config.QemuImg()), config.Limits())
        runner.run(disks.convert(path, Format.VMDK, made, "raw"))
    assert images.same(tmp_path / "disk.raw", "raw", made, "raw")


def test_it_dies_with_the_service(tmp_path: Path, stand_in: Stand) -> None:
    """A service that is killed leaves no qemu-img behind that writes on."""
    path = images.make("qcow2", tmp_path)
    stand_in("exec sleep 1000")
    program = (
        "import asyncio, os, sys; from importer import config;"
        "from importer.formats.qemu_img import QemuImg; from importer.model import Format;"
        "file = os.open(sys.argv[1], os.O_RDONLY);"
        "asyncio.run(QemuImg(config.QemuImg()).info(file, Format.QCOW2))"
    )
    with subprocess.Popen([sys.executable, "-c", program, path]) as service:
        (child,) = asyncio.run(_until(lambda: _running("sleep", psutil.Process(service.pid))))
        service.send_signal(signal.SIGKILL)
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


async def test_processor_time_is_limited(image: int, stand_in: Stand) -> None:
    """A qemu-img that computes for ever is stopped, and the error names the setting."""
    stand_in("while :; do :; done")
    qemu_img = QemuImg(config.QemuImg(info_cpu=1))
    with pytest.raises(UnsupportedImage, match=r"limit of processor time \(\[qemu_img\] info_cpu"):
        await qemu_img.info(image, Format.QCOW2)


async def test_what_it_writes_is_limited(tmp_path: Path, qemu_img: QemuImg) -> None:
    """It can write about as much as the disk holds, and not more."""
    path = images.raw(tmp_path / "disk.raw", 80 * MiB, data=80 * MiB)
    with path.open("rb") as file, (tmp_path / "made").open("w+b") as made:
        files = (file.fileno(), Format.RAW, made.fileno())
        with pytest.raises(UnsupportedImage, match="limit of size"):
            await qemu_img.convert(*files, "qcow2", MiB)
    assert made_size(tmp_path) <= 66 * MiB


def made_size(folder: Path) -> int:
    return (folder / "made").stat().st_size


async def test_output_without_end_is_dropped(image: int, stand_in: Stand) -> None:
    """However much it says, only a little is kept, and none of it is a path of ours."""
    stand_in("head -c 30000000 /dev/zero; echo \"qemu-img: no '$5'\" >&2; exit 1")
    before = psutil.Process().memory_info().rss
    with pytest.raises(CorruptImage, match=r"no the file$"):
        await QemuImg(config.QemuImg()).info(image, Format.QCOW2)
    assert psutil.Process().memory_info().rss - before < 20 * MiB


async def test_a_missing_qemu_img_is_named(
    image: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without qemu-img the error says what to install, and blames no image."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        for tool in ("prlimit", "setpriv"):
            Path(name, tool).symlink_to(str(shutil.which(tool)))
        monkeypatch.setenv("PATH", name)
        with pytest.raises(ImporterError, match="install qemu-utils") as error:
            await QemuImg(config.QemuImg()).info(image, Format.QCOW2)
    assert error.value.side == "internal"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_an_unknown_user_is_refused() -> None:
    """A user that does not exist is told at the start, by the setting's name."""
    with pytest.raises(CallerError, match=r"\[qemu_img\] user: there is no user 'nobody-such'"):
        QemuImg(config.QemuImg(user="nobody-such"))


def _running(name: str, parent: psutil.Process) -> list[psutil.Process]:
    return [each for each in parent.children() if each.name() == name]


async def _until(found: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    while not (processes := found()):
        await asyncio.sleep(0)
    return processes
