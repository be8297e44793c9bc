"""Upload tokens are asked for by claim."""

import pytest

from importer.errors import ClusterForbidden, ClusterRefused
from importer.kube.cluster import Cluster
from importer.kube.tokens import upload_token
from tests.servers import kubernetes
from tests.servers.kubernetes import FakeKubernetes, Object, User


def answer(user: User, namespace: str, new: Object) -> Object:
    """Answer as CDI's API server does, the token made of what was asked."""
    return {**new, "status": {"token": f"{namespace}/{new['spec']['pvcName']}"}}


async def test_token_for_a_claim(cluster: Cluster, fake: FakeKubernetes) -> None:
    """The claim and its namespace are those that were named; nothing is stored."""
    fake.answer("uploadtokenrequests", answer)
    assert await upload_token(cluster, "default", "disk") == "default/disk"
    assert fake.all("uploadtokenrequests") == []


async def test_no_right_to_a_token(cluster: Cluster, fake: FakeKubernetes) -> None:
    """Without the right, the error names it."""
    fake.users[kubernetes.ADMIN].rules = []
    with pytest.raises(ClusterForbidden, match='cannot create resource "uploadtokenrequests"'):
        await upload_token(cluster, "default", "disk")


async def test_answer_without_a_token(cluster: Cluster, fake: FakeKubernetes) -> None:
    """An answer without a token is no token."""
    fake.answer("uploadtokenrequests", lambda _, __, new: new)
    with pytest.raises(ClusterRefused, match="no upload token for claim default/disk"):
        await upload_token(cluster, "default", "disk")
