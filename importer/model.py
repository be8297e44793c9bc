"""The words of the project as types: image, spec, status, phase, and what an image's head tells.

Everything here is immutable. JSON names are camelCase (docs/api.md); times are RFC 3339 in UTC,
sizes bytes, durations seconds.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol, TypeAlias

import msgspec
from msgspec import Meta


class Phase(StrEnum):
    """Where an image stands between being asked for and being there."""

    PENDING = "Pending"
    """Waits for a free worker, for its next try, or for the upload's first byte."""
    INSPECTING = "Inspecting"
    """The source is opened and its head is looked at."""
    PREPARING = "Preparing"
    """The target makes room."""
    TRANSFERRING = "Transferring"
    """Bytes flow."""
    PROCESSING = "Processing"
    """The target's own work after the last byte: verify, convert, make durable."""
    READY = "Ready"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


RUNNING = frozenset({Phase.INSPECTING, Phase.PREPARING, Phase.TRANSFERRING, Phase.PROCESSING})
"""A worker holds the image. After a crash these are queued again."""

AT_TARGET = frozenset({Phase.PREPARING, Phase.PROCESSING})
"""The target works by itself, or waits."""

OVER = frozenset({Phase.READY, Phase.FAILED, Phase.CANCELLED})
"""Nothing moves any more without somebody asking for it."""

_STOP = frozenset({Phase.FAILED, Phase.CANCELLED})
# Back to Pending: the process died, or the error was retryable.
_STOP_OR_AGAIN = _STOP | {Phase.PENDING}

NEXT: Mapping[Phase, frozenset[Phase]] = {
    Phase.PENDING: _STOP | {Phase.INSPECTING},
    Phase.INSPECTING: _STOP_OR_AGAIN | {Phase.PREPARING},
    Phase.PREPARING: _STOP_OR_AGAIN | {Phase.TRANSFERRING},
    Phase.TRANSFERRING: _STOP_OR_AGAIN | {Phase.PROCESSING},
    Phase.PROCESSING: _STOP_OR_AGAIN | {Phase.READY},
    Phase.READY: frozenset(),
    Phase.FAILED: frozenset({Phase.PENDING}),
    Phase.CANCELLED: frozenset(),
}
"""Every move an image can make. The store enforces it, and docs/jobs.md prints it."""


class Format(StrEnum):
    """Disk formats that are read, by qemu-img's names (``iso`` is raw to qemu-img)."""

    RAW = "raw"
    ISO = "iso"
    QCOW2 = "qcow2"
    VMDK = "vmdk"
    VPC = "vpc"
    """VHD, Connectix Virtual PC: dynamic or fixed."""
    VHDX = "vhdx"
    VDI = "vdi"

    @property
    def is_raw(self) -> bool:
        """Whether the file is the disk itself, byte for byte: an ISO too."""
        return self in (Format.RAW, Format.ISO)


WantedFormat: TypeAlias = Literal["raw", "qcow2"]
"""Formats that an image can be stored in."""

Wire: TypeAlias = Literal["as-is", "raw", "raw+zstd", "qcow2"]
"""How guest data travels to a target: the file's own bytes, the disk's bytes with zeros left out
where the target is on this machine, the same in a zstd frame whose zeros cost nothing, or a qcow2
made on the way."""

Compression: TypeAlias = Literal["gzip", "xz", "zstd", "bzip2"]
"""Outer compression: what was wrapped round the whole disk image file."""

Name: TypeAlias = Annotated[
    str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z", min_length=1, max_length=63)
]
"""A DNS-1123 label (RFC 1123 section 2.1, as Kubernetes reads it)."""

_DIGEST = r"md5:[0-9a-fA-F]{32}|sha1:[0-9a-fA-F]{40}|sha256:[0-9a-fA-F]{64}|sha512:[0-9a-fA-F]{128}"

Checksum: TypeAlias = Annotated[str, Meta(pattern=rf"^({_DIGEST})\Z")]
"""``ALG:HEX`` over the published file."""

ChecksumOrUrl: TypeAlias = Annotated[
    str, Meta(pattern=rf"^({_DIGEST}|https?://.*)\Z", max_length=8192)
]
"""``ALG:HEX``, or where a checksum file is (``SHA256SUMS``). That is read when the image is asked
for; what the image then has is the ``ALG:HEX`` found in it."""

Size: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]


Certificates: TypeAlias = Annotated[str, Meta(max_length=48 * 1024)]
"""PEM text."""

Secret: TypeAlias = Annotated[str, Meta(min_length=1, max_length=8192)]
"""Kept sealed and shown as ``***``."""


class _Struct(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """camelCase in JSON, and no field that it does not know."""


class UploadSource(
    _Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="upload"
):
    """The bytes come in a request body."""

    into: str | None = None
    """An object of somebody else's that they fill, as ``PersistentVolumeClaim demo/disk``. Only
    uploads of other servers' clients have one (docs/compat.md)."""


class UrlSource(
    _Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="url"
):
    """The bytes are fetched from a web server."""

    url: Annotated[str, Meta(min_length=1, max_length=8192)]
    """http or https. What is shown again has no user, password or query values."""

    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """Sent along to the URL's own scheme, host and port; the values are never shown again."""

    ca: Certificates | None = None
    """Authorities to trust beside the system's, for this import."""

    insecure: bool = False
    """Do not check any certificate. Logged each time."""


class S3Source(_Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="s3"):
    """The bytes are fetched from a bucket."""

    url: Annotated[str, Meta(min_length=1, max_length=8192)]
    """``s3://bucket/key``, and ``?versionId=`` where one version is meant."""

    endpoint: Annotated[str, Meta(min_length=1, max_length=8192)] | None = None
    """URL of the service that has the bucket. None: ``[s3] endpoint``."""

    region: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,40}\Z")] | None = None
    """None: ``[s3] region``."""

    style: Literal["auto", "path", "virtual"] | None = None
    """Where the bucket's name goes. None: ``[s3] style``."""

    access_key_id: Secret | None = None
    """None: the service's own credentials, where the configuration allows them."""

    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    anonymous: bool = False
    """The bucket is public: nothing is signed."""

    ca: Certificates | None = None
    """As of a URL."""

    insecure: bool = False
    """As of a URL."""


Source: TypeAlias = UploadSource | UrlSource | S3Source


class Spec(_Struct, frozen=True, kw_only=True):
    """What is wanted."""

    source: Source
    storage_class: Annotated[str, Meta(min_length=1, max_length=253)] | None = None
    """None: the default class."""

    backend: Annotated[str, Meta(min_length=1, max_length=63)] | None = None
    """None: as the storage class implies."""

    format: WantedFormat | None = None
    """Format to store. None keeps raw and qcow2 as they are; other formats become raw."""

    virtual_size: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    """Bytes the guest should see, where the caller knows and the file does not tell."""

    checksum: ChecksumOrUrl | None = None
    """What the published file must hash to."""

    retries: Annotated[int, Meta(ge=0, le=20)] = 3
    """Times a retryable failure is tried again."""

    limit_rate: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    """Bytes per second at most that it is fetched with; None: no limit of its own."""

    target: dict[str, Any] = msgspec.field(default_factory=dict)
    """Options of the backend, validated by it."""


class Progress(_Struct, frozen=True, kw_only=True):
    """How far the current phase is: bytes while they flow, and what the target counts (bytes or
    percent) while it prepares or processes."""

    done: Size = 0
    total: Size | None = None
    """None: nobody knows, the sender named no length."""

    bytes_per_second: float = 0.0
    """Over the last few seconds."""

    eta_seconds: float | None = None


class PhaseTime(_Struct, frozen=True, kw_only=True):
    """When a phase began and how long it took; the current one has no seconds yet."""

    name: Phase
    started_at: datetime
    seconds: float | None = None


class Problem(_Struct, frozen=True, kw_only=True):
    """An error as the API, the store and the page show it."""

    slug: str
    side: Literal["caller", "source", "image", "target", "internal"]
    retryable: bool
    message: str


class Plan(_Struct, frozen=True, kw_only=True):
    """How the bytes travel, and why that way."""

    wire: Wire
    why: str
    bytes: Size | None = None
    """What is predicted to travel; None where only the end will tell."""

    seconds: float | None = None
    """What is predicted to pass from the first byte to Ready, by the rates of the class."""


class Rates(_Struct, frozen=True, kw_only=True):
    """What a storage class does in a second, in bytes; each step is paid for by itself."""

    receive: float = 1e9
    """Takes bytes off the wire."""

    write: float = 1e9
    """Writes data where it is to stay."""

    zero: float = 1e9
    """Makes zeros where they are to stay."""

    scratch: float = 1e9
    """Puts down, to be read again, what it has to convert."""

    hash: float = 1e9
    """Reads what it stored once more."""


StepName: TypeAlias = Literal["receive", "write", "zero", "scratch", "hash"]


class Step(_Struct, frozen=True, kw_only=True):
    """One thing that an import is predicted to cost."""

    name: StepName
    phase: Phase
    """Transferring while bytes flow, Processing after the last one."""

    bytes: Size
    rate: float
    """Bytes in a second, by the rates of the class."""

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return self.bytes / self.rate


class Candidate(_Struct, frozen=True, kw_only=True):
    """One form in which the image could travel, and what that would cost."""

    wire: Wire
    why_not: str | None = None
    """Why it is not possible; None when it is."""

    bytes: Size | None = None
    """What would travel; None where only the end would tell."""

    seconds: float | None = None
    """From the first byte to Ready; a guess where `bytes` is None, None without any size."""

    steps: tuple[Step, ...] = ()


class PlanReport(_Struct, frozen=True, kw_only=True):
    """The answer to ``POST /v1/plan`` and ``importer plan``."""

    image: "ImageInfo"
    data: Size | None = None
    """Guest bytes that are data, where a map told."""

    storage_class: str
    assumed: bool = False
    """No service was asked: the class is the built-in one, its rates are the defaults."""

    plan: Plan
    candidates: tuple[Candidate, ...]
    """The chosen one first, then by seconds, then those that are not possible."""


class Placed(_Struct, frozen=True, kw_only=True):
    """What was made on the target."""

    kind: str
    name: str


class Status(_Struct, frozen=True, kw_only=True):
    """What is so."""

    phase: Phase = Phase.PENDING
    format: Format | None = None
    compression: Compression | None = None
    size: Size | None = None
    """Bytes of the published file, however it travelled."""

    virtual_size: Size | None = None
    progress: Progress | None = None
    doing: str | None = None
    """What the target does or waits for now, in its own words where it has any."""

    phases: tuple[PhaseTime, ...] = ()
    plan: Plan | None = None
    attempt: int = 0
    """Which try this is, from 1; 0 before the first."""

    checksums: dict[str, str] = msgspec.field(default_factory=dict)
    """Hex digests of the published file, by algorithm."""

    target: Placed | None = None
    error: Problem | None = None
    """Why it failed; while it waits for its next try, why the last one did."""


class Image(_Struct, frozen=True, kw_only=True):
    """What somebody named and asked for, and what has become of it."""

    name: Name
    namespace: Name = "default"
    uid: str = ""
    """Tells this image from an earlier one of the same name."""

    created_at: datetime
    spec: Spec
    status: Status = msgspec.field(default_factory=Status)

    @property
    def phase(self) -> Phase:
        """The phase it is in."""
        return self.status.phase


class ImageRequest(_Struct, frozen=True, kw_only=True):
    """The body of ``POST /v1/images``."""

    name: Name
    namespace: Name = "default"
    spec: Spec


class ImageInfo(_Struct, frozen=True, kw_only=True):
    """What the head of an image tells, before the rest has arrived."""

    format: Format
    virtual_size: Size | None = None
    """Bytes the guest will see; None for a raw stream whose end has not been seen."""

    size: Size | None = None
    """Bytes of the published file, or None while its end has not been seen."""

    compression: Compression | None = None


class StorageClass(_Struct, frozen=True, kw_only=True):
    """A place where images can be made."""

    name: str
    provisioner: str
    backend: str
    engine: str
    default: bool = False
    capacity: Size | None = None
    """Bytes in all, where known."""

    available: Size | None = None
    """Bytes free, where known."""

    wires: tuple[Wire, ...] = ()
    """Forms in which an image may come to it."""

    formats: tuple[Format, ...] = ()
    """Formats of files that may come to it as they are."""

    stores: tuple[WantedFormat, ...] = ()
    """Formats that it can store."""

    converts: bool = False
    """It converts a file whose format is not the one to be stored."""

    hashes: bool = False
    """It reads all that it got once more before the image is ready."""

    exact: bool = False
    """It must know how many bytes will come before the first of them."""

    libqcow: bool = False
    """It reads qcow2 files with libqcow, which knows less of the format than QEMU does."""

    rates: Rates = Rates()
    """What plans reckon with: defaults of the backend, then learnt from finished imports."""


Strategy: TypeAlias = Literal[
    "import",
    "cdi-import",
    "host-assisted",
    "snapshot",
    "csi-clone",
    "full-copy",
    "linked-clone",
]
"""How a volume got its bytes. ``import``: by this service; ``cdi-import``: by CDI's own importer;
the next three: CDI's ways to clone; the last two: a clone by Longhorn that CDI has no part in, and
one of Longhorn v2 that shares its source's blocks, whoever asked for it."""

Basis: TypeAlias = Literal["measured", "inferred"]
"""Whether bytes were counted as they passed, or reckoned from a percentage of the size."""


class Copy(_Struct, frozen=True, kw_only=True):
    """One copy of a volume's content, now or before. docs/copies.md says what each number means."""

    uid: str
    """Of the volume that is filled; ``UID/2`` for a second try."""

    namespace: str
    name: str
    storage_class: str
    engine: str
    backend: str
    strategy: Strategy
    basis: Basis
    state: Literal["Running", "Done", "Failed"]
    phase: str | None = None
    """What happens, in the words of whoever copies. A copy that is done may have one: its volume's
    other replicas are made."""

    done: Size = 0
    """Bytes so far; of a copy that failed, what it had done."""

    total: Size | None = None
    """Bytes that have to be copied. None: nobody knows."""

    started_at: datetime | None = None
    """When bytes began to flow. None: over before anybody looked, and nothing tells."""

    ended_at: datetime | None = None
    """When they had stopped. None: it runs, or nothing tells."""

    seconds: float | None = None
    """Between the two; of one that runs, until now. None where one is not known."""

    bytes_per_second: float = 0.0
    """`done` over `seconds`: of the whole copy so far. 0 where that is not known."""

    is_hint: bool = False
    """`done` comes from a percentage: while it runs, it is known to a step of one percent at best,
    and often not at all."""

    idle_seconds: float = 0.0
    """Seconds since `done` or the phase last changed; 0 when it is over."""

    error: str | None = None
    reason: str = ""
    """Why it failed, as one of a fixed set of words; empty unless it did."""

    source: str
    """What is copied: a claim, a snapshot, a volume, or a URL without its secrets."""

    why: str | None = None
    """Why CDI copies this way and not a faster one, in its words; None where it does not say."""


class CopyTotals(_Struct, frozen=True, kw_only=True):
    """All copies of one storage class and strategy since counting began."""

    storage_class: str
    engine: str
    backend: str
    strategy: Strategy
    basis: Basis
    bytes: Size = 0
    """Of copies whose seconds are known."""

    seconds: float = 0.0
    bytes_per_second: float = 0.0
    """`bytes` over `seconds`: the average of whole copies."""

    active: int = 0
    remaining: Size = 0
    """Bytes that those that run have to copy still, where that is known."""

    done: int = 0
    failed: int = 0
    deleted: int = 0
    reasons: dict[str, int] = msgspec.field(default_factory=dict)
    """Reason → copies that failed for it."""


class Readable(Protocol):
    """A file that can be read anywhere: local, or a URL whose server knows ranges."""

    @property
    def size(self) -> int:
        """Bytes in the file."""

    async def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes of ``[offset, offset + length)``, fewer only at the file's end."""


def now() -> datetime:
    """Return the present moment in UTC, to the millisecond."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
