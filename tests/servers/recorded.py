"""Transcripts of the real servers as data, and the files that they were recorded with.

``transcripts/*.json``: scenes of steps. A step is a request with its answer, what a server then
says of itself (``info``), what lies on its disks (``files``: bytes, or bytes and allocated bytes),
or something that is done to it. ``left_out`` says which recorded steps cannot be had here, and why.
"""

import gzip
import hashlib
import json
import lzma
import random
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from importer.units import MiB
from tests import images

FOLDER = Path(__file__).parent / "transcripts"


@dataclass(frozen=True)
class Scene:
    """One scene of a transcript: one server, from its start."""

    transcript: str
    title: str
    server: dict[str, Any]
    steps: list[dict[str, Any]]

    def __str__(self) -> str:
        return f"{self.transcript}: {self.title}"


def scenes(pattern: str) -> list[Scene]:
    """Return the scenes of all transcripts of that name."""
    return [
        Scene(path.stem, scene["title"], scene.get("server", {}), scene["steps"])
        for path in sorted(FOLDER.glob(pattern))
        for scene in json.loads(path.read_text())["scenes"]
    ]


@dataclass
class Files:
    """The files of the transcripts, made when first asked for: of the very sizes that count."""

    folder: Path

    def __getitem__(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            path.write_bytes(self._content(name))
        return path

    def sha512(self, name: str) -> str:
        """Return a file's checksum."""
        return hashlib.sha512(self[name].read_bytes()).hexdigest()

    @cached_property
    def raw(self) -> Path:
        """64 MiB, of which 12 MiB are data: as qcow2 it is 12910592 bytes, as recorded."""
        path = self.folder / "small.raw"
        with path.open("wb") as file:
            file.write(random.Random(1).randbytes(12 * MiB))
            file.truncate(64 * MiB)
        return path

    @cached_property
    def qcow2(self) -> Path:
        """That as qcow2."""
        return images.convert(self.raw, self.folder / "small.qcow2", "qcow2")

    def _content(self, name: str) -> bytes:
        match name:
            case "small.raw":
                return self.raw.read_bytes()
            case "small.qcow2":
                return self.qcow2.read_bytes()
            case "small.vmdk":
                return images.convert(self.raw, self.folder / "made.vmdk", "vmdk").read_bytes()
            case "trunc.qcow2":
                return self.qcow2.read_bytes()[:MiB]
            case "small.raw.gz":
                return gzip.compress(self.raw.read_bytes(), 1)
            case "short.raw.gz":
                whole = self["small.raw.gz"].read_bytes()
                return whole[: len(whole) // 2]
            case "small.raw.xz" | "small6.raw.xz":
                return lzma.compress(self.raw.read_bytes()[:MiB], preset=0)
            case "backing.qcow2":
                return self._backed()
            case "odd.bin":
                return random.Random(2).randbytes(1000)
            case "garbage.bin":
                return random.Random(3).randbytes(MiB)
        raise KeyError(name)

    def _backed(self) -> bytes:
        """An image whose backing file exists where it is opened."""
        path, backing = self.folder / "made.backed", self.folder / "secret.raw"
        backing.write_bytes(b"root:x:0:0:".ljust(MiB, b"\n"))
        images.run(
            *("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw"),
            *("-b", str(backing), str(path), "1M"),
        )
        return path.read_bytes()
