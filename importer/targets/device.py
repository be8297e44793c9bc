"""An image on a block device, as raw; the device holds one.

Raw files and disks that come as extents go straight to the device; other files are put down in the
spool first, because only qemu can lay them out. Who holds the device stands in a claim file,
``<class>.claim``, in the spool. No half image is left on a device: its first and last MiB are
wiped, so nothing boots.
"""

import errno
import os
from pathlib import Path

import msgspec

from importer.config import Limits
from importer.errors import CorruptImage, NoSpace, TargetBusy, TargetError, UnsupportedImage
from importer.model import Format, ImageInfo, Placed, StorageClass, Wire
from importer.stream.extent import Layout
from importer.stream.pipe import Chunks
from importer.stream.threads import in_thread
from importer.targets import Accepts, Disks, Finished, Order, Tell, Written, untold
from importer.targets.directory import refuse_options
from importer.targets.sparse import (
    SparseWriter,
    device_size,
    failure,
    make_directory,
    refuse_used,
    sync_directory,
    wipe,
)
from importer.units import SECTOR, MiB, human


class DeviceShelf:
    """One block device."""

    accepts = Accepts(
        wires=frozenset({"as-is", "raw", "raw+zstd", "qcow2"}),
        formats=frozenset(Format),
        stores=frozenset({"raw"}),
        converts=True,
    )

    def __init__(self, name: str, device: Path, spool: Path, disks: Disks, limits: Limits) -> None:
        self._name = name
        self._device = device
        self._spool = spool
        self._disks = disks
        self._limits = limits

    async def describe(self) -> StorageClass:
        """Return the class with the device's size."""
        try:
            size = await in_thread(device_size, self._device)
        except OSError as exc:
            raise TargetError(f"storage class {self._name}: {exc}") from exc
        return StorageClass(
            name=self._name,
            provisioner="device",
            backend="local",
            engine="local",
            capacity=size,
            available=0 if self._claim.exists() else size,
        )

    def check(self, order: Order) -> None:
        """Raise an error when *order* cannot go to a device."""
        refuse_options(order)
        if order.format == "qcow2":
            raise UnsupportedImage(f"storage class {self._name} is a block device: it holds raw")

    def place(self, order: Order, tell: Tell = untold) -> "DevicePlace":
        """Return the place for *order*."""
        return DevicePlace(self._device, self._claim, order, self._disks, self._limits)

    async def remove(self, order: Order, placed: Placed) -> None:
        """Wipe the device's ends and free it."""
        await self.place(order).abort()

    @property
    def _claim(self) -> Path:
        return self._spool / f"{self._name}.claim"


class DevicePlace:
    """The device while an image is put on it."""

    def __init__(
        self, device: Path, claim: Path, order: Order, disks: Disks, limits: Limits
    ) -> None:
        self._device = device
        self._claim = claim
        self._order = order
        self._disks = disks
        self._limits = limits
        self._part = claim.parent / f".{order.uid}.part"
        self._info = ImageInfo(format=Format.RAW)
        self._wire: Wire = "as-is"
        self._written = 0

    async def prepare(self, info: ImageInfo, wire: Wire = "as-is", size: int | None = None) -> None:
        """Claim the device. Raises TargetBusy, NoSpace."""
        self._info, self._wire = info, wire
        await in_thread(self._prepare, info)

    async def write(self, chunks: Chunks) -> Written:
        """Write raw to the device, other formats to the spool."""
        to = self._device if self._info.format.is_raw else self._part
        async with SparseWriter(to, self._limits.free_space) as writer:
            written = await writer.write(chunks)
        self._written = written.size
        return written

    async def fill(self, layout: Layout) -> Written:
        """Write the disk to the device, which is told of its zeros."""
        async with SparseWriter(self._device) as writer:
            written = await writer.fill(layout)
        self._info = msgspec.structs.replace(self._info, virtual_size=written.size)
        return written

    async def finish(self) -> Finished:
        """Measure, verify, and lay out what qemu must lay out."""
        if self._wire == "raw":
            await self._disks.refuse_nested(self._device)
            info = self._info
        elif self._info.format.is_raw:
            info = await self._from_device()
        else:
            info = await self._from_spool()
        return Finished(info, Placed(kind="BlockDevice", name=str(self._device)))

    async def settle(self) -> None:
        """Keep the claim: the device is taken for as long as the image is there."""

    async def abort(self) -> None:
        """Wipe the device's ends if it is ours, and free it. Raises TargetError."""
        await in_thread(self._abort)

    async def _from_device(self) -> ImageInfo:
        try:
            info = await self._disks.measure(self._device, self._info.format, self._written)
        except CorruptImage as exc:
            # qemu-img looks for a VHD's footer where the device ends, not where the file did.
            if await in_thread(self._is_vhd):
                raise _not_raw(Format.VPC) from exc
            raise
        if not info.format.is_raw:
            raise _not_raw(info.format)
        return info

    def _is_vhd(self) -> bool:
        with self._device.open("rb", buffering=0) as device:
            device.seek(max(0, self._written - SECTOR))
            return device.read(SECTOR).startswith(b"conectix")

    async def _from_spool(self) -> ImageInfo:
        info = await self._disks.measure(self._part, self._info.format)
        await self._disks.verify(self._part, info.format)
        self._refuse_small(info.virtual_size)
        await self._disks.convert(self._part, info.format, self._device, "raw")
        await self._disks.refuse_nested(self._device)
        await in_thread(self._part.unlink)
        return info

    def _prepare(self, info: ImageInfo) -> None:
        try:
            self._refuse_small(info.virtual_size)
            # Before the claim, which makes the device ours to wipe.
            refuse_used(self._device)
            self._take()
        except OSError as exc:
            raise self._failure(exc) from exc

    def _failure(self, error: OSError) -> TargetError:
        if error.errno == errno.EBUSY:
            return TargetBusy(f"{self._device} is in use; unmount it, or choose another device")
        return failure(f"device {self._device}", error)

    def _take(self) -> None:
        make_directory(self._claim.parent)
        fd = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as claim:
            claim.write(self._order.uid)
            claim.flush()
            os.fsync(fd)
        try:
            # There with its content or not at all: an empty claim would be nobody's for ever.
            os.link(self._part, self._claim)
        except FileExistsError:
            if not self._is_ours():
                raise TargetBusy(
                    f"{self._device} holds another image already; delete that one first"
                ) from None
        finally:
            self._part.unlink()
        sync_directory(self._claim.parent)

    def _is_ours(self) -> bool:
        return self._claim.exists() and self._claim.read_text() == self._order.uid

    def _refuse_small(self, needed: int | None) -> None:
        size = device_size(self._device)
        if (needed or 0) > size:
            raise NoSpace(f"the disk is {human(needed or 0)}, {self._device} only {human(size)}")

    def _abort(self) -> None:
        self._part.unlink(missing_ok=True)
        if not self._is_ours():
            return
        try:
            size = device_size(self._device)
            for offset in (0, max(0, size - MiB)):
                wipe(self._device, offset, min(MiB, size - offset))
        except OSError as exc:
            raise self._failure(exc) from exc
        self._claim.unlink()
        sync_directory(self._claim.parent)


def _not_raw(format: Format) -> UnsupportedImage:
    return UnsupportedImage(
        f"the last bytes say that this is a {format} file, its first said raw; "
        "import it into a directory, or convert it to raw first"
    )
