"""The images of one storage class that CDI makes: any class but Longhorn v1's."""

from importer.config import Cdi, Longhorn
from importer.kube.classes import ClusterClass
from importer.kube.cluster import Cluster
from importer.model import Format, Placed, StorageClass
from importer.targets import Accepts, Order, Tell, untold
from importer.targets.cdi import clone, proxy
from importer.targets.cdi.options import options
from importer.targets.cdi.place import DataVolumePlace
from importer.targets.cdi.removal import remove
from importer.targets.cdi.upload import Pace
from importer.targets.cloning import Cloned

PACE = Pace()

_LONGHORN = Longhorn().namespace

ACCEPTS = Accepts(
    wires=frozenset({"as-is", "raw+zstd", "qcow2"}),
    # No VHD: a fixed one has its mark at its end alone, where CDI does not look (filefmt.go), so it
    # would be stored as a raw disk with 512 bytes too many.
    formats=frozenset({Format.RAW, Format.ISO, Format.QCOW2, Format.VMDK, Format.VDI, Format.VHDX}),
    stores=frozenset({"raw"}),
    converts=True,
)


class CdiShelf:
    """One class."""

    accepts = ACCEPTS

    def __init__(
        self,
        cluster: Cluster,
        one: ClusterClass,
        settings: Cdi,
        default: bool = False,
        pace: Pace = PACE,
        longhorn: str = _LONGHORN,
    ) -> None:
        """*longhorn*: the namespace of Longhorn's own objects, where the class is one of its."""
        proxy.check(settings)
        self._cluster = cluster
        self._class = one
        self._settings = settings
        self._default = default
        self._pace = pace
        self._longhorn = longhorn

    async def describe(self) -> StorageClass:
        """Return the class; how much room it has is not known."""
        return self._class.described(self._default)

    def check(self, order: Order) -> None:
        """Raise CallerError for options that are not known, and for a namespace not allowed."""
        options(order)
        self._cluster.check_namespace(order.namespace)

    def place(self, order: Order, tell: Tell = untold) -> DataVolumePlace:
        """Return the place for *order*."""
        return DataVolumePlace(self._cluster, self._class, self._settings, order, tell, self._pace)

    async def remove(self, order: Order, placed: Placed) -> None:
        """Remove a finished image. Raises TargetTimeout while something holds its volume."""
        await remove(self._cluster, self._settings, order)

    async def clone(self, image: Placed, order: Order, size: int, tell: Tell = untold) -> Cloned:
        """Have CDI copy the image's volume to a DataVolume that *order* names."""
        cluster, of, settings = self._cluster, self._class, self._settings
        copy = clone.Copy(cluster, of, settings, image, order, size, tell, self._longhorn)
        return await copy.made()

    async def unclone(self, order: Order) -> None:
        """Remove that DataVolume and its volume. Raises TargetTimeout while something holds it."""
        await remove(self._cluster, self._settings, order)
