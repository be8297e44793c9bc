"""The real qemu-img, called as the fakes' originals call it."""

import asyncio
import json
from pathlib import Path
from typing import Any


class QemuFailed(Exception):
    """qemu-img ended with an error; the message is its own."""


async def qemu_img(*words: str) -> bytes:
    """Run qemu-img and return what it says."""
    process = await asyncio.create_subprocess_exec(
        "qemu-img",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise QemuFailed(err.decode(errors="replace").strip())
    return out


async def info(path: Path) -> dict[str, Any]:
    """Return ``qemu-img info``, the format guessed: neither Longhorn nor CDI give one."""
    told: dict[str, Any] = json.loads(await qemu_img("info", "--output=json", str(path)))
    return told
