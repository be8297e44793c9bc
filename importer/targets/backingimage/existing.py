"""A BackingImage that somebody else made for an upload: it is filled, and never removed.

Its pod waits 60 seconds for the first byte (BIM: pkg/datasource/service.go:26-30), so nothing is
put down first that can be sent at once: the file travels as it is.
"""

from collections.abc import Callable
from dataclasses import replace

from importer.config import Longhorn
from importer.errors import UnsupportedImage
from importer.kube.classes import ClusterClass
from importer.kube.cluster import Cluster
from importer.kube.objects import BackingImage, BackingImageDataSource, Pod, view
from importer.kube.resources import DATA_SOURCES, PODS
from importer.model import Format, ImageInfo, Wire
from importer.stream.pipe import Chunks
from importer.targets import Accepts, Order, Tell
from importer.targets.backingimage.data_source import POD, DataSource
from importer.targets.backingimage.outgoing import Outgoing
from importer.targets.backingimage.place import BackingImagePlace
from importer.targets.backingimage.shelf import ACCEPTS as NEW
from importer.targets.backingimage.upload import Pace

ACCEPTS = replace(NEW, libqcow=False, made=True)
"""Without `libqcow`: what a qcow2's tables tell comes too late for what has to be sent at once."""

Unfit = Callable[[bytes], str | None]
"""Say by a qcow2's first bytes why Longhorn's engine would not read it, None when it would."""


def accepts(image: BackingImage) -> Accepts:
    """Return what *image* takes: where Longhorn is to compare a checksum, that file alone."""
    return replace(ACCEPTS, wires=frozenset({"as-is"})) if image.spec.checksum else ACCEPTS


async def refusal(cluster: Cluster, settings: Longhorn, name: str) -> str | None:
    """Return in Longhorn's words why image *name* takes no upload now, None when it does.

    LHM: api/forwarder.go:175-212, in its order.
    """
    found = await cluster.find(PODS, settings.namespace, POD + name)
    if found is None:
        return f"cannot find pod for backing image data source {name}"
    if view(Pod, found).status.phase != "Running":
        return "backing image data source pod is not ready for uploading"
    named = f"metadata.name={name}"  # listed: nobody needs the right to get one otherwise
    sources = await cluster.all(DATA_SOURCES, settings.namespace, fields=named)
    states = [view(BackingImageDataSource, one).status.current_state for one in sources]
    if states != ["pending"]:
        return f"upload server for backing image {name} has not been initiated"
    return None


class ExistingImage(BackingImagePlace):
    """One of them."""

    def __init__(
        self,
        cluster: Cluster,
        of: ClusterClass,
        settings: Longhorn,
        image: BackingImage,
        tell: Tell,
        refuse_nested: Callable[[bytes], None],
        unfit: Unfit,
        pace: Pace,
    ) -> None:
        nobody = Order(image.metadata.uid, settings.namespace, image.name, None, {})
        super().__init__(cluster, of, settings, nobody, tell, refuse_nested, pace)
        self._unfit = unfit
        self._name, self._uid = image.name, image.metadata.uid
        self._shown = str(image)

    async def prepare(
        self,
        info: ImageInfo,
        wire: Wire = "as-is",
        size: int | None = None,
        sha512: str | None = None,
    ) -> None:
        """Wait until its pod takes bytes. Raises TargetTimeout, ObjectGone."""
        self._out = Outgoing(info, wire, size or 0, self._refuse_nested)
        source = DataSource(
            self._cluster, self._settings.namespace, self._name, self._uid, self._tell
        )
        await source.takes_bytes(self._settings.prepare)

    def _checked(self, chunks: Chunks) -> Chunks:
        return self._fit(chunks) if self._out.info.format is Format.QCOW2 else chunks

    async def _fit(self, chunks: Chunks) -> Chunks:
        """Let a qcow2 pass that Longhorn's engine can open. Raises UnsupportedImage."""
        is_first = True
        async for chunk in chunks:
            if is_first and (why := self._unfit(chunk)):
                raise UnsupportedImage(
                    f"Longhorn's engine cannot read this qcow2: {why}; make another with "
                    "'qemu-img convert -O qcow2 -o compression_type=zlib,extended_l2=off IN OUT'"
                )
            is_first = False
            yield chunk

    async def _crown(self) -> None:
        """Make nothing beside it."""

    async def abort(self) -> None:
        """Leave it as it is: it is its maker's, who is told that it failed by Longhorn."""
