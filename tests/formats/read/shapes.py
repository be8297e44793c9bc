"""qcow2 images of every shape that qemu-img and qemu-io make, drawn by hypothesis."""

import random
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from importer.units import KiB, MiB
from tests import images

Write = tuple[str, int, int]
"""What (w: data, z: zeros, u: zeros unmapped, d: discard), where and how much, in sectors."""


@dataclass(frozen=True)
class Shape:
    """How an image is made."""

    cluster: int
    version: int
    compression: str | None
    extended: bool
    out_of_order: bool
    sectors: int
    """Virtual size."""

    writes: tuple[Write, ...]
    later: tuple[Write, ...]
    """Written by the guest after the image was made."""

    snapshot: bool
    """A snapshot is taken in between."""

    @property
    def options(self) -> tuple[str, ...]:
        """Options of ``qemu-img convert``."""
        made = [f"cluster_size={self.cluster}"]
        made.append("compat=0.10" if self.version == 2 else "compat=1.1")
        made += ["extended_l2=on"] * self.extended
        made += ["compression_type=zstd"] * (self.compression == "zstd")
        flags = ["-c"] * (self.compression is not None) + ["-W"] * self.out_of_order
        return (*flags, "-o", ",".join(made))


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Any shape that qemu-img allows, of at most 12 MiB."""
    cluster = 1 << draw(st.integers(9, 21))
    version = draw(st.sampled_from([2, 3, 3, 3]))
    extended = version == 3 and cluster >= 16 * KiB and draw(st.booleans())
    compression = draw(st.sampled_from([None, "zlib", "zstd"] if version == 3 else [None, "zlib"]))
    sectors = draw(st.integers(1, 12 * MiB // 512 if cluster > 2 * KiB else 2 * MiB // 512))
    write = st.tuples(
        st.sampled_from("wwwzud" if version == 3 else "wwwd"),
        st.integers(0, sectors - 1),
        st.sampled_from([1, 7, 8, 64, 128, 200, 2048, 4096]),
    )
    return Shape(
        cluster,
        version,
        compression,
        extended,
        draw(st.booleans()),
        sectors,
        tuple(draw(st.lists(write, max_size=8))),
        tuple(draw(st.lists(write, max_size=5))),
        draw(st.booleans()),
    )


def make(shape: Shape, folder: Path) -> Path:
    """Return the image of *shape*, made in *folder*."""
    source, path = folder / "source.raw", folder / "image.qcow2"
    content = random.Random(shape.sectors)
    with source.open("wb") as file:
        for kind, at, count in shape.writes:
            file.seek(at * 512)
            length = min(count, shape.sectors - at) * 512
            file.write(_mixed(content, length) if kind == "w" else bytes(length))
        file.truncate(shape.sectors * 512)
    images.convert(source, path, "qcow2", *shape.options)
    if shape.snapshot:
        images.run("qemu-img", "snapshot", "-c", "before", str(path))
    if shape.later:
        _write(path, shape)
    return path


def _mixed(content: random.Random, length: int) -> bytes:
    """Return bytes that compress by about a half."""
    return b"".join(content.randbytes(256) + bytes(256) for _ in range(length // 512))


def _write(path: Path, shape: Shape) -> None:
    commands = {"w": "write -P 0x{:x}", "z": "write -z", "u": "write -z -u", "d": "discard"}
    steps: list[str] = []
    for number, (kind, at, count) in enumerate(shape.later, 1):
        count = min(count, shape.sectors - at)
        steps += ["-c", f"{commands[kind].format(number)} {at * 512} {count * 512}"]
    images.run("qemu-io", "-f", "qcow2", "-d", "unmap", *steps, str(path))
