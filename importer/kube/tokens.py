"""Tokens for CDI's upload proxy.

A token is good for 5 minutes and one claim, and is checked when a request's headers are read (CDI:
pkg/apiserver/apiserver.go:228, pkg/uploadproxy/uploadproxy.go): ask for it right before the upload,
and again for every try. CDI gives tokens for claims that do not exist.
"""

from importer.errors import ClusterRefused
from importer.kube.cluster import Cluster
from importer.kube.objects import UploadTokenRequest, view
from importer.kube.resources import UPLOAD_TOKEN_REQUESTS


async def upload_token(cluster: Cluster, namespace: str, claim: str) -> str:
    """Return a fresh token to upload into *claim*. Raises ClusterForbidden without the right."""
    metadata = {"generateName": "upload-", "namespace": namespace}
    request = UPLOAD_TOKEN_REQUESTS.object(metadata, spec={"pvcName": claim})
    token = view(UploadTokenRequest, await cluster.create(UPLOAD_TOKEN_REQUESTS, request))
    if not token.status.token:
        raise ClusterRefused(f"CDI gives no upload token for claim {namespace}/{claim}")
    return token.status.token
