#!/usr/bin/env python3
"""Makes a small disk image that really boots: FAT, syslinux, a Debian kernel, a busybox initramfs.

On the serial console it prints ``IMPORTER-BOOT-OK`` with the kernel's version, then powers off.
64 MiB raw, mostly holes; no root, no loop device, no mount. The kernel's package is downloaded
through apt and only unpacked. Beside the kernel lies a file of numbered sectors, so that bytes
that were shifted, repeated or dropped show in a comparison.

    python3 deploy/demo/disk.py DIRECTORY     makes it there unless it is there; prints its path
"""

import fcntl
import gzip
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

MARKER = "IMPORTER-BOOT-OK"
KERNEL = "linux-image-cloud-amd64"
"""Names the newest kernel package; for virtual machines, so it needs no drivers from a disk."""

MiB = 1024 * 1024
SECTOR = 512
SIZE = 64 * MiB
START = 1 * MiB
"""Where the only partition begins."""

NUMBERED = 4 * MiB
MBR = Path("/usr/lib/syslinux/mbr/mbr.bin")

INIT = f"""\
#!/bin/busybox sh
echo "{MARKER} $(/bin/busybox uname -r)" >/dev/console
/bin/busybox poweroff -f
"""

# panic=-1: a kernel that cannot go on reboots at once, and the one who waits need not wait long.
SYSLINUX = """\
DEFAULT linux
PROMPT 0
LABEL linux
  LINUX vmlinuz
  INITRD initrd.gz
  APPEND console=ttyS0 quiet panic=-1 mitigations=off
"""


def disk(directory: Path) -> Path:
    """Return the path of the disk in *directory*, made now if it is not there."""
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    path = directory / f"linux-{recipe}.raw"
    directory.mkdir(parents=True, exist_ok=True)
    # One maker at a time: no two disks are the same, and whoever has one may be using it.
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=directory, prefix="making-") as work:
                os.replace(make(Path(work)), path)
    return path


def make(work: Path) -> Path:
    """Return a new disk, made in the empty directory *work*."""
    path = work / "disk.raw"
    partition(path)
    fill(path, work)
    run("syslinux", "--install", "--offset", START, path)
    return path


def partition(path: Path) -> None:
    """Make *path* with a boot sector, and one active FAT partition to its end."""
    with path.open("wb") as file:
        file.truncate(SIZE)
    run("sfdisk", "--quiet", path, stdin=f"label: dos\n{START // SECTOR},,e,*\n".encode())
    with path.open("r+b") as file:
        file.write(MBR.read_bytes())
    room = (SIZE - START) // 1024
    run("mkfs.vfat", "-n", "IMPORTER", f"--offset={START // SECTOR}", path, room)


def fill(path: Path, work: Path) -> None:
    """Put kernel, initramfs, boot menu and numbered sectors into the partition."""
    files = work / "files"
    files.mkdir()
    (files / "vmlinuz").write_bytes(kernel(work).read_bytes())
    (files / "initrd.gz").write_bytes(gzip.compress(initramfs(), 6))
    (files / "syslinux.cfg").write_text(SYSLINUX)
    (files / "numbers.bin").write_bytes(b"".join(numbered(NUMBERED)))
    run("mcopy", "-i", f"{path}@@{START}", *sorted(files.iterdir()), "::/")


def numbered(size: int) -> Iterator[bytes]:
    """Yield *size* bytes of sectors, each of them its own number in text, over and over."""
    for number in range(size // SECTOR):
        yield b"%015d\n" % number * (SECTOR // 16)


def kernel(work: Path) -> Path:
    """Return the kernel out of Debian's newest package for virtual machines."""
    package = depends(KERNEL)
    try:
        download(package, work)
    except subprocess.CalledProcessError:  # the lists are older than the mirror
        run(*([] if os.geteuid() == 0 else ["sudo"]), "apt-get", "-qq", "update")
        package = depends(KERNEL)
        download(package, work)
    (deb,) = work.glob("*.deb")
    run("dpkg-deb", "--extract", deb, work / "package")
    return next((work / "package/boot").glob("vmlinuz-*"))


def depends(package: str) -> str:
    """Return the first package that *package* depends on."""
    for line in run("apt-cache", "depends", "--important", package).splitlines():
        word, _, name = line.strip().partition(": ")
        if word == "Depends":
            return name
    raise SystemExit(f"apt knows no package {package}; run `apt-get update`, then try again")


def download(package: str, to: Path) -> None:
    """Let apt put the file of *package* into the directory *to*."""
    # As root, apt downloads as a user of its own who cannot write here.
    run("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package, cwd=to)


def initramfs() -> bytes:
    """Return an archive with busybox and an init that prints the marker."""
    return b"".join(
        [
            entry("bin", 0o040755),
            entry("dev", 0o040755),
            entry("dev/console", 0o020600, device=(5, 1)),
            entry("bin/busybox", 0o100755, Path("/bin/busybox").read_bytes()),
            entry("init", 0o100755, INIT.encode()),
            entry("TRAILER!!!", 0),
        ]
    )


def entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """Return one file of a ``newc`` archive (Linux, driver-api/early-userspace/buffer-format)."""
    # inode (several links only), mode, uid, gid, links, mtime, size, device, node, name, checksum
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return padded(head) + padded(data)


def padded(data: bytes) -> bytes:
    """Return *data* filled up to a multiple of four bytes."""
    return data + bytes(-len(data) % 4)


def run(*command: object, stdin: bytes = b"", cwd: Path | None = None) -> str:
    """Run *command* and return what it prints. Raises CalledProcessError, its words on stderr."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # sfdisk and mkfs.vfat, for users without them
    environment = os.environ | {"PATH": path, "LC_ALL": "C", "MTOOLS_SKIP_CHECK": "1"}
    words = [str(word) for word in command]
    done = subprocess.run(
        words, input=stdin, stdout=subprocess.PIPE, cwd=cwd, env=environment, check=True
    )
    return done.stdout.decode()


if __name__ == "__main__":
    print(disk(Path(sys.argv[1])))
