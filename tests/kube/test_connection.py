"""The cluster is found as kubectl or a pod would find it, and trusted as they would."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import importer
from importer.config import Kubernetes
from importer.errors import ClusterRefused
from importer.kube.cluster import cluster
from importer.kube.resources import NAMESPACES
from tests.servers import kubernetes
from tests.servers.certificates import Authority
from tests.servers.kubernetes import FakeKubernetes


@pytest.fixture
async def secure(fake: FakeKubernetes, tmp_path: Path) -> AsyncIterator[kubernetes.Cluster]:
    """The API server with TLS."""
    async with kubernetes.serving(fake, Authority(tmp_path / "ca")) as served:
        yield served


async def reached(**settings: Any) -> bool:
    """Whether the cluster of *settings* answers."""
    async with cluster(Kubernetes(patience=0.1, **settings)) as found:
        return bool(await found.get(NAMESPACES, "", "default"))


async def test_kubeconfig(secure: kubernetes.Cluster, tmp_path: Path) -> None:
    """A kubeconfig names the server, the authority that it trusts, and the token."""
    assert await reached(kubeconfig=str(secure.kubeconfig(tmp_path / "config")))


async def test_certificate_of_nobody_we_trust(secure: kubernetes.Cluster, tmp_path: Path) -> None:
    """A server with another authority's certificate is refused at once, and not tried again."""
    path = secure.kubeconfig(tmp_path / "config")
    other = Authority(tmp_path / "other")
    secure.authority = other
    secure.kubeconfig(path)
    with pytest.raises(ClusterRefused, match="certificate verify failed"):
        await reached(kubeconfig=str(path))
    assert secure.api.calls == []


async def test_certificate_that_need_not_be_right(
    secure: kubernetes.Cluster, tmp_path: Path
) -> None:
    """A kubeconfig that says so is obeyed."""
    path = secure.kubeconfig(tmp_path / "config", **{"insecure-skip-tls-verify": True})
    assert await reached(kubeconfig=str(path))


async def test_context_is_chosen(served: kubernetes.Cluster, tmp_path: Path) -> None:
    """The configured context wins over the current one; one that is not there is named."""
    path = served.kubeconfig(tmp_path / "config")
    document = json.loads(path.read_text())
    nowhere = {"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}}
    document["clusters"].append(nowhere)
    context = {"cluster": "nowhere", "user": "fake"}
    document["contexts"].append({"name": "nowhere", "context": context})
    document["current-context"] = "nowhere"
    path.write_text(json.dumps(document))
    assert await reached(kubeconfig=str(path), context="fake")
    with pytest.raises(ClusterRefused, match=r"context 'missing': .*name missing"):
        await reached(kubeconfig=str(path), context="missing")


async def test_no_kubeconfig(tmp_path: Path) -> None:
    """A file that is not there is named, with what to do."""
    path = tmp_path / "nothing"
    with pytest.raises(ClusterRefused, match=rf"no kubeconfig at {path}: set \[kubernetes\]"):
        await reached(kubeconfig=str(path))


@pytest.mark.parametrize("text", ["", "[]", "{", "a: b", "clusters: []"])
async def test_kubeconfig_that_is_none(tmp_path: Path, text: str) -> None:
    """A file with something else in it is named."""
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ClusterRefused, match=str(path)):
        await reached(kubeconfig=str(path))


async def test_environment_names_the_kubeconfig(
    served: kubernetes.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a setting, KUBECONFIG counts."""
    monkeypatch.setenv("KUBECONFIG", str(served.kubeconfig(tmp_path / "config")))
    assert await reached()


@pytest.fixture
def pod(
    secure: kubernetes.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """What a pod has of its service account: the files of token and authority."""
    from kubernetes_asyncio.config import incluster_config

    token, ca = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text(kubernetes.ADMIN)
    assert secure.authority
    ca.write_text(secure.authority.pem)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(ca))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", secure.host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(secure.port))
    return token, ca


async def test_in_a_pod(pod: tuple[Path, Path]) -> None:
    """In a pod, its service account is used."""
    assert await reached()


async def test_token_that_kubelet_renewed(pod: tuple[Path, Path], fake: FakeKubernetes) -> None:
    """A service account's token that was renewed meanwhile is read again when it is refused."""
    async with cluster(Kubernetes(patience=0.1)) as found:
        fake.users["renewed"] = fake.users.pop(kubernetes.ADMIN)
        pod[0].write_text("renewed")
        assert await found.get(NAMESPACES, "", "default")


async def test_pod_without_a_service_account(pod: tuple[Path, Path]) -> None:
    """A pod without a token says that it is the service account that is missing."""
    pod[0].unlink()
    with pytest.raises(ClusterRefused, match="pod's service account cannot be used"):
        await reached()


async def test_authority_that_cannot_be_read(pod: tuple[Path, Path]) -> None:
    """A CA file without a certificate is named as such."""
    pod[1].write_text("no certificate")
    with pytest.raises(ClusterRefused, match="certificates cannot be used"):
        await reached()


def test_library_is_loaded_by_one_module_and_late() -> None:
    """Importing everything loads no client library, and a single module names it."""
    root = Path(importer.__file__).parent
    named = [path for path in root.rglob("*.py") if "kubernetes_asyncio" in path.read_text()]
    assert [str(path.relative_to(root)) for path in named] == ["kube/connection.py"]
    program = "import sys, importer.kube.wait, importer.kube.classes, importer.kube.objects\n"
    program += "print('kubernetes_asyncio' in sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
