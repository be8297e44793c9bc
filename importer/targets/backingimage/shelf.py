"""The images of one storage class of Longhorn v1."""

from collections.abc import Callable

from yarl import URL

from importer.config import Longhorn
from importer.errors import CallerError
from importer.kube.classes import ClusterClass
from importer.kube.cluster import Cluster
from importer.model import Format, Placed, StorageClass
from importer.targets import Accepts, Order, Tell, untold
from importer.targets.backingimage.options import options
from importer.targets.backingimage.place import BackingImagePlace
from importer.targets.backingimage.removal import remove
from importer.targets.backingimage.upload import Pace

PACE = Pace()

ACCEPTS = Accepts(
    wires=frozenset({"as-is", "qcow2"}),
    formats=frozenset({Format.RAW, Format.ISO, Format.QCOW2}),
    stores=frozenset({"raw", "qcow2"}),
    converts=False,
    hashes=True,
    exact=True,
    libqcow=True,
)


class BackingImageShelf:
    """One class. All classes share Longhorn's one namespace of images."""

    accepts = ACCEPTS

    def __init__(
        self,
        cluster: Cluster,
        of: ClusterClass,
        settings: Longhorn,
        refuse_nested: Callable[[bytes], None],
        default: bool = False,
        pace: Pace = PACE,
    ) -> None:
        """*refuse_nested* raises UnsafeImage for the head of a disk that is a file of a format."""
        if not _is_address(settings.url):
            raise CallerError(f"[longhorn] url: {settings.url!r} is no http or https address")
        self._cluster = cluster
        self._class = of
        self._settings = settings
        self._refuse_nested = refuse_nested
        self._default = default
        self._pace = pace

    async def describe(self) -> StorageClass:
        """Return the class; how much room Longhorn has is not known."""
        return self._class.described(self._default)

    def check(self, order: Order) -> None:
        """Raise CallerError for options that are not known, and for a namespace not allowed."""
        options(order)
        self._cluster.check_namespace(order.namespace)

    def place(self, order: Order, tell: Tell = untold) -> BackingImagePlace:
        """Return the place for *order*."""
        return BackingImagePlace(
            self._cluster, self._class, self._settings, order, tell, self._refuse_nested, self._pace
        )

    async def remove(self, order: Order, placed: Placed) -> None:
        """Remove a finished image. Raises TargetBusy while volumes are made of it."""
        await remove(self._cluster, self._settings, order)


def _is_address(url: str) -> bool:
    try:
        return URL(url).scheme in ("http", "https") and bool(URL(url).host)
    except ValueError:
        return False
