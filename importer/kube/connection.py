"""How the API server is reached: address, trust, credentials, as kubectl or a pod would.

The only module that imports the client library, and only in `connect`: its generated models cost
0.4 s and 37 MiB, which nobody pays who has no cluster. It does kubeconfig (exec plugins,
OIDC, client certificates), service account tokens and TLS; requests and answers are plain JSON.
Raises ClusterRefused when the configuration leads nowhere.
"""

import os
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import structlog

from importer import __version__
from importer.config import Kubernetes
from importer.errors import ClusterRefused
from importer.stream.threads import in_thread

log = structlog.get_logger()

_SERVICE_HOST = "KUBERNETES_SERVICE_HOST"


class Connection(Protocol):
    """One API server."""

    @property
    def address(self) -> str:
        """Where it is, for messages."""

    async def send(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Any,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """Return the answer, whatever its status, its body unread. Raises aiohttp's errors."""

    async def renew(self) -> None:
        """Read the credentials again: they were refused."""

    async def close(self) -> None:
        """Close every connection."""


async def connect(settings: Kubernetes) -> Connection:
    """Return the connection that *settings* describe; nothing is sent yet.

    In order: the configured kubeconfig, the pod's service account, ``$KUBECONFIG``,
    ``~/.kube/config``.
    """
    # The imports would hold the loop.
    library = await in_thread(__import__, "kubernetes_asyncio.client", fromlist=["ApiClient"])
    configuration = await _loaded(settings)
    try:
        client = library.ApiClient(configuration)
    except OSError as exc:  # ssl.SSLError too: a CA or a client certificate that cannot be read
        raise ClusterRefused(f"{configuration.host}: certificates cannot be used: {exc}") from exc
    if not configuration.verify_ssl:
        log.warning("the API server's certificate is not verified", address=configuration.host)
    client.user_agent = f"image-importer/{__version__}"
    return _LibraryConnection(settings, client)


class _LibraryConnection:
    """A Connection by kubernetes_asyncio."""

    def __init__(self, settings: Kubernetes, client: Any) -> None:
        self._settings = settings
        self._client = client

    @property
    def address(self) -> str:
        return str(self._client.configuration.host)

    async def send(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Any,
        content_type: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        answer: aiohttp.ClientResponse = await self._client.call_api(
            path,
            method,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout,
        )
        return answer

    async def renew(self) -> None:
        # The token alone: connections that are open stay open. The hook keeps a token of its own.
        fresh = await _loaded(self._settings)
        self._client.configuration.api_key = fresh.api_key
        self._client.configuration.refresh_api_key_hook = fresh.refresh_api_key_hook

    async def close(self) -> None:
        await self._client.close()


async def _loaded(settings: Kubernetes) -> Any:
    """Return the library's configuration, with fresh credentials."""
    from kubernetes_asyncio import client, config

    found = client.Configuration()
    try:
        if _in_pod(settings):
            config.load_incluster_config(client_configuration=found)
        else:
            await config.load_kube_config(
                config_file=_file(settings),
                context=settings.context or None,
                client_configuration=found,
                persist_config=False,
            )
    # The library raises ConfigException, and whatever its parsers, plugins and asserts raise.
    except Exception as exc:
        raise ClusterRefused(_why(settings, exc)) from exc
    return found


def _in_pod(settings: Kubernetes) -> bool:
    return not settings.kubeconfig and not settings.context and _SERVICE_HOST in os.environ


def _file(settings: Kubernetes) -> str:
    return settings.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"


def _why(settings: Kubernetes, exc: Exception) -> str:
    if _in_pod(settings):
        return f"the pod's service account cannot be used: {exc}"
    file = _file(settings)
    if not any(Path(part).expanduser().exists() for part in file.split(os.pathsep)):
        return f"no kubeconfig at {file}: set [kubernetes] kubeconfig, or run in a pod"
    context = f"context {settings.context!r}" if settings.context else "its current context"
    return f"kubeconfig {file}, {context}: {exc or type(exc).__name__}"
