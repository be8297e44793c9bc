"""The storage classes of a cluster, each with the target that makes images of it."""

from collections.abc import Callable, Mapping

from importer.config import Config
from importer.kube import classes
from importer.kube.cluster import Cluster
from importer.targets import Shelf
from importer.targets.backingimage.shelf import BackingImageShelf
from importer.targets.cdi.shelf import CdiShelf
from importer.targets.classes import Look


def look(cluster: Cluster, config: Config, refuse_nested: Callable[[bytes], None]) -> Look:
    """Return what asks *cluster* for its classes.

    *refuse_nested* raises UnsafeImage for the head of a disk that is a file of another format.
    """

    async def now() -> Mapping[str, Shelf]:
        found = await classes.storage_classes(cluster)
        default = classes.default(found)
        return {one.name: shelf(one, one is default) for one in found}

    def shelf(one: classes.ClusterClass, default: bool) -> Shelf:
        if one.backend == "backingimage":
            return BackingImageShelf(cluster, one, config.longhorn, refuse_nested, default)
        return CdiShelf(cluster, one, config.cdi, default, longhorn=config.longhorn.namespace)

    return now
