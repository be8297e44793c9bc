"""Uploads of other servers' clients need no right that the Harvester overlay does not grant."""

import io
import re
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp

from tests import images
from tests.deploy.kustomize import Object, overlay
from tests.deploy.test_rbac import USER, rules
from tests.servers.cdi import token
from tests.servers.harvester import IMAGES, Harvester
from tests.servers.running import Client, config, running, until
from tests.servers.site import Site, site

MiB = 1 << 20
HARVESTER = "/v1/harvester/harvesterhci.io.virtualmachineimages/default"


async def test_nothing_too_little_and_nothing_too_much(tmp_path: Path) -> None:
    """Every call is granted, and every right on Harvester's images is used."""
    granted = rules(overlay("harvester"))
    content = images.raw(tmp_path / "disk.raw", 4 * MiB).read_bytes()
    async with site(tmp_path / "site") as there, Harvester(there.kubernetes, there.longhorn):
        kubeconfig = there.api.kubeconfig(tmp_path / "ours", there.kubernetes.user(USER, granted))
        (tmp_path / "ca.pem").write_text(there.authority.pem)
        settings = config(
            tmp_path / "data",
            kubernetes={"enabled": True, "kubeconfig": str(kubeconfig)},
            longhorn={"url": there.longhorn.url},
            cdi={"url": there.cdi.url, "ca": str(tmp_path / "ca.pem")},
            local={"classes": []},
        )
        async with running(settings) as client:
            await into_claim(there, client, content)
            await into_backing_image(there, client, content)
            for backend, of in (("backingimage", "longhorn"), ("cdi", "lvm")):
                await into_image(there, client, content, backend, of)
            await until(lambda: not client.service.runner._jobs)
            phases = set((await client.names()).values())
            assert phases == {"Ready"}
        made = [call for call in there.kubernetes.calls if call.user == USER]
    denied = {str(call) for call in made if not any(right.allows(call) for right in granted)}
    assert denied == set()
    own = [right for right in granted if right.groups == ("harvesterhci.io",)]
    assert own
    assert [right for right in own if not any(right.allows(call) for call in made)] == []


async def into_claim(there: Site, client: Client, content: bytes) -> None:
    """Upload as virtctl does: a DataVolume, its token, one request."""
    storage = {"storageClassName": "longhorn-v2", "resources": {"requests": {"storage": "8Mi"}}}
    there.kubernetes.create(
        "datavolumes",
        {
            "metadata": {"name": "dv", "namespace": "default"},
            "spec": {"source": {"upload": {}}, "storage": storage},
        },
    )
    await there.kubernetes.until("datavolumes", "default", "dv", phase("UploadReady"))
    signed = token.sign(token.claims("default", "dv", time.time()))
    headers = {"Authorization": f"Bearer {signed}", "Content-Type": "application/octet-stream"}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.head(f"{client.base}/v1beta1/upload-async") as answer:
            assert answer.status == 200
        path = f"{client.base}/v1beta1/upload-async"
        async with http.post(path, data=io.BytesIO(content)) as answer:
            assert (answer.status, await answer.text()) == (200, "")
    await there.kubernetes.until("datavolumes", "default", "dv", phase("Succeeded"))
    volume = there.cdi.volume("default", "dv").read_bytes()
    assert volume[: len(content)] == content


def phase(name: str) -> Callable[[Object], bool]:
    """Return what says whether an object is in that phase."""
    return lambda found: bool(found.get("status", {}).get("phase") == name)


async def into_backing_image(there: Site, client: Client, content: bytes) -> None:
    """Upload as Longhorn's page does."""
    there.longhorn.create(
        {
            "apiVersion": "longhorn.io/v1beta2",
            "kind": "BackingImage",
            "metadata": {"name": "bi", "namespace": "longhorn-system"},
            "spec": {"sourceType": "upload", "sourceParameters": {}},
        }
    )
    await there.kubernetes.until(
        "backingimagedatasources",
        "longhorn-system",
        "bi",
        lambda found: found.get("status", {}).get("currentState") == "pending",
    )
    path = f"{client.base}/v1/backingimages/bi?action=upload&size={len(content)}"
    async with client.http.post(path, data={"chunk": io.BytesIO(content)}) as answer:
        assert (answer.status, await answer.text()) == (200, "")


async def into_image(there: Site, client: Client, content: bytes, backend: str, of: str) -> None:
    """Upload as Harvester's page does: a bad file first, then the right one."""
    spec = {"backend": backend, "displayName": backend, "sourceType": "upload"}
    spec["targetStorageClassName"] = of
    meta = {"name": f"image-{backend}", "namespace": "default"}
    there.kubernetes.create(IMAGES, {"metadata": meta, "spec": spec})
    path = f"{client.base}{HARVESTER}/image-{backend}?action=upload&size={len(content)}"
    for body, status in ((b"\x89PNG\r\n\x1a\n" + bytes(len(content) - 8), 500), (content, 200)):
        async with client.http.post(path, data={"chunk": io.BytesIO(body)}) as answer:
            said = await answer.text()
            assert answer.status == status, said
            assert re.search("disk image", said) or status == 200
