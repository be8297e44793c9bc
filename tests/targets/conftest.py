"""The members of importer/targets on real directories and devices, and what tests ask of them."""

import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from importer import config
from importer.formats.disks import Disks
from importer.formats.inspect import inspect_head
from importer.formats.qemu_img import QemuImg
from importer.model import ImageInfo, Placed, WantedFormat
from importer.targets import Finished, Order, Place, Shelf
from importer.targets.local import shelves
from importer.units import MiB
from tests import images
from tests.targets.cdi import cdi_member
from tests.targets.longhorn import longhorn_member

DISK = 4 * MiB
DEVICE = 9 * MiB
LIMITS = config.Limits(free_space=0)
QEMU_IMG = QemuImg(config.QemuImg())
NOISE = random.Random(2).randbytes(DEVICE)
"""What an earlier user left on the device: no byte of it may be taken for the image's."""


class AnyMember(Protocol):
    """A storage class that is being tested."""

    @property
    def is_device(self) -> bool:
        """It holds one image, whatever its name."""

    @property
    def shelf(self) -> Shelf:
        """The shelf, as after a restart: nothing is remembered."""

    def place(self, order: Order) -> Place:
        """Return a place of the same."""

    def stored(self, format: str) -> str:
        """Return the format in which a guest finds what is stored as *format*."""

    def image(self, finished: Finished, folder: Path) -> tuple[Path, str]:
        """Return a file with what a guest would see, and its format."""

    def files(self) -> list[str]:
        """Return what is there of all images."""

    def made(self, format: str) -> list[str]:
        """Return the same for one image, called ``disk``, of that format."""

    def assert_clean(self, *, wiped: bool = True) -> None:
        """See that nothing of an import is left; *wiped*: it had begun."""


@dataclass
class Member:
    """A storage class of this machine."""

    path: Path
    """The directory or block device."""

    data: Path
    """All files of the service are below it."""

    disks: Disks = field(default_factory=lambda: Disks(QEMU_IMG, LIMITS))

    @property
    def is_device(self) -> bool:
        return self.path.is_block_device()

    @property
    def shelf(self) -> Shelf:
        """The shelf, as after a restart: nothing is remembered."""
        return shelves([f"here={self.path}"], self.data, self.disks, LIMITS)["here"]

    def place(self, order: Order) -> Place:
        return self.shelf.place(order)

    def files(self) -> list[str]:
        """Every file and directory that the target has made."""
        folder = self.data / ("spool" if self.is_device else "images")
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))

    def made(self, format: str) -> list[str]:
        return ["here.claim" if self.is_device else f"disk.{format}"]

    def stored(self, format: str) -> str:
        return "raw" if self.is_device else format

    def ends(self) -> bytes:
        """The first and the last MiB of the device."""
        content = self.path.read_bytes()
        return content[:MiB] + content[-MiB:]

    def assert_clean(self, *, wiped: bool = True) -> None:
        """See that nothing of an import is left; *wiped*: the device had been written to."""
        assert self.files() == []
        if self.is_device:
            noise = NOISE[:MiB] + NOISE[-MiB:]
            assert self.ends() == (bytes(2 * MiB) if wiped else noise)

    def image(self, finished: Finished, folder: Path) -> tuple[Path, str]:
        """Return a file with what a guest would see, and its format."""
        if not self.is_device:
            path = Path(finished.placed.name)
            return path, path.suffix[1:]
        assert finished.info.virtual_size
        copy = folder / "copy.raw"
        copy.write_bytes(self.path.read_bytes()[: finished.info.virtual_size])
        return copy, "raw"


def order(
    name: str = "disk", format: WantedFormat | None = None, namespace: str = "default"
) -> Order:
    return Order(uid=f"uid-{name}", namespace=namespace, name=name, format=format, options={})


PLACED = Placed(kind="File", name="disk.raw")


async def look(path: Path) -> ImageInfo:
    """Return what the service knows of *path* when it prepares the target."""
    with path.open("rb") as file:
        head = file.read(MiB)
    return await inspect_head(head, path.stat().st_size, QEMU_IMG, LIMITS)


async def chunks(path: Path, step: int = MiB) -> AsyncIterator[bytes]:
    """Yield the bytes of *path*."""
    with path.open("rb") as file:
        while chunk := file.read(step):
            yield chunk


async def fill(place: Place, source: Path) -> Finished:
    """Import *source*, up to where only `settle` is missing."""
    await prepare(place, source)
    await place.write(chunks(source))
    return await place.finish()


async def prepare(place: Place, source: Path) -> None:
    """Make room for *source*, whose every byte will come."""
    await place.prepare(await look(source), "as-is", source.stat().st_size)


def source(kind: str, folder: Path) -> Path:
    """Return a disk image of one of SOURCES."""
    if kind == "dense":
        return images.raw(folder / "dense.raw", DISK, data=DISK)
    if kind == "iso":
        return images.iso(folder / "disk.iso")
    if kind == "iso-hybrid":
        return images.hybrid_iso(folder / "disk.iso")
    return images.make(kind, folder, DISK)


SOURCES = ["dense", "iso", "iso-hybrid", *images.KINDS]


def format_of(kind: str) -> str:
    return images.KINDS[kind][0] if kind in images.KINDS else "raw"


@pytest.fixture
def loop_device(tmp_path: Path) -> Iterator[Path]:
    """A block device full of old noise, where loop devices are possible."""
    file = tmp_path / "device"
    file.write_bytes(NOISE)
    with loop(file) as device:
        yield device


class loop:  # noqa: N801  # used as a function
    """A file as a block device, for a while."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> Path:
        command = ["losetup", "-f", "--show", str(self._file)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no loop device: {done.stderr}")
        self._device = done.stdout.strip()
        return Path(self._device)

    def __exit__(self, *_: object) -> None:
        subprocess.run(["losetup", "-d", self._device], check=True)


@pytest.fixture
def directory(tmp_path: Path) -> Member:
    return Member(tmp_path / "data" / "images", tmp_path / "data")


@pytest.fixture
def device(tmp_path: Path, loop_device: Path) -> Member:
    return Member(loop_device, tmp_path / "data")


@pytest.fixture
async def backingimage(tmp_path: Path) -> AsyncIterator[AnyMember]:
    async with longhorn_member(tmp_path) as found:
        yield found


@pytest.fixture
async def cdi(tmp_path: Path) -> AsyncIterator[AnyMember]:
    async with cdi_member(tmp_path) as found:
        yield found


LOCAL = ["directory", "device"]
CLUSTER = ["backingimage", "cdi"]


@pytest.fixture(params=[*LOCAL, *CLUSTER])
def member(request: pytest.FixtureRequest) -> AnyMember:
    """Every target, one after the other."""
    found: AnyMember = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=LOCAL)
def local(request: pytest.FixtureRequest) -> Member:
    """Those of this machine."""
    found: Member = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, where one can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system is not possible here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
