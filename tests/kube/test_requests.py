"""An import needs few requests, however much happens to its objects meanwhile."""

import asyncio
from contextlib import aclosing

from importer.kube.classes import storage_class
from importer.kube.cluster import Cluster, Object
from importer.kube.events import warnings
from importer.kube.objects import Claim, DataVolume, view
from importer.kube.resources import CLAIMS, DATA_VOLUMES, STORAGE_PROFILES
from importer.kube.tokens import upload_token
from importer.kube.wait import wait_for, wait_gone
from tests.servers.kubernetes import FakeKubernetes

PHASES = ["Pending", "PVCBound", "UploadScheduled", "UploadReady"]
CHANGES = 50


async def controller(fake: FakeKubernetes) -> None:
    """Bring every DataVolume forward, with many changes on the way."""
    async with aclosing(fake.watch("datavolumes")) as changes:  # type: ignore[type-var]
        async for change in changes:
            if change.type != "ADDED":
                continue
            name = change.object["metadata"]["name"]
            fake.create("persistentvolumeclaims", {"metadata": {"name": name}, "spec": {}})
            for number in range(CHANGES):
                status = {"phase": "Pending", "progress": f"{number}%"}
                fake.apply("datavolumes", "default", name, {"status": status})
                await asyncio.sleep(0)
            for phase in PHASES:
                fake.apply("datavolumes", "default", name, {"status": {"phase": phase}})


def at(phase: str, found: Object) -> bool | None:
    return view(DataVolume, found).status.phase == phase or None


async def test_an_import_through_cdi(cluster: Cluster, fake: FakeKubernetes) -> None:
    """All that CDI's target asks in one import, from the class to the clean-up: under 20 requests.

    40 is the limit for a whole import (the target's own extra tries come on top of this).
    """
    fake.create("storageclasses", {"metadata": {"name": "v2"}, "provisioner": "driver.longhorn.io"})
    fake.create("storageprofiles", {"metadata": {"name": "v2"}})
    fake.answer("uploadtokenrequests", lambda _, __, new: {**new, "status": {"token": "t"}})
    running = asyncio.create_task(controller(fake))
    await storage_class(cluster, "v2")
    await cluster.find(STORAGE_PROFILES, "", "v2")
    metadata = {"name": "a", "namespace": "default", "labels": {"of": "us"}}
    await cluster.create(DATA_VOLUMES, DATA_VOLUMES.object(metadata, spec={}))
    where = (DATA_VOLUMES, "default", "a")
    await wait_for(cluster, *where, lambda found: at("UploadReady", found), 30)
    view(Claim, await cluster.get(CLAIMS, "default", "a"))
    await upload_token(cluster, "default", "a")
    done = asyncio.create_task(wait_for(cluster, *where, lambda found: at("Succeeded", found), 30))
    await fake.watched()
    fake.cut_watches()
    fake.apply("datavolumes", "default", "a", {"status": {"phase": "Succeeded"}})
    await done
    await warnings(cluster, "default", "a")
    await cluster.delete(*where)
    await wait_gone(cluster, *where, 30)
    running.cancel()
    assert len(fake.calls) < 20
