"""CDI's upload proxy: where it is, and which certificates it may show."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import structlog
from yarl import URL

from importer.config import Cdi
from importer.errors import CallerError, ClusterForbidden, TargetError
from importer.kube.cluster import Cluster
from importer.kube.objects import CdiConfig, view
from importer.kube.resources import CDI_CONFIGS, CONFIG_MAPS
from importer.stream.threads import in_thread

BUNDLE = "cdi-uploadproxy-signer-bundle"
"""ConfigMap in CDI's namespace with the CA of the proxy's own certificate."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where to send bytes."""

    url: URL
    """Without a path."""

    tls: ssl.SSLContext

    def __str__(self) -> str:
        return f"CDI's upload proxy at {self.url.origin()}"


def check(settings: Cdi) -> None:
    """Raise CallerError for settings that cannot be."""
    if settings.url and URL(settings.url).scheme != "https":
        raise CallerError(f"[cdi] url: {settings.url!r} is no https address")
    if settings.upload not in ("async", "sync"):
        raise CallerError(f"[cdi] upload: {settings.upload!r} is neither async nor sync")


async def find(cluster: Cluster, settings: Cdi) -> Proxy:
    """Return the proxy. Raises NotInstalled without CDI, TargetError for a CA that is none."""
    own_tls = bool(settings.insecure or settings.ca)
    config = None if settings.url and own_tls else await _config(cluster)
    url = settings.url or (config.upload_proxy if config else "")
    url = url or f"https://cdi-uploadproxy.{settings.namespace}.svc"
    if settings.insecure:
        log.warning("TLS is not verified: [cdi] insecure", url=url)
        return Proxy(URL(url), await in_thread(_unverified))
    if settings.ca:
        return Proxy(URL(url), await in_thread(_of_file, settings.ca))
    own = [config.status.upload_proxy_ca if config else "", await _bundle(cluster, settings)]
    return Proxy(URL(url), await in_thread(_with, [pem for pem in own if pem.strip()]))


async def _config(cluster: Cluster) -> CdiConfig | None:
    try:
        found = await cluster.find(CDI_CONFIGS, "", "config")
    except ClusterForbidden as exc:
        log.info("CDI's configuration cannot be read", error=str(exc))
        return None
    return view(CdiConfig, found) if found else None


async def _bundle(cluster: Cluster, settings: Cdi) -> str:
    """Return CDI's own CA, or nothing where it has none or the service may not read it."""
    try:
        found = await cluster.find(CONFIG_MAPS, settings.namespace, BUNDLE)
    except ClusterForbidden as exc:
        log.info("CDI's own CA cannot be read", error=str(exc))
        return ""
    return "\n".join((found or {}).get("data", {}).values())


def _with(own: list[str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for pem in own:
        try:
            context.load_verify_locations(cadata=pem)
        except ssl.SSLError as exc:
            raise TargetError(
                f"CDI's own CA, ConfigMap {BUNDLE}, is no certificate: {exc}"
            ) from exc
    return context


def _of_file(path: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(Path(path)))
    except OSError as exc:  # SSLError too
        raise TargetError(f"[cdi] ca: {path}: {exc}") from exc


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
