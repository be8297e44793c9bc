"""Whether an image may be opened at all: it must not point outside itself, nor be two at once.

oslo.utils' format inspector looks first, as in Glance and Nova; then our own readers of the headers
look at what it leaves out (VMDK parents, VHD and VHDX differencing disks, VDI parents).
Raises UnsafeImage, UnsupportedImage, CorruptImage, NotAnImage.
"""

import io
import logging

from oslo_utils.imageutils import format_inspector as oslo

from importer.errors import CorruptImage, UnsafeImage, UnsupportedImage
from importer.formats import qcow2, recognise, vdi, vhd, vmdk
from importer.model import Format
from importer.units import KiB

# What it finds is raised. Its log would repeat lines of a hostile file, as long as they like.
logging.getLogger(oslo.__name__).disabled = True

_STEP = 64 * KiB
"""oslo misses a region that begins in the chunk that told of it, so chunks must be small."""

_NAMES = {Format.QCOW2: "qcow2", Format.VMDK: "vmdk", Format.VPC: "vhd", Format.VHDX: "vhdx"} | {
    Format.VDI: "vdi"
}
_BESIDE_OTHERS = frozenset({"raw", "gpt", "iso"})
"""May be seen in one file: a hybrid ISO is a partitioned disk too."""

_CHECKED = frozenset({Format.QCOW2, Format.VMDK})
"""Formats that oslo has safety checks for. Its check of partition tables is about guests that read
them, not about us."""


def check(head: bytes, tail: bytes | None = None) -> Format:
    """Return the format of an image that is safe by its *head* (1 MiB, or all of it).

    *tail*: its last 1536 bytes or more, where they are known.
    """
    kind = recognise.format_of(head)
    if kind.is_raw:
        if kind is Format.RAW:
            recognise.check_raw(head, None)
        _refuse_two(_inspected(head, tail), None)
        return kind
    _by_header(head, kind)
    found = _inspected(head, tail)
    _refuse_two(found, _NAMES[kind])
    if kind in _CHECKED:
        _ask(found[_NAMES[kind]], tail is not None)
    return kind


def _by_header(head: bytes, format: Format) -> None:
    if format is Format.QCOW2:
        qcow2.parse(head)
    elif format is Format.VMDK:
        vmdk.parse(head)
    elif format is Format.VPC:
        vhd.check_dynamic(head)
    elif format is Format.VDI:
        vdi.parse(head)


def _inspected(head: bytes, tail: bytes | None) -> dict[str, oslo.FileInspector]:
    """Return oslo's inspectors that match, by name."""
    wrapper = oslo.InspectWrapper(io.BytesIO(head + (tail or b"")))
    try:
        while wrapper.read(_STEP):
            pass
        wrapper.close()
        return {str(found): found for found in wrapper.formats or ()}
    except Exception as exc:
        # It trusts its input in places; what cannot be checked is not safe.
        raise UnsafeImage(f"the content cannot be checked: {exc!r}") from exc


def _refuse_two(found: dict[str, oslo.FileInspector], expected: str | None) -> None:
    names = found.keys() - _BESIDE_OTHERS
    if expected is None and names:
        raise UnsupportedImage(f"the content also looks like {', '.join(sorted(names))}")
    if expected is not None and found.keys() != {expected}:
        seen = ", ".join(sorted(found)) or "nothing known"
        raise UnsafeImage(f"the content is to be {expected} and looks like {seen}")


def _ask(inspector: oslo.FileInspector, whole: bool) -> None:
    try:
        inspector.safety_check()
    except oslo.ImageFormatError as exc:
        raise CorruptImage(f"{inspector} image: {exc}") from exc
    except oslo.SafetyCheckFailed as exc:
        # Features are judged by our own reader, which knows those of today's qemu-img; a footer
        # cannot be judged before it is there.
        moot = {"unknown_features"} if whole else {"unknown_features", "footer"}
        left = {name: str(why) for name, why in exc.failures.items() if name not in moot}
        if left:
            said = "; ".join(left.values())
            raise UnsafeImage(f"the {inspector} image is not safe to open: {said}") from exc
