"""A virtual machine that has nothing but a disk, and a serial console that is listened to."""

import subprocess
from pathlib import Path

MARKER = "IMPORTER-BOOT-OK"
PATIENCE = 120.0
"""Seconds that a boot may take. It takes two to four under emulation on one idle core."""


def console(path: Path, format: str) -> str:
    """Boot the disk *path*, of *format*, and return what it printed until it powered off.

    Software emulation, no network, the disk read-only. A machine that finds nothing to boot, or
    whose kernel cannot go on, ends at once as well. Raises TimeoutExpired for one that hangs.
    """
    # fmt: off
    command = [
        "qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none",
        "-serial", "stdio", "-no-reboot", "-boot", "c,reboot-timeout=0",
        "-blockdev", f"driver=file,filename={path},node-name=file,read-only=on",
        "-blockdev", f"driver={format},file=file,node-name=disk,read-only=on",
        "-device", "virtio-blk-pci,drive=disk",
    ]
    # fmt: on
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=True,
        text=True,
        errors="replace",
    )
    return done.stdout


def boots(path: Path, format: str) -> bool:
    """Say whether the disk *path*, of *format*, comes up and prints its marker."""
    return MARKER in console(path, format)
