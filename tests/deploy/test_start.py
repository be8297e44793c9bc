"""The service as the manifests start it: it comes up, and offers the cluster's classes alone."""

from pathlib import Path

import pytest

from importer.config import Config, load
from tests.deploy.kustomize import OVERLAYS, containers, of_kind, overlay
from tests.deploy.test_rbac import USER, rules
from tests.servers.running import running
from tests.servers.site import CLASSES, Site, site


def settings(name: str, there: Site, root: Path, token: str) -> Config:
    """Return the settings of an overlay, with the addresses of a cluster that is a fake."""
    objects = overlay(name)
    file = root / "importer.toml"
    file.write_text(of_kind(objects, "ConfigMap")["data"]["importer.toml"])
    (container,) = containers(objects)
    variables = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    here = {
        "IMPORTER_SERVICE_DATA": str(root / "data"),
        "IMPORTER_KUBERNETES_KUBECONFIG": str(there.api.kubeconfig(root / "ours", token)),
        "IMPORTER_LONGHORN_URL": there.longhorn.url,
        "IMPORTER_CDI_URL": there.cdi.url,
    }
    return load(file, {**variables, **here})


@pytest.mark.parametrize("name", OVERLAYS)
async def test_it_starts_and_offers_the_clusters_classes(tmp_path: Path, name: str) -> None:
    """With an overlay's settings and rights, and nothing else, it is ready."""
    async with site(tmp_path) as there:
        token = there.kubernetes.user(USER, rules(overlay(name)))
        async with running(settings(name, there, tmp_path, token)) as client:
            status, listed = await client.ask("GET", "/v1/storageclasses")
            assert status == 200, listed
            assert {one["name"] for one in listed["items"]} == CLASSES.keys()
            status, _ = await client.ask("GET", "/readyz")
            assert status == 200
