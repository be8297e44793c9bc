"""A cluster in memory, and ourselves connected to it as anybody would be."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.config import Kubernetes
from importer.kube.cluster import Cluster
from importer.kube.cluster import cluster as connected
from tests.servers import kubernetes
from tests.servers.kubernetes import FakeKubernetes


@pytest.fixture
def fake() -> FakeKubernetes:
    """The API server's state."""
    return FakeKubernetes()


@pytest.fixture
async def served(fake: FakeKubernetes) -> AsyncIterator[kubernetes.Cluster]:
    """The same, served."""
    async with kubernetes.serving(fake) as cluster:
        yield cluster


IMPATIENT = Kubernetes(timeout=5.0, patience=0.4)
"""For what does not come back."""


@pytest.fixture
async def cluster(served: kubernetes.Cluster, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Our connection to it, patient enough for a busy machine."""
    path = served.kubeconfig(tmp_path / "kubeconfig")
    settings = Kubernetes(enabled=True, kubeconfig=str(path), timeout=10.0, patience=30.0)
    async with connected(settings) as found:
        yield found
