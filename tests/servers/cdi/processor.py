"""CDI's data processor: what becomes of an upload's bytes (facts, A7; data-processor.go)."""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tests.servers import multipart, qemu, sparse
from tests.servers.cdi import body

MiB = 1 << 20
FORMATS = {"raw", "qcow2", "vmdk", "vdi", "vpc", "vhdx"}
"""What qemu-img may call an image (qemu.go:225-248)."""


class TooLarge(Exception):
    """What CDI calls a ValidationSizeError, whatever the reason: answered with 400."""


class Failed(Exception):
    """Anything else: answered with 500."""


@dataclass
class Processor:
    """Puts one image after the other into one volume. Its faults are fields."""

    root: Path
    """Holds ``data/disk.img``, which is the volume, and ``scratch/tmpimage``."""

    size: int = 100 * MiB
    """UPLOAD_IMAGE_SIZE: bytes of the claim."""

    overhead: float = 0.055
    """Share of a file system that is its own; nothing of a block volume is."""

    block: bool = False
    """Whether the volume is a block device: nothing fits beyond its end, and old bytes stay."""

    preallocation: bool = False
    convert_error: str | None = None
    """What qemu-img says instead of converting."""

    convert_failures: int = 1 << 30
    """How many converts fail so; then they are real."""

    no_space_after: int | None = None
    """Bytes after which the target's file system is full."""

    xz_error: str | None = None
    """What CDI's xz reader stumbles over; the real one refused the files of ``cdi-upload-sync``."""

    converting: asyncio.Event = field(default_factory=asyncio.Event)
    """Clear it to hold the server before it converts."""

    def __post_init__(self) -> None:
        self.converting.set()
        for folder in ("data", "scratch"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        if self.block and not self.volume.exists():
            with self.volume.open("wb") as file:
                file.truncate(self.size)

    @property
    def volume(self) -> Path:
        """The file that the guest's disk is, or that stands for the device."""
        return self.root / "data" / "disk.img"

    @property
    def scratch(self) -> Path:
        """The file that an image to be converted is put into."""
        return self.root / "scratch" / "tmpimage"

    async def save(self, chunks: body.Chunks) -> bool:
        """Write the body to scratch or to the volume; return whether it is to be converted."""
        head, chunks = await body.peek(chunks)
        if len(head) < body.HEADER:
            what = "unexpected EOF" if head else "EOF"
            why = f"could not process image header: {what}"
            raise Failed(f"Unable to obtain information about data source: {why}")
        packed = body.compression(head)
        if packed:
            plain = body.expand(chunks, packed)
            try:
                head, chunks = await body.peek(plain)
            except body.Unreadable as exc:
                raise Failed(f"Unable to obtain information about data source: {exc}") from exc
        convert = body.converted(head) is not None
        self.scratch.unlink(missing_ok=True)
        await self._write(self._broken_xz(chunks, packed), convert)
        return convert

    async def _broken_xz(self, chunks: body.Chunks, packed: str | None) -> body.Chunks:
        async for chunk in chunks:
            if packed == "xz" and self.xz_error:
                raise body.Unreadable(self.xz_error)
            yield chunk

    async def _write(self, chunks: body.Chunks, convert: bool) -> None:
        path, where = (self.scratch, "scratch space") if convert else (self.volume, "target file")
        device = self.block and not convert
        what = f"Unable to transfer source data to {where}: "
        try:
            with path.open("r+b" if device else "wb") as file:
                length = await self._copy(file, chunks, self.size if device else None)
                if not device:
                    file.truncate(length)
        except (body.Unreadable, multipart.UnexpectedEnd) as exc:
            self._drop(path, device)
            raise Failed(f"{what}failed to pull image: {exc}") from exc
        except OSError as exc:
            self._drop(path, device)
            why = f"write /data/{path.name}: no space left on device"
            raise TooLarge(f"{what}unable to write to file: {why}") from exc

    def _drop(self, path: Path, device: bool) -> None:
        if not device:
            path.unlink()

    async def _copy(self, file: BinaryIO, chunks: body.Chunks, end: int | None) -> int:
        at = 0
        limits = [limit for limit in (end, self.no_space_after) if limit is not None]
        async for chunk in chunks:
            if limits and at + len(chunk) > min(limits):
                raise OSError("no space left on device")
            if end is None:
                sparse.write(file, at, chunk)
            else:
                _overwrite(file, at, chunk)
            at += len(chunk)
        return at

    async def finish(self, convert: bool) -> None:
        """Make the volume of what was received."""
        if convert:
            await self.converting.wait()
            await self._convert()
        if self.block:
            return
        await self.validate(self.volume, "Unable to resize disk image to requested size: ")
        usable = int((1 - self.overhead) * self.size) // MiB * MiB
        length = max(usable, self.volume.stat().st_size)
        os.truncate(self.volume, length)
        if self.preallocation:
            with self.volume.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, length)

    async def _convert(self) -> None:
        what = "Unable to convert source data to target format: "
        await self.validate(self.scratch, what)
        try:
            await self._qemu_convert()
        except qemu.QemuFailed as exc:
            why = f"qemu-img execution failed: {exc}: exit status 1"
            failed = f"Conversion to Raw failed: could not convert image to raw: {why}"
            raise Failed(what + failed) from exc
        if self.block:
            os.truncate(self.volume, self.size)

    async def _qemu_convert(self) -> None:
        if self.convert_error and self.convert_failures > 0:
            self.convert_failures -= 1
            raise qemu.QemuFailed(self.convert_error)
        words = ("convert", "-t", "writeback", "-p", "-O", "raw")
        await qemu.qemu_img(*words, str(self.scratch), str(self.volume))

    async def validate(self, path: Path, what: str) -> None:
        """Refuse by qemu-img's word; every reason is called one of size (A3)."""
        try:
            told = await qemu.info(path)
        except qemu.QemuFailed as exc:
            raise TooLarge(f"{what}qemu-img execution failed: {exc}: exit status 1") from exc
        backing = told.get("backing-filename")
        if told["format"] not in FORMATS:
            raise TooLarge(f"{what}Invalid format {told['format']} for image {path}")
        if backing and not Path(backing).exists():
            why = f"Image {path} is invalid because it has invalid backing file {backing}"
            raise TooLarge(what + why)
        if told["virtual-size"] > self.size:
            virtual = f"virtual image size {told['virtual-size']} is larger"
            there = f"than the reported available storage {self.size}"
            raise TooLarge(f"{what}{virtual} {there}. A larger PVC is required")


def _overwrite(file: BinaryIO, at: int, data: bytes) -> None:
    """Write to a device: zeros are punched where something is."""
    file.seek(at)
    if sparse.zeros(data) and sparse.zeros(file.read(len(data))):
        return
    file.seek(at)
    file.write(data)
