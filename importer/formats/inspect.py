"""What an image is, by its head and the little more that its format needs.

Safety first, then qemu-img's word on a skeleton (DESIGN section 5). At most 2 MiB are read of a
file that can be read anywhere, whatever its size. Raises ImageError, LimitExceeded.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from importer.config import Limits
from importer.errors import CorruptImage, LimitExceeded, UnsupportedImage
from importer.formats import compression, qcow2, recognise, safety, vhd, vhdx, vmdk, whole, xz_index
from importer.formats.qemu_img import QemuImg
from importer.formats.skeleton import Part, skeleton
from importer.formats.wrapped import Inner, unwrap
from importer.model import Compression, Format, ImageInfo, Readable
from importer.units import SECTOR, MiB, TiB, human, round_up

HEAD = MiB
"""Bytes from the start that are always looked at."""

_LONG = 64 * TiB
"""A skeleton whose length nobody knows: qemu-img must find room for all that a header claims."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What has been read of an image."""

    format: Format
    parts: Sequence[Part]
    """What the format needs; the first is the head."""

    size: int | None
    whole: bool
    """False where the format needs more than could be read."""

    @property
    def head(self) -> bytes:
        """The first bytes."""
        return self.parts[0][1]


async def inspect_head(
    head: bytes, size: int | None, qemu_img: QemuImg, limits: Limits, tail: bytes = b""
) -> ImageInfo:
    """Return what an image is whose stream cannot seek, and that is not compressed (any more).

    *head*: its first MiB, or all of it. *size*: bytes of the disk image file, None where unknown.
    *tail*: its last bytes, where somebody has them.
    """
    return await _info(await asyncio.to_thread(_see, head, size, tail), qemu_img, limits)


async def inspect_start(
    head: bytes, size: int | None, qemu_img: QemuImg, limits: Limits, tail: bytes = b""
) -> ImageInfo:
    """Return what the image is, compressed or not, in a file of which only *head* can be had.

    *head*, *size*, *tail*: as of `inspect_head`, but of the published file.
    """
    if found := compression.detect(head):
        return await _inside(found, head, size, qemu_img, limits)
    return await inspect_head(head, size, qemu_img, limits, tail)


async def inspect_readable(file: Readable, qemu_img: QemuImg, limits: Limits) -> ImageInfo:
    """Return what the image in *file* is, compressed or not."""
    head = await file.read_at(0, HEAD)
    if found := compression.detect(head):
        content = await xz_index.content_size(file) if found == "xz" else None
        return await _inside(found, head, file.size, qemu_img, limits, content)
    return await _info(await see(file, head), qemu_img, limits)


async def see(file: Readable, head: bytes) -> Seen:
    """Read what the format of *file* needs beside its *head*, once that is safe."""
    size = file.size
    tail = await _tail(file, head)
    kind = await asyncio.to_thread(safety.check, head, tail)
    if kind is Format.RAW:
        if vhd.fixed(tail, size):
            return Seen(Format.VPC, [(0, head), (size - len(tail), tail)], size, whole=True)
        await asyncio.to_thread(recognise.check_raw, head, size)
    parts = [(0, head)]
    if kind is Format.VHDX:
        parts.append(await _metadata(file, head))
    elif kind in (Format.VMDK, Format.VPC):
        parts.append((size - len(tail), tail))
    return Seen(kind, parts, size, whole=True)


async def _tail(file: Readable, head: bytes) -> bytes:
    length = min(file.size, vmdk.TAIL)
    if file.size <= len(head):
        return head[-length:]
    return await file.read_at(file.size - length, length)


async def _metadata(file: Readable, head: bytes) -> Part:
    at = vhdx.regions(head).metadata
    if at >= file.size:
        raise CorruptImage(f"the VHDX's metadata is at {at}, the file has {file.size} bytes")
    region = await file.read_at(at, vhdx.METADATA_READ)
    vhdx.metadata(region)
    return at, region


def _see(head: bytes, size: int | None, tail: bytes) -> Seen:
    complete = size is not None and size <= len(head)
    end = head[-vmdk.TAIL :] if complete else tail[-vmdk.TAIL :]
    parts = [(0, head)]
    if size is not None and end and not complete:
        parts.append((size - len(end), end))
    kind = safety.check(head, end or None)
    if kind is Format.RAW:
        if size is not None and vhd.fixed(end, size):
            return Seen(Format.VPC, parts, size, whole=True)
        recognise.check_raw(head, size)
    whole = complete or _head_is_enough(head, kind) or (kind is Format.VMDK and len(parts) > 1)
    return Seen(kind, parts, size, whole=whole)


def _head_is_enough(head: bytes, format: Format) -> bool:
    if format is Format.VMDK:
        return not vmdk.sparse(head).footer
    return format in (Format.QCOW2, Format.VDI, Format.VPC)


async def expands_to(
    found: Compression, head: bytes, inner: bytes, file: Readable | None
) -> int | None:
    """Return how many bytes a compressed file expands to, None where it does not tell beforehand.

    *head*: its first bytes; *inner*: the first ones inside. *file*: itself, where it can be read
    anywhere: an xz file tells at its end. Raises CorruptImage, and what *file* raises.
    """
    if found == "xz":
        return await xz_index.content_size(file) if file else None
    return _told_inside(inner, head)


async def _inside(
    found: Compression,
    head: bytes,
    size: int | None,
    qemu_img: QemuImg,
    limits: Limits,
    content: int | None = None,
) -> ImageInfo:
    """*content*: what the file expands to, where something beside its head tells it."""
    inner = await unwrap(found, head, whole=size is not None and size <= len(head), most=HEAD)
    if content is None:
        content = _content_size(inner, head)
    info = await inspect_head(inner.head, content, qemu_img, limits)
    return msgspec.structs.replace(info, size=size, compression=found)


def _content_size(inner: Inner, head: bytes) -> int | None:
    """Return the bytes inside, None where nobody knows: zstd tells those of its first frame."""
    return len(inner.head) if inner.whole else _told_inside(inner.head, head)


def _told_inside(inner: bytes, head: bytes) -> int | None:
    size = compression.content_size(head)
    if size is None or size < len(inner) or not (kind := recognise.format_of(inner)).is_raw:
        return None
    try:
        whole.check(inner, size, kind)
    except CorruptImage:
        return None  # The disk itself says that more follows.
    return size


async def _info(seen: Seen, qemu_img: QemuImg, limits: Limits) -> ImageInfo:
    if seen.format.is_raw:
        size = None if seen.size is None else round_up(seen.size, SECTOR)
    elif seen.whole:
        size = await _measured(seen, qemu_img)
    else:
        size = _told(seen)
    return _limited(seen.format, size, seen.size, limits)


def _limited(
    format: Format, virtual_size: int | None, size: int | None, limits: Limits
) -> ImageInfo:
    refuse_large(virtual_size, limits)
    return ImageInfo(format=format, virtual_size=virtual_size, size=size)


def refuse_large(virtual_size: int | None, limits: Limits) -> None:
    """Raise LimitExceeded when the guest would see more than is allowed."""
    if virtual_size is not None and virtual_size > limits.virtual_size:
        raise LimitExceeded(
            f"virtual size is {virtual_size} bytes ({human(virtual_size)}), the limit is "
            f"{limits.virtual_size} ({human(limits.virtual_size)}; [limits] virtual_size)"
        )


async def _measured(seen: Seen, qemu_img: QemuImg) -> int:
    parts = list(seen.parts)
    if seen.format is Format.QCOW2:
        parts[0] = (0, qcow2.without_snapshots(seen.head))
    length = seen.size if seen.size is not None else _LONG
    with skeleton(length, parts) as file:
        return await qemu_img.virtual_size(file, seen.format)


def _told(seen: Seen) -> int | None:
    """Return the virtual size by the format's own header, checked on the finished file."""
    if seen.format is Format.VMDK:
        return vmdk.sparse(seen.head).virtual_size
    if seen.format is not Format.VHDX:
        raise UnsupportedImage(f"{seen.format} cannot be measured by its head")
    at = vhdx.regions(seen.head).metadata
    region = seen.head[at : at + vhdx.METADATA_READ]
    return vhdx.metadata(region).virtual_size if region else None
