"""Settings: defaults < TOML file < environment. Unknown names and wrong types are refused.

``[section] name`` in the file is ``IMPORTER_SECTION_NAME`` in the environment; lists are
comma-separated there. A room gets its own section, never the whole. docs/settings.md lists them.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from importer.errors import CallerError
from importer.units import GiB, MiB, TiB


def _data_dir() -> str:
    return str(Path("~/.local/share/importer").expanduser())


@dataclass(frozen=True, slots=True)
class Service:
    """The service as a whole."""

    listen: str = "127.0.0.1:8080"
    """Address and port to listen on; ``[::1]:8080`` for IPv6."""

    data: str = field(default_factory=_data_dir)
    """Directory of the store, the token and, unless told otherwise, the images."""

    token: str = ""
    """Bearer token of the API. Empty: made at the first start and kept in ``DATA/token``."""

    no_token: bool = False
    """Let everybody in. Only possible when listening on loopback."""

    scrape_token: str = ""
    """A second bearer that opens ``/metrics`` and nothing else. Empty: there is none."""

    origins: tuple[str, ...] = ()
    """Origins beside the service's own whose pages may send requests, as
    ``https://harvester.example``."""

    trusted_proxies: tuple[str, ...] = ()
    """Networks of proxies whose ``X-Forwarded-For`` says who the client is, as ``10.0.0.0/8``; from
    others it is ignored. Limits of one client count by its address."""

    idle: float = 75.0
    """Seconds in which a connection must have sent all of a request's headers, from its beginning
    or from the last answer."""

    grace: float = 10.0
    """Seconds that running requests get to end when the service is told to stop."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """How imports are run."""

    workers: int = 4
    """Imports that run at the same time; others wait for their turn."""

    waiting_uploads: int = 64
    """Uploads in one request that may wait for a worker, each with its connection open."""

    backoff: float = 1.0
    """Seconds before the first retry; doubled each time, with jitter."""

    backoff_most: float = 60.0
    """Seconds before any retry at most."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused for its size."""

    image_size: int = 1 * TiB
    """Bytes of a file, as sent, at most."""

    virtual_size: int = 16 * TiB
    """Bytes a guest may see, and bytes that a compressed file may expand to, at most."""

    free_space: int = 256 * MiB
    """Bytes that an import must leave free in a directory."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Files that clients send."""

    stall: float = 120.0
    """Seconds without a byte before a client is given up."""

    patience: float = 10.0
    """Seconds after the last byte in which an upload may still be answered with the finished image
    (200); after that the answer is 202 and the target goes on working. Kept short because proxies
    give up on silent requests."""

    rest: float = 5.0
    """Seconds without a byte after which a resumable upload lends its worker to the next in the
    queue, until its client is back."""

    away: float = 300.0
    """Seconds for which the client of a resumable upload may be away while its import waits as it
    stands, the target's side held open; after that the upload stands at 0 again, and what was made
    of it is gone."""

    expires: float = 3600.0
    """Seconds for which it may be away at all; after that the upload has failed."""

    least_rate: int = 1024
    """Bytes per second that a client must send on average, over each `stall` seconds of waiting for
    it; one that is slower is sent away. 0: any rate."""

    rate: int = 0
    """Bytes per second of all uploads together. 0: no limit."""

    client_rate: int = 0
    """Bytes per second of one client's uploads together. 0: no limit."""

    open: int = 64
    """Uploads that may be open. 0: any number."""

    per_client: int = 32
    """Uploads of one client that may be open: of one address. 0: any number."""

    open_bytes: int = 0
    """Bytes of all files whose uploads are open, as they announce it. 0: any number."""

    client_bytes: int = 0
    """Bytes of all files whose uploads one client has open. 0: any number."""


@dataclass(frozen=True, slots=True)
class Url:
    """Reading an image from a URL."""

    allow_addresses: tuple[str, ...] = ()
    """Networks that may be connected to although they are private, as ``10.0.0.0/8``; one address
    with one port as ``127.0.0.1:8081``."""

    deny_addresses: tuple[str, ...] = ()
    """Networks that are never connected to, written as above; they win over what is allowed."""

    allow_hosts: tuple[str, ...] = ()
    """Hosts that may be asked, as ``images.example.org`` or ``*.example.org``. Empty: any. Behind
    a proxy nothing is asked but these. Their addresses must be allowed all the same."""

    deny_hosts: tuple[str, ...] = ()
    """Hosts that are never asked, written as above; they win over what is allowed."""

    schemes: tuple[str, ...] = ("http", "https")
    """Schemes that may be asked for: http, https."""

    ports: tuple[int, ...] = ()
    """Ports that may be connected to. Empty: any."""

    redirects: int = 10
    """Redirects that are followed at most."""

    connect: float = 20.0
    """Seconds to connect."""

    stall: float = 60.0
    """Seconds without a byte before a connection is given up. Not a limit on the whole transfer,
    which may rightly take hours."""

    patience: float = 120.0
    """Seconds without a byte, over all tries, before a transfer that had begun is given up. Every
    byte that comes begins them anew."""

    backoff: float = 0.5
    """Seconds before a broken connection is made again; doubled each time in a row, with jitter."""

    backoff_most: float = 15.0
    """Seconds between two tries at most, unless the server asks for more (``Retry-After``)."""

    connections: int = 4
    """Connections of one import to a server that sends ranges."""

    per_host: int = 4
    """Imports from one host at the same time; others wait for their turn. 0: any number."""

    rate: int = 0
    """Bytes per second of all imports from URLs together. 0: no limit."""

    ca_bundle: str = ""
    """File with CA certificates to trust beside the system's."""

    http_proxy: str = ""
    """Proxy for http URLs, as ``http://proxy.example:3128``. Where the file does not say it, the
    variables ``http_proxy`` and ``HTTP_PROXY`` do. Empty: none."""

    https_proxy: str = ""
    """Proxy for https URLs; else the variables ``https_proxy`` and ``HTTPS_PROXY``."""

    no_proxy: tuple[str, ...] = ()
    """Hosts (with all below them), addresses and networks that are asked directly, each with a port
    if need be, or ``*``; else the variables ``no_proxy`` and ``NO_PROXY``."""


@dataclass(frozen=True, slots=True)
class S3:
    """Reading an image from a bucket."""

    buckets: tuple[str, ...] = ()
    """Buckets that may be read with the service's own credentials (boto3's chain: variables,
    files, the machine's role), as ``images`` or ``images-*``. Empty: none."""

    endpoints: tuple[str, ...] = ()
    """Endpoints that an import may name and that get the service's own credentials, as
    ``https://minio.example:9000``."""

    endpoint: str = ""
    """Endpoint of imports that name none. Empty: AWS, or what boto3's own settings say."""

    region: str = ""
    """Region of imports that name none. Empty: what boto3's own settings say, else us-east-1."""

    style: str = "auto"
    """Where a bucket's name goes: ``path``, ``virtual`` (into the host), or ``auto``: virtual at
    AWS, path elsewhere."""


@dataclass(frozen=True, slots=True)
class QemuImg:
    """Limits of every qemu-img process."""

    memory: int = 2 * GiB
    """Bytes of address space."""

    info_cpu: int = 30
    """Seconds of processor time for looking at an image."""

    convert_cpu: int = 24 * 3600
    """Seconds of processor time for converting or checking one."""

    user: str = "nobody"
    """Whom it runs as when the service is root."""


@dataclass(frozen=True, slots=True)
class Local:
    """Images on this machine."""

    classes: tuple[str, ...] = ("local=images",)
    """Storage classes as ``NAME=PATH``, the first is the default. A path is a directory (made when
    missing, relative to the data directory) or a block device, which holds one image. A name has
    at most 63 letters, digits and ``._-``."""


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """The cluster in which images can be made."""

    enabled: bool = False
    """Offer the storage classes of a cluster beside those of this machine."""

    kubeconfig: str = ""
    """File that says where the cluster is. Empty: the service account when running in a pod, else
    ``KUBECONFIG``, else ``~/.kube/config``."""

    context: str = ""
    """Context of the kubeconfig. Empty: its current one."""

    namespaces: tuple[str, ...] = ()
    """Namespaces in which images may be made. Empty: all that the cluster lets the service use."""

    timeout: float = 30.0
    """Seconds for one answer of the API server."""

    patience: float = 60.0
    """Seconds that the API server may be away, or fail, before what needs it has failed."""


@dataclass(frozen=True, slots=True)
class Longhorn:
    """Images as BackingImages of Longhorn v1."""

    url: str = "http://longhorn-backend.longhorn-system:9500"
    """Longhorn's manager, which takes the bytes. From outside of the cluster: what leads there."""

    namespace: str = "longhorn-system"
    """Where Longhorn is, and its BackingImages."""

    prepare: float = 300.0
    """Seconds until an image's pod is scheduled, started, and takes bytes."""

    finish: float = 600.0
    """Seconds that Longhorn's own work after the last byte may take, and one more for each 20 MiB:
    it reads all of the file for its checksum."""

    remove: float = 120.0
    """Seconds until a deleted BackingImage is gone."""


@dataclass(frozen=True, slots=True)
class Cdi:
    """Images as DataVolumes of CDI: every class but Longhorn v1's."""

    url: str = ""
    """CDI's upload proxy, which takes the bytes. Empty: as CDI's own configuration says
    (CDIConfig), else the service ``cdi-uploadproxy`` in `namespace`."""

    namespace: str = "cdi"
    """Where CDI is; ``harvester-system`` in Harvester."""

    ca: str = ""
    """File with CA certificates for the proxy's TLS, instead of the system's. Empty: the system's
    and CDI's own."""

    insecure: bool = False
    """Do not verify the proxy's TLS. Whoever is on the way can then read and change images; each
    import says so."""

    upload: str = "async"
    """async or sync, when the proxy answers: ``async`` once it has all bytes, and what goes wrong
    later is seen on the DataVolume; ``sync`` after CDI has converted too, which proxies on the way
    may not await."""

    prepare: float = 300.0
    """Seconds until a DataVolume has its volume and pod, and takes bytes."""

    finish: float = 600.0
    """Seconds that CDI's own work after the last byte may take, and one more for each 20 MiB of the
    disk: it converts."""

    remove: float = 120.0
    """Seconds until a deleted DataVolume and its claim are gone."""


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of volumes on the cluster, whoever makes them."""

    watch: bool = True
    """Look at all of them, for the metrics, the page and ``importer copies``. The service must be
    let list and watch claims, DataVolumes, storage classes and Longhorn's volumes and engines."""


@dataclass(frozen=True, slots=True)
class Compat:
    """Uploads in the words of Harvester, Longhorn and CDI, for clients that exist."""

    authorised_proxies: tuple[str, ...] = ()
    """Networks of proxies that have let their users in already, as ``10.52.0.0/16``: what comes
    from there needs no token of ours on Harvester's and Longhorn's paths. Empty: none."""


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged and how."""

    level: str = "info"
    """debug, info, warning or error."""

    format: str = "auto"
    """text, json, or auto: text on a terminal, json otherwise."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, by section."""

    service: Service = field(default_factory=Service)
    jobs: Jobs = field(default_factory=Jobs)
    limits: Limits = field(default_factory=Limits)
    upload: Upload = field(default_factory=Upload)
    url: Url = field(default_factory=Url)
    s3: S3 = field(default_factory=S3)
    qemu_img: QemuImg = field(default_factory=QemuImg)
    local: Local = field(default_factory=Local)
    kubernetes: Kubernetes = field(default_factory=Kubernetes)
    longhorn: Longhorn = field(default_factory=Longhorn)
    cdi: Cdi = field(default_factory=Cdi)
    copies: Copies = field(default_factory=Copies)
    compat: Compat = field(default_factory=Compat)
    log: Log = field(default_factory=Log)


SECRETS = frozenset({("service", "token"), ("service", "scrape_token")})
"""Settings that are shown as ``***``."""

PROXIES = ("http_proxy", "https_proxy")
"""Settings of ``[url]`` that may hold a password; the rest of them is shown."""


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """Return the settings of *path* (None: no file) and *environment*.

    Raises CallerError for a file that is missing or no TOML, an unknown name, or a wrong type.
    """
    values = _merged(_from_file(path) if path else {}, environment)
    return apply(apply(Config(), _proxies(environment)), values)


def apply(config: Config, values: Mapping[str, Mapping[str, Any]]) -> Config:
    """Return *config* with *values* (section → name → value) in place of its own."""
    merged = shown(config, secrets=True)
    for section, names in values.items():
        merged.setdefault(section, {}).update(names)
    try:
        _refuse_unknown(merged)
        return msgspec.convert(merged, Config)
    except msgspec.ValidationError as exc:
        raise CallerError(f"configuration: {exc}") from exc


def shown(config: Config, *, secrets: bool = False) -> dict[str, dict[str, Any]]:
    """Return *config* as plain data, secrets as ``***`` unless asked for."""
    plain: dict[str, dict[str, Any]] = msgspec.to_builtins(config)
    if not secrets:
        for section, name in SECRETS:
            if plain[section][name]:
                plain[section][name] = "***"
        for name in PROXIES:
            plain["url"][name] = re.sub(r"^(.*//)?[^/]*@", r"\1***@", plain["url"][name])
    return plain


def variable(section: str, name: str) -> str:
    """Return the environment's name of a setting."""
    return f"IMPORTER_{section}_{name}".upper()


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise CallerError(f"configuration file {path}: {exc}") from exc


def _proxies(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return what every program's variables say of proxies; lower case wins, as for curl."""
    found: dict[str, Any] = {}
    for name in (*PROXIES, "no_proxy"):
        text = environment.get(name, environment.get(name.upper()))
        if text is not None:
            found[name] = _items(text) if name == "no_proxy" else text.strip()
    return {"url": found}


def _merged(values: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    for section, name, kind in settings():
        text = environment.get(variable(section, name))
        if text is None:
            continue
        table = values.setdefault(section, {})
        if not isinstance(table, dict):
            raise CallerError(f"configuration: [{section}] must be a table")
        table[name] = _parsed(variable(section, name), text, kind)
    return values


def settings() -> list[tuple[str, str, Any]]:
    """Return (section, name, type) of every setting, in order."""
    return [
        (section.name, name, kind)
        for section in fields(Config)
        for name, kind in get_type_hints(get_type_hints(Config)[section.name]).items()
    ]


def _parsed(name: str, text: str, kind: Any) -> Any:
    try:
        if kind in (str, int, float, bool):
            return msgspec.convert(text, kind, strict=False)
        return msgspec.convert(_items(text), kind, strict=False)
    except msgspec.ValidationError as exc:
        raise CallerError(f"configuration: {name}={text!r}: {exc}") from exc


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _refuse_unknown(values: Mapping[str, Any]) -> None:
    known = {(section, name) for section, name, _ in settings()}
    sections = {section for section, _ in known}
    for section, table in values.items():
        if section not in sections:
            raise CallerError(f"configuration: unknown section [{section}]")
        for name in table:
            if (section, name) not in known:
                raise CallerError(f"configuration: unknown setting [{section}] {name}")
