"""Warnings about an object are found, newest first, each kind once."""

from datetime import timedelta

from importer.kube.cluster import Cluster
from importer.kube.events import warnings
from tests.servers.kubernetes import FakeKubernetes


async def test_warnings(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Only warnings, only about that object, and one request."""
    one, other = (
        fake.create("datavolumes", {"metadata": {"name": name}, "spec": {}}) for name in "ab"
    )
    fake.event(one, "ProvisioningFailed", "no space")
    fake.store.skew += timedelta(minutes=1)
    fake.event(one, "ErrClaimNotValid", "no class")
    fake.event(one, "ErrClaimNotValid", "no class")
    fake.event(one, "Pending", "PVC is pending", type="Normal")
    fake.event(other, "ProvisioningFailed", "of another")
    found = await warnings(cluster, "default", "a")
    assert found == ["ErrClaimNotValid: no class", "ProvisioningFailed: no space"]
    assert len(fake.calls) == 1


async def test_warnings_about_an_earlier_object(cluster: Cluster, fake: FakeKubernetes) -> None:
    """What was said of an object that is gone is not said of its successor."""
    old = fake.create("datavolumes", {"metadata": {"name": "a"}, "spec": {}})
    fake.event(old, "ProvisioningFailed", "no space")
    fake.delete("datavolumes", "default", "a")
    new = fake.create("datavolumes", {"metadata": {"name": "a"}, "spec": {}})
    assert await warnings(cluster, "default", "a", new["metadata"]["uid"]) == []
    assert await warnings(cluster, "default", "a", old["metadata"]["uid"])
