"""What Longhorn says of an image's copies after the last byte, until one of them is ready.

States: pending, starting, in-progress (written, then hashed, at 100 %), ready-for-transfer, ready;
failed, failed-and-cleanup (LHM: types of backingimage.go:21-28).
"""

from importer.errors import ObjectGone, TargetError, TargetUnavailable
from importer.kube.cluster import Object
from importer.kube.objects import BackingImage, BackingImageStatus, DiskFile, view
from importer.targets import Tell


class Copies:
    """Looks at a BackingImage each time it changes; *tell* hears how far Longhorn is."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._last: tuple[str, int] | None = None

    def ready(self, found: Object) -> BackingImageStatus | None:
        """Return the status when a copy is ready and measured, None while Longhorn works.

        Raises TargetUnavailable when no copy is left that might become ready, ObjectGone when the
        image is being deleted.
        """
        image = view(BackingImage, found)
        refuse_failed(image)
        self._say(image)
        is_ready = any(copy.state == "ready" for copy in image.copies)
        return image.status if is_ready and image.status.checksum else None

    def _say(self, image: BackingImage) -> None:
        copy = max(image.copies, key=lambda one: one.progress, default=DiskFile())
        if (copy.state, copy.progress) != self._last:
            self._last = copy.state, copy.progress
            self._tell(_doing(copy), copy.progress, 100)


def _doing(copy: DiskFile) -> str:
    if copy.state == "ready-for-transfer":
        return "Longhorn hands the file to its image manager"
    if copy.state == "in-progress" and copy.progress == 100:
        return "Longhorn reads the file for its checksum"
    return f"Longhorn: {copy.state or 'no copy yet'}"


def refuse_failed(image: BackingImage) -> None:
    """Raise what is wrong with *image*: it is being deleted, or all of its copies failed."""
    if image.metadata.deletion_timestamp:
        raise ObjectGone(f"{image} is being deleted by somebody")
    failed = [copy for copy in image.copies if copy.state.startswith("failed")]
    if failed and len(failed) == len(image.copies):
        raise TargetUnavailable(f"{image}: {failed[0].state}: {failed[0].message}")


def compare(name: str, status: BackingImageStatus, sha512: str, virtual_size: int | None) -> None:
    """Raise TargetError when what Longhorn has, as *name*, is not what it was sent."""
    if status.checksum.lower() != sha512:
        raise TargetError(
            f"{name}: Longhorn has a file whose sha512 is {status.checksum}, "
            f"what was sent has {sha512}: it was damaged on the way or on its disk"
        )
    if not status.virtual_size:
        raise TargetError(f"{name}: Longhorn cannot tell the disk's size in the file")
    if virtual_size and status.virtual_size != virtual_size:
        raise TargetError(
            f"{name}: Longhorn sees a disk of {status.virtual_size} bytes, it has {virtual_size}"
        )


def measured(found: Object) -> BackingImageStatus | None:
    """Return the status when it says how large the disk is."""
    status = view(BackingImage, found).status
    return status if status.virtual_size else None
