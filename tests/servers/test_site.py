"""The fakes of a cluster, all together."""

from pathlib import Path

from tests.servers.kubernetes import Object
from tests.servers.site import CLASSES, site

SIZE = {"resources": {"requests": {"storage": "8Mi"}}}


def volume(name: str) -> Object:
    """Return a DataVolume in the class of that name."""
    meta = {"name": name, "namespace": "default"}
    spec = {"source": {"upload": {}}, "storage": {"storageClassName": name, **SIZE}}
    return {"metadata": meta, "spec": spec}


async def test_every_class_takes_an_upload_or_says_why_not(tmp_path: Path) -> None:
    """Those that bind at once get ready, the late one waits, the unknown one is not valid."""
    async with site(tmp_path) as cluster:
        phases = dict.fromkeys(CLASSES, "UploadReady")
        phases |= {"lvm": "PendingPopulation", "unknown": ""}
        for name, phase in phases.items():
            cluster.kubernetes.create("datavolumes", volume(name))
            await cluster.kubernetes.until(
                "datavolumes",
                "default",
                name,
                lambda one, phase=phase: one.get("status", {}).get("phase") == phase,
            )
        modes = {
            one["metadata"]["name"]: one["spec"]["volumeMode"]
            for one in cluster.kubernetes.all("persistentvolumeclaims")
        }
        assert (modes["longhorn-v2"], modes["files"]) == ("Block", "Filesystem")
