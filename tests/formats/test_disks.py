"""importer/formats/disks.py."""

import asyncio
import contextlib
import subprocess
from pathlib import Path
from typing import get_args

import psutil
import pytest
from hypothesis import HealthCheck, given, settings, strategies

from importer.config import Limits
from importer.config import QemuImg as QemuImgSettings
from importer.errors import CorruptImage, ImporterError, LimitExceeded, NoSpace
from importer.formats.disks import Disks
from importer.formats.inspect import HEAD, inspect_head, inspect_readable
from importer.formats.qemu_img import QemuImg
from importer.model import Format, WantedFormat
from importer.stream.readable import FileReadable
from importer.units import MiB
from tests import images

FORMATS = {kind: Format(name) for kind, (name, _) in images.KINDS.items()}


@pytest.mark.parametrize("kind", images.KINDS)
async def test_every_kind_is_what_qemu_img_says(
    kind: str, tmp_path: Path, disks: Disks, qemu_img: QemuImg, limits: Limits
) -> None:
    """Format and virtual size equal qemu-img's, by the head, by ranges and by the whole file."""
    path = images.make(kind, tmp_path, 8 * MiB)
    expected = (FORMATS[kind], images.virtual_size(path, FORMATS[kind]))

    head = path.read_bytes()[:HEAD]
    by_head = await inspect_head(head, path.stat().st_size, qemu_img, limits)
    by_ranges = await inspect_readable(FileReadable(path), qemu_img, limits)
    measured = await disks.measure(path, by_head.format)

    assert (by_ranges.format, by_ranges.virtual_size) == expected
    assert (measured.format, measured.virtual_size) == expected
    assert measured.size == by_ranges.size == path.stat().st_size
    if kind == "vpc-fixed":
        assert by_head.format == Format.RAW
    elif kind.startswith("vhdx"):
        assert by_head.format == Format.VHDX
        assert by_head.virtual_size is None
    else:
        assert (by_head.format, by_head.virtual_size) == expected


@pytest.mark.parametrize("kind", images.KINDS)
@pytest.mark.parametrize("wanted", get_args(WantedFormat))
async def test_every_kind_converts_to_the_same_disk(
    kind: str, wanted: WantedFormat, tmp_path: Path, disks: Disks
) -> None:
    """A verified image of every kind becomes raw and qcow2 with the source's guest data."""
    path = images.make(kind, tmp_path, 8 * MiB)
    await disks.verify(path, FORMATS[kind])
    await disks.convert(path, FORMATS[kind], tmp_path / "made", wanted)
    assert images.same(tmp_path / "disk.raw", "raw", tmp_path / "made", wanted)
    assert (tmp_path / "made").stat().st_uid == tmp_path.stat().st_uid


TRUNCATED = [kind for kind in images.KINDS if kind != "raw"]


@pytest.mark.parametrize("kind", TRUNCATED)
@pytest.mark.parametrize("cut", [1, 512, 4096, 300_000, "half"])
async def test_a_truncated_image_is_refused(
    kind: str, cut: int | str, tmp_path: Path, disks: Disks
) -> None:
    """An image that is cut off is found out, or what it lost was padding that no guest sees."""
    path = images.make(kind, tmp_path, 8 * MiB)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size // 2 if isinstance(cut, str) else size - cut)
    try:
        await _used(disks, path, FORMATS[kind])
    except ImporterError:
        return
    assert kind.startswith(("vmdk", "qcow2-z")), "only these end in padding"
    assert images.same(tmp_path / "disk.raw", "raw", path, FORMATS[kind])


async def test_a_short_iso_is_refused(tmp_path: Path, disks: Disks) -> None:
    """An ISO must be as long as its volume descriptor says."""
    path = images.iso(tmp_path / "a.iso")
    assert (await disks.measure(path, Format.ISO)).format == Format.ISO
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(CorruptImage, match="ends too early: needs"):
        await disks.measure(path, Format.ISO)


async def test_a_short_gpt_disk_is_refused(tmp_path: Path, disks: Disks) -> None:
    """A raw disk must reach as far as its GPT says that the backup is."""
    path = images.raw(tmp_path / "disk.raw", data=0)
    label = "label: gpt\nstart=2048, size=4096\n"
    subprocess.run(["sfdisk", "-q", path], input=label, text=True, check=True)
    assert (await disks.measure(path, Format.RAW)).format == Format.RAW
    with path.open("r+b") as file:
        file.truncate(4 * MiB)
    with pytest.raises(CorruptImage, match=f"needs {8 * MiB} bytes, has {4 * MiB}"):
        await disks.measure(path, Format.RAW)


async def test_a_disk_over_the_limit_is_refused(tmp_path: Path, qemu_img: QemuImg) -> None:
    """A virtual size above the limit is told with both values, and nothing is written."""
    disks = Disks(qemu_img, Limits(virtual_size=MiB))
    path = images.make("qcow2", tmp_path)
    with pytest.raises(LimitExceeded, match=f"{8 * MiB} .*{MiB} "):
        await disks.measure(path, Format.QCOW2)
    with pytest.raises(LimitExceeded):
        await disks.convert(path, Format.QCOW2, tmp_path / "made", "raw")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("wanted", get_args(WantedFormat))
async def test_a_full_disk_leaves_nothing(
    wanted: WantedFormat, tmp_path: Path, disks: Disks
) -> None:
    """No room is told as that, and the half-made file is gone."""
    path = images.make("vdi", tmp_path)
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", small]).returncode:
        pytest.skip("needs to mount a tmpfs")
    try:
        with pytest.raises(NoSpace, match="No space left"):
            await disks.convert(path, Format.VDI, small / "made", wanted)
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", small], check=True)


async def test_a_cancelled_convert_leaves_nothing(tmp_path: Path, disks: Disks) -> None:
    """Cancelled while qemu-img runs, the process is gone, and so is the file."""
    path = images.make("qcow2-zlib", tmp_path, 256 * MiB)
    made = tmp_path / "made"
    task = asyncio.create_task(disks.convert(path, Format.QCOW2, made, "qcow2"))
    while not (made.exists() and _qemu_img_runs()):
        await asyncio.sleep(0)
        assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not made.exists()
    assert not _qemu_img_runs()


async def test_a_qcow2_that_was_not_closed_is_read_right(tmp_path: Path, disks: Disks) -> None:
    """Its reference counts are stale and its data is not: it is taken, whole."""
    path = images.empty(tmp_path / "dirty.qcow2", "qcow2", 64 * MiB, "-o", "lazy_refcounts=on")
    words = [word for text in ("write -P 7 0 8M", "flush", "abort") for word in ("-c", text)]
    subprocess.run(["qemu-io", "-f", "qcow2", *words, path], capture_output=True)
    assert path.read_bytes()[79] == 1, "qemu-io closed it"
    info = await disks.measure(path, Format.QCOW2)
    await disks.verify(path, info.format)
    await disks.convert(path, info.format, tmp_path / "disk.raw", "raw")
    assert (tmp_path / "disk.raw").read_bytes() == b"\7" * (8 * MiB) + bytes(56 * MiB)


def _qemu_img_runs() -> bool:
    """Look at our own children only: other tests start processes too."""
    tools = {"qemu-img", "prlimit", "setpriv"}
    return any(child.name() in tools for child in psutil.Process().children())


async def _used(disks: Disks, path: Path, format: Format) -> None:
    info = await disks.measure(path, format)
    if info.format != format:
        raise CorruptImage(f"{format} has become {info.format}")
    await disks.verify(path, info.format)


PLACES = strategies.integers(0, 1535) | strategies.integers(192 << 10, (192 << 10) + 90)
"""Headers, and VHDX's table of regions."""


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kind=strategies.sampled_from(TRUNCATED),
    spots=strategies.lists(
        strategies.tuples(PLACES, strategies.binary(min_size=1, max_size=8)),
        min_size=1,
        max_size=6,
    ),
)
def test_damage_anywhere_is_an_error_with_a_name(
    kind: str, spots: list[tuple[int, bytes]], kinds: Path
) -> None:
    """Whatever is written over the first KiB, only ImporterError comes out, and soon."""
    content = bytearray((kinds / f"{kind}.{images.KINDS[kind][0]}").read_bytes())
    for at, data in spots:
        content[at : at + len(data)] = data
    path = kinds / "damaged"
    path.write_bytes(content)
    with contextlib.suppress(ImporterError):
        asyncio.run(_everything(path, content[:HEAD]))


async def _everything(path: Path, head: bytes) -> None:
    limits, qemu_img = Limits(), QemuImg(QemuImgSettings())
    disks = Disks(qemu_img, limits)
    with contextlib.suppress(ImporterError):
        await inspect_head(bytes(head), None, qemu_img, limits)
    info = await disks.measure(path, Format.RAW)
    await disks.verify(path, info.format)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small image of each kind."""
    folder = tmp_path_factory.mktemp("kinds")
    for kind in TRUNCATED:
        images.make(kind, folder, 2 * MiB)
    return folder
