"""What was imported boots, and is what was published, whatever form it travelled in."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.boot.conftest import Service, Web
from tests.boot.machine import boots

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
]

Make = Callable[[Path, Path], None]


def qemu(format: str, *options: str) -> Make:
    """Return what makes an image of *format* out of a raw disk."""

    def make(disk: Path, path: Path) -> None:
        convert = ["qemu-img", "convert", "-f", "raw", "-O", format, *options]
        subprocess.run([*convert, str(disk), str(path)], check=True)

    return make


def packed(*command: str) -> Make:
    """Return what pipes a raw disk through *command*."""

    def make(disk: Path, path: Path) -> None:
        with disk.open("rb") as file, path.open("wb") as out:
            subprocess.run(command, stdin=file, stdout=out, check=True)

    return make


def qcow2_in_zstd(disk: Path, path: Path) -> None:
    """Make a qcow2 of *disk* and compress the whole of it."""
    inner = path.with_suffix("")
    qemu("qcow2")(disk, inner)
    subprocess.run(["zstd", "-q", "-1", "--rm", str(inner), "-o", str(path)], check=True)


# Name, how it is made, what it is called once it is stored.
FORMS: list[tuple[str, Make, str, str]] = [
    ("disk.raw", packed("cat"), "raw", "raw"),
    ("disk.qcow2", qemu("qcow2", "-c"), "qcow2", "qcow2"),
    ("disk-v2.qcow2", qemu("qcow2", "-o", "compat=0.10"), "qcow2", "qcow2"),
    ("disk.raw.xz", packed("xz", "-0", "-c"), "raw", "raw"),
    ("disk.raw.gz", packed("gzip", "-1", "-c"), "raw", "raw"),
    ("disk.raw.bz2", packed("bzip2", "-1", "-c"), "raw", "raw"),
    ("disk.qcow2.zst", qcow2_in_zstd, "qcow2", "qcow2"),
    ("disk.vmdk", qemu("vmdk"), "vmdk", "raw"),
    ("disk-stream.vmdk", qemu("vmdk", "-o", "subformat=streamOptimized"), "vmdk", "raw"),
    ("disk.vhd", qemu("vpc"), "vpc", "raw"),
    ("disk-fixed.vhd", qemu("vpc", "-o", "subformat=fixed"), "vpc", "raw"),
    ("disk.vhdx", qemu("vhdx"), "vhdx", "raw"),
    ("disk.vdi", qemu("vdi"), "vdi", "raw"),
]


def compare(one: Path, form: str, other: Path, other_form: str) -> None:
    """Fail unless both disks look the same to a guest, as qemu-img sees it."""
    command = ["qemu-img", "compare", "-f", form, "-F", other_form, str(one), str(other)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def virtual_size(path: Path, format: str) -> int:
    """Return what qemu-img says a guest sees, in bytes."""
    command = ["qemu-img", "info", "--output=json", "-f", format, str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return int(json.loads(done.stdout)["virtual-size"])


def test_source_disk_boots(disk: Path) -> None:
    """The disk that the other tests import comes up by itself."""
    assert boots(disk, "raw")


def test_disk_shifted_by_a_sector_does_not_boot(disk: Path, tmp_path: Path) -> None:
    """The tests of this module can fail: a disk that lost its first sector does not come up."""
    shifted = tmp_path / "shifted.raw"
    with disk.open("rb") as file, shifted.open("wb") as out:
        file.seek(512)
        shutil.copyfileobj(file, out)
        out.truncate(disk.stat().st_size)
    assert not boots(shifted, "raw")


def test_upload_of_raw_boots(disk: Path, service: Service) -> None:
    """A raw disk that was uploaded is stored as a disk that boots."""
    image = service.importer("upload", disk, "--name", "boot-upload")
    assert image["status"]["phase"] == "Ready"
    stored = service.stored("boot-upload", "raw")
    compare(disk, "raw", stored, "raw")
    assert boots(stored, "raw")


def test_import_of_compressed_qcow2_boots(disk: Path, service: Service, web: Web) -> None:
    """A compressed qcow2 that was fetched from a URL is stored as a disk that boots."""
    qemu("qcow2", "-c")(disk, web.directory / "boot.qcow2")
    url = f"http://{web.address}/boot.qcow2"
    image = service.importer("import", url, "--name", "boot-url")
    assert image["status"]["phase"] == "Ready"
    stored = service.stored("boot-url", "qcow2")
    compare(disk, "raw", stored, "qcow2")
    assert boots(stored, "qcow2")


@pytest.mark.parametrize(("file", "make", "format", "stored_as"), FORMS, ids=[f[0] for f in FORMS])
def test_import_equals_source(
    file: str,
    make: Make,
    format: str,
    stored_as: str,
    disk: Path,
    service: Service,
    tmp_path: Path,
) -> None:
    """What is stored has the guest data and the virtual size of what was uploaded."""
    make(disk, tmp_path / file)
    name = file.replace(".", "-")
    status = service.importer("upload", tmp_path / file, "--name", name)["status"]
    stored = service.stored(name, stored_as)
    compare(disk, "raw", stored, stored_as)
    assert reported(status) == (format, (tmp_path / file).stat().st_size)
    assert status["virtualSize"] == virtual_size(stored, stored_as)
    if status["compression"] is None:  # qemu-img cannot look into the others
        assert status["virtualSize"] == virtual_size(tmp_path / file, format)


def reported(status: dict[str, Any]) -> tuple[str, int]:
    """Return format and size as the service tells them."""
    return status["format"], status["size"]
