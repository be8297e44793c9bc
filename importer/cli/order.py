"""What the command was asked for: a file, and the image that is to be made of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from importer.cli.access import checked_name
from importer.cli.body import size_of
from importer.errors import CallerError
from importer.model import Checksum, Spec, WantedFormat

ALGORITHMS = ("md5", "sha1", "sha256", "sha512")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the image is to be; None: as the service has it."""

    storage_class: str | None = None
    checksum: str | None = None
    """``ALG:HEX``, or ``ALG`` alone where the file is to be hashed first."""

    format: WantedFormat | None = None
    target: Mapping[str, Any] = field(default_factory=dict)
    """Options of the backend."""

    @property
    def query(self) -> dict[str, str]:
        """What an upload is told of it."""
        wanted = {
            "storageClass": self.storage_class,
            "checksum": self.checksum,
            "format": self.format,
            "target": json.dumps(self.target) if self.target else None,
        }
        return {key: value for key, value in wanted.items() if value}

    @property
    def algorithm(self) -> str | None:
        """What the file is to be hashed with before it is sent."""
        return self.checksum if self.checksum in ALGORITHMS else None

    def of(self, spec: Spec) -> "Wanted":
        """Return the same for an image that was named before, with this *spec*."""
        return Wanted(
            self.storage_class or spec.storage_class,
            self.checksum or spec.checksum,
            self.format or spec.format,
            self.target or spec.target,
        )


@dataclass(frozen=True, slots=True)
class Order:
    """One file that is to be uploaded."""

    path: Path
    name: str
    wanted: Wanted
    as_is: bool = False
    chunk_size: int | None = None
    """Bytes of one request at most."""

    @property
    def asked(self) -> str:
        """The options that make another image of the same file."""
        return json.dumps([self.wanted.query, self.as_is], sort_keys=True)

    def check(self) -> None:
        """Raise CallerError when it cannot be meant."""
        checked_name(self.name)
        size_of(self.path)
        if not self.wanted.algorithm:
            refuse_checksum(self.wanted.checksum)


def refuse_checksum(checksum: str | None) -> None:
    """Raise CallerError unless *checksum* is one, or None."""
    try:
        msgspec.convert(checksum, Checksum | None)
    except msgspec.ValidationError as exc:
        raise CallerError(
            f"--checksum {checksum}: give ALG:HEX with md5, sha1, sha256 or sha512 and all of "
            "its digits, or ALG alone to have the file hashed first"
        ) from exc
