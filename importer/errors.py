"""Every failure the importer reports on purpose, sorted by whose fault it is.

* ImporterError                    internal                500
  x CallerError                    bad-request             400   whoever asked
    - Unauthorized                 unauthorized            401
    - OriginRefused                origin-refused          403
    - AddressRefused               address-refused         403   a URL points where it must not
    - NotFound                     not-found               404
    - NameTaken                    name-taken              409
    - WrongPhase                   wrong-phase             409   not possible in this phase
    - Cancelled                    cancelled               409
    - BenchBusy                    bench-busy              409   one bench at a time
    - LimitExceeded                limit-exceeded          413   larger than the configured limit
    - VersionRefused               version-refused         412   another version of a protocol
    - MediaTypeRefused             media-type-refused      415
    - UnknownStorageClass          unknown-storage-class   422
    - TooManyUploads               too-many-uploads        429   retryable
  x SourceError                    source-failed           502   where the bytes come from
    - SourceUnavailable            source-unavailable      502   retryable
    - SourceTruncated              source-truncated        502   retryable
    - SourceChanged                source-changed          409   another file than the one begun
    - UploadIncomplete             upload-incomplete       400
    - ClientAway                   client-away             408   retryable
  x ImageError                     bad-image               422   the image itself
    - NotAnImage                   not-an-image            422
    - UnsafeImage                  unsafe-image            422
    - UnsupportedImage             unsupported-image       422
    - VirtualSizeUnknown           virtual-size-unknown    422
    - CorruptImage                 corrupt-image           422
    - ImageNotInOrder              image-not-in-order      422
    - SizeMismatch                 size-mismatch           422
    - ChecksumMismatch             checksum-mismatch       422
  x TargetError                    target-failed           502   where the image goes
    - TargetBusy                   target-busy             409
    - NoSpace                      no-space                507
    - TargetTimeout                target-timeout          504   it took too long
    - TargetUnavailable            target-unavailable      503   retryable
    - ObjectGone                   object-gone             502   deleted behind our back
    - NotInstalled                 not-installed           502   CDI or Longhorn is missing
    - ClusterRefused               cluster-refused         502   the API server says no
    - ClusterForbidden             cluster-forbidden       502   the service may not do this
    - ClusterUnavailable           cluster-unavailable     503   retryable
  x Conflict                       conflict                409   somebody else moved it first
  x ShuttingDown                   shutting-down           503   retryable

Three class attributes decide everything outside: `slug` (API and metric label), `status` (HTTP)
and `retryable` (job runner). `side` says whose fault it is and sets the CLI's exit code.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

Side = Literal["caller", "source", "image", "target", "internal"]


class ImporterError(Exception):
    """A failure with a name; anything else that is raised is a defect."""

    slug: ClassVar[str] = "internal"
    side: ClassVar[Side] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False


class CallerError(ImporterError):
    """The request cannot be carried out as it was made."""

    slug = "bad-request"
    side = "caller"
    status = 400


class Unauthorized(CallerError):
    """The bearer token is missing or wrong."""

    slug = "unauthorized"
    status = 401


class OriginRefused(CallerError):
    """A page of another site asked a browser to send this request."""

    slug = "origin-refused"
    status = 403


class AddressRefused(CallerError):
    """A URL leads to an address, host or scheme that the configuration does not allow."""

    slug = "address-refused"
    status = 403


class NotFound(CallerError):
    """No image has this name."""

    slug = "not-found"
    status = 404


class NameTaken(CallerError):
    """Another image has this name already."""

    slug = "name-taken"
    status = 409


class WrongPhase(CallerError):
    """The image is in a phase that does not allow what was asked."""

    slug = "wrong-phase"
    status = 409


class Cancelled(CallerError):
    """Somebody cancelled the import while it ran."""

    slug = "cancelled"
    status = 409


class BenchBusy(CallerError):
    """A bench runs already, or is being cleaned up after."""

    slug = "bench-busy"
    status = 409


class LimitExceeded(CallerError):
    """The image is larger than the configured limit."""

    slug = "limit-exceeded"
    status = 413


class VersionRefused(CallerError):
    """The client does not say that it speaks a version of the protocol which is spoken here."""

    slug = "version-refused"
    status = 412


class MediaTypeRefused(CallerError):
    """The body is of another kind than what is taken here."""

    slug = "media-type-refused"
    status = 415


class UnknownStorageClass(CallerError):
    """No storage class has this name."""

    slug = "unknown-storage-class"
    status = 422


class TooManyUploads(CallerError):
    """More uploads wait for their turn than the configuration allows."""

    slug = "too-many-uploads"
    status = 429
    retryable = True


class SourceError(ImporterError):
    """The source answers, and its answer is no."""

    slug = "source-failed"
    side = "source"
    status = 502


class SourceUnavailable(SourceError):
    """The source does not answer, or says that it cannot just now."""

    slug = "source-unavailable"
    retryable = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds that the server asks to be left alone, where it says so."""


class SourceTruncated(SourceError):
    """The source hung up before the length that it had announced."""

    slug = "source-truncated"
    retryable = True


class SourceChanged(SourceError):
    """The file became another one while it was read; nothing is ever mixed of two."""

    slug = "source-changed"
    status = 409


class UploadIncomplete(SourceError):
    """The client went away before the end of its body."""

    slug = "upload-incomplete"
    status = 400


class ClientAway(SourceError):
    """The client stays away; the target is let go, and the file has to be sent from its start."""

    slug = "client-away"
    status = 408
    retryable = True


class ImageError(ImporterError):
    """The bytes arrived as they were sent, and are no good."""

    slug = "bad-image"
    side = "image"
    status = 422


class NotAnImage(ImageError):
    """The bytes are something else than a disk image."""

    slug = "not-an-image"


class UnsafeImage(ImageError):
    """The image points outside itself: backing file, data file, extents elsewhere."""

    slug = "unsafe-image"


class UnsupportedImage(ImageError):
    """The image uses a feature that is not supported: encryption, an unknown feature bit."""

    slug = "unsupported-image"


class VirtualSizeUnknown(ImageError):
    """The disk's size is not known before the image's end, and the target must know it first."""

    slug = "virtual-size-unknown"


class CorruptImage(ImageError):
    """The image is damaged or ends too early."""

    slug = "corrupt-image"


class ImageNotInOrder(ImageError):
    """The image's tables and data lie so far apart that one pass cannot read them."""

    slug = "image-not-in-order"


class SizeMismatch(ImageError):
    """More or fewer bytes arrived than were announced."""

    slug = "size-mismatch"

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"size is {actual} bytes, expected {expected}")
        self.expected = expected
        self.actual = actual


class ChecksumMismatch(ImageError):
    """The bytes are not the ones promised."""

    slug = "checksum-mismatch"

    def __init__(self, algorithm: str, expected: str, actual: str) -> None:
        super().__init__(f"{algorithm} is {actual}, expected {expected}")
        self.expected = expected
        self.actual = actual


class TargetError(ImporterError):
    """The place where the image goes refused it or broke."""

    slug = "target-failed"
    side = "target"
    status = 502


class TargetBusy(TargetError):
    """Something else holds the place where the image should go."""

    slug = "target-busy"
    status = 409


class NoSpace(TargetError):
    """The target has too little room."""

    slug = "no-space"
    status = 507


class TargetTimeout(TargetError):
    """The target did not come so far in time."""

    slug = "target-timeout"
    status = 504

    def __init__(self, message: str, last: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.last = last or {}
        """What was waited for, as it was last seen."""


class TargetUnavailable(TargetError):
    """The target does not answer, broke off, or lost what it was given: a new try may do better."""

    slug = "target-unavailable"
    status = 503
    retryable = True


class ObjectGone(TargetError):
    """An object of the cluster is not there, or not any more."""

    slug = "object-gone"


class NotInstalled(TargetError):
    """The cluster does not know this kind of object: something is not installed in it."""

    slug = "not-installed"


class ClusterRefused(TargetError):
    """The cluster's API server refuses the request as it is, or is none of ours to talk to."""

    slug = "cluster-refused"


class ClusterForbidden(TargetError):
    """The service's account may not do this in the cluster, or is not known there."""

    slug = "cluster-forbidden"


class ClusterUnavailable(TargetError):
    """The cluster's API server does not answer, or says that it cannot just now."""

    slug = "cluster-unavailable"
    status = 503
    retryable = True


class Conflict(ImporterError):
    """Somebody else moved the image first: read it again."""

    slug = "conflict"
    status = 409


class ShuttingDown(ImporterError):
    """The service is stopping; the same request will do after it has started again."""

    slug = "shutting-down"
    status = 503
    retryable = True
