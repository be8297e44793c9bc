"""The disk in a file as the command line sends it: which form, which bytes, and when not."""

import hashlib
import os
import random
import subprocess
from pathlib import Path

import pytest

from importer.cli.checking import Checking
from importer.cli.compact import Compact, Disk, form, look
from importer.cli.plan import built_in
from importer.errors import (
    CallerError,
    ChecksumMismatch,
    CorruptImage,
    ImporterError,
    SourceError,
    UnsafeImage,
)
from importer.model import WantedFormat, Wire
from importer.units import KiB, MiB, TiB, round_up
from tests import images

SIZES = [512, 513, 1023, 64 * KiB - 1, 64 * KiB, MiB + 1, 3 * MiB + 511]
"""Bytes of raw files; those that are no multiple of 512 are filled up with zeros."""

SHAPES = ["start", "middle", "end", "everywhere", "nowhere"]
"""Where a file has holes."""


def shaped(path: Path, size: int, holes: str) -> Path:
    """Make a raw file with data and holes in 64 KiB steps; the boot signature is always there."""
    noise = random.Random(size)
    with path.open("wb") as file:
        file.truncate(size)
        for start in range(0, size, 64 * KiB):
            share = start / size
            is_hole = {
                "start": share < 0.4,
                "middle": 0.3 < share < 0.7,
                "end": share > 0.6,
                "everywhere": True,
                "nowhere": False,
            }[holes]
            if not is_hole:
                file.seek(start)
                file.write(noise.randbytes(min(64 * KiB, size - start)))
        file.seek(510)
        file.write(b"\x55\xaa")
    return path


async def found(path: Path) -> Disk:
    disk = await look(path)
    assert disk
    return disk


async def sent(path: Path, wire: Wire, checksum: str | None = None) -> bytes:
    """Return the body that is sent of *path* as *wire*."""
    body = Compact(await found(path), wire, checksum, lambda _: None)
    made = b"".join([chunk async for chunk in body.chunks()])
    assert body.sent == len(made)
    assert body.done == body.total
    assert body.size in (None, len(made))
    return made


async def into(parts: list[bytes], body: Compact, start: int = 0) -> None:
    """Put into *parts* what *body* yields, also of one that breaks off."""
    async for chunk in body.chunks(start):
        parts.append(chunk)  # noqa: PERF401 - what came before an error counts


def same(path: Path, format: str, wire: Wire, body: bytes) -> bool:
    """Return True when *body* holds the guest data of *path*, as the real tools see it."""
    made = path.with_name("made")
    if wire == "raw+zstd":
        body = subprocess.run(["zstd", "-dc"], input=body, capture_output=True, check=True).stdout
    made.write_bytes(body)
    its = "raw" if wire == "raw+zstd" else "qcow2"
    if wire == "qcow2":
        images.run("qemu-img", "check", "-q", "-f", "qcow2", str(made))
    sizes = images.virtual_size(path, format), images.virtual_size(made, its)
    return sizes[0] == sizes[1] and images.same(path, format, made, its)


@pytest.mark.parametrize("wire", ["raw+zstd", "qcow2"])
@pytest.mark.parametrize("size", SIZES)
async def test_raw_file(tmp_path: Path, size: int, wire: Wire) -> None:
    """Every shape of a raw file arrives as it is, padded to 512 as qemu-img pads it."""
    for holes in SHAPES:
        path = shaped(tmp_path / f"{holes}.raw", size, holes)
        body = await sent(path, wire)
        assert same(path, "raw", wire, body), holes
        assert (await found(path)).virtual_size == round_up(size, 512)


@pytest.mark.parametrize("wire", ["raw+zstd", "qcow2"])
@pytest.mark.parametrize("kind", ["qcow2", "qcow2-v2", "qcow2-zlib", "qcow2-zstd", "qcow2-small"])
async def test_qcow2_file(tmp_path: Path, kind: str, wire: Wire) -> None:
    """A qcow2 of any kind arrives with the same guest data, in either form."""
    path = images.make(kind, tmp_path)
    assert same(path, "qcow2", wire, await sent(path, wire))


@pytest.mark.parametrize("size", [0, 1, 511])
async def test_too_small(tmp_path: Path, size: int) -> None:
    """Less than a sector is no disk, and is refused as the service refuses it."""
    path = tmp_path / "small.raw"
    path.write_bytes(bytes(size))
    with pytest.raises(ImporterError, match=r"is empty|at least 512|this is text"):
        await look(path)


async def test_tebibyte_of_nothing(tmp_path: Path) -> None:
    """A hole of 1 TiB is a few MiB of RLE blocks, and a qcow2 of a few clusters."""
    path = images.raw(tmp_path / "hole.raw", TiB)
    disk = await found(path)
    for wire, most in (("raw+zstd", 35 * MiB), ("qcow2", 2 * MiB)):
        body = Compact(disk, wire, None, lambda _: None)
        size = sum([len(chunk) async for chunk in body.chunks()])
        assert MiB < size < most
        assert body.done == TiB


@pytest.mark.parametrize(
    ("kind", "wanted", "wire"),
    [
        ("sparse.raw", None, "raw+zstd"),
        ("sparse.raw", "raw", "raw+zstd"),
        ("sparse.raw", "qcow2", "qcow2"),
        ("dense.raw", None, "as-is"),
        ("dense.raw", "qcow2", "qcow2"),
        ("plain.qcow2", None, "as-is"),
        ("plain.qcow2", "raw", "raw+zstd"),
        ("packed.qcow2", None, "as-is"),
        ("packed.qcow2", "raw", "as-is"),
        ("leaked.qcow2", None, "qcow2"),
        ("leaked.qcow2", "raw", "raw+zstd"),
    ],
)
async def test_form(tmp_path: Path, kind: str, wanted: WantedFormat | None, wire: Wire) -> None:
    """The form is the one that moves the fewest bytes and saves the service from converting."""
    size = 8 * MiB
    holes = "middle" if kind == "sparse.raw" else "nowhere"
    path = shaped(tmp_path / "disk.raw", size, holes)
    if kind == "packed.qcow2":
        path.write_bytes(bytes(range(256)) * (size // 256))
    if kind.endswith(".qcow2"):
        options = ("-c",) if kind == "packed.qcow2" else ()
        path = images.convert(path, tmp_path / kind, "qcow2", *options)
    if kind == "leaked.qcow2":
        images.run("qemu-img", "snapshot", "-c", "before", str(path))
        images.run("qemu-io", "-f", "qcow2", "-c", "discard 0 6M", str(path))
    assert form(await found(path), wanted, built_in()) == wire


def mixed(path: Path, size: int) -> Path:
    """Make a raw file with holes, written zeros and data in pieces of no round size."""
    noise, at = random.Random(size), 0
    with path.open("wb") as file:
        while at < size:
            length = min(noise.choice([512, 4 * KiB, 60 * KiB, 200 * KiB, 3 * MiB]), size - at)
            kind = noise.randrange(3)
            file.seek(at)
            if kind:
                file.write(bytes(length) if kind == 1 else noise.randbytes(length))
            at += length
        file.truncate(size)
        file.seek(510)
        file.write(b"\x55\xaa")
    return path


@pytest.mark.parametrize("wire", ["raw+zstd", "qcow2"])
@pytest.mark.parametrize("kind", ["raw", "qcow2", "qcow2-zlib"])
async def test_from_anywhere(tmp_path: Path, kind: str, wire: Wire) -> None:
    """From whatever byte it is taken up, with marks and without, the same bytes come."""
    path = mixed(tmp_path / "disk.raw", 40 * MiB + 513)
    if kind != "raw":
        options = ("-c",) if kind == "qcow2-zlib" else ()
        path = images.convert(path, tmp_path / "disk.qcow2", "qcow2", *options)
    disk = await found(path)
    body = Compact(disk, wire, None, lambda _: None)
    whole = b"".join([chunk async for chunk in body.chunks()])
    ends = [0, 1, len(whole) // 2, len(whole) - 1, len(whole)]
    marked = [at + step for at, _ in body.marks[:8] for step in (-1, 0, 1)]
    noise = random.Random(kind + wire)
    for start in [*ends, *marked, *(noise.randrange(len(whole)) for _ in range(8))]:
        for marks in ([], body.marks):
            again = Compact(disk, wire, None, lambda _: None, marks)
            rest = [chunk async for chunk in again.chunks(max(start, 0))]
            assert b"".join(rest) == whole[max(start, 0) :], (start, len(marks))
            assert b"" not in rest
            assert (again.done, again.sent) == (again.total, len(whole))


async def test_what_precedes_is_not_read(tmp_path: Path) -> None:
    """Taken up near its end, a body reads nothing of what came long before."""
    path = images.raw(tmp_path / "disk.raw", 64 * MiB, 64 * MiB)
    disk = await found(path)
    for wire in ("raw+zstd", "qcow2"):
        body = Compact(disk, wire, None, lambda _: None)
        whole = b"".join([chunk async for chunk in body.chunks()])
        assert len(body.marks) == (4 if wire == "raw+zstd" else 0)
        times = path.stat()
        kept = path.read_bytes()
        with path.open("r+b") as file:
            file.write(os.urandom(40 * MiB))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        start = 60 * MiB
        assert b"".join([chunk async for chunk in body.chunks(start)]) == whole[start:]
        path.write_bytes(kept)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("wire", ["raw+zstd", "qcow2"])
async def test_changed_before_it_is_taken_up(tmp_path: Path, wire: Wire) -> None:
    """Nothing more is sent of a file that changed while the connection was lost."""
    path = images.raw(tmp_path / "disk.raw", 16 * MiB, 8 * MiB)
    body = Compact(await found(path), wire, None, lambda _: None)
    await anext(body.chunks())
    _fill(path.parent / path.name)
    parts: list[bytes] = []
    with pytest.raises(SourceError, match="has changed while it was sent"):
        await into(parts, body, MiB)
    assert parts == []


@pytest.mark.parametrize("kind", ["vmdk", "vpc-fixed", "vdi", "vhdx"])
async def test_other_formats(tmp_path: Path, kind: str) -> None:
    """What only qemu reads is sent as it is, a fixed VHD too, which looks raw at its start."""
    assert await look(images.make(kind, tmp_path)) is None


async def test_compressed_file(tmp_path: Path) -> None:
    """A file in an outer compression is sent as it is."""
    assert await look(images.compressed(images.raw(tmp_path / "disk.raw"), "xz")) is None


async def test_unsafe_file(tmp_path: Path) -> None:
    """A file that points outside itself is refused before anything is sent."""
    (tmp_path / "base").write_bytes(bytes(MiB))
    path = tmp_path / "backed.qcow2"
    base = str(tmp_path / "base")
    images.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", str(path))
    with pytest.raises(UnsafeImage, match="backing file"):
        await look(path)


async def test_cut_qcow2(tmp_path: Path) -> None:
    """A qcow2 whose end is missing is refused before anything is sent."""
    path = images.make("qcow2", tmp_path)
    os.truncate(path, path.stat().st_size - MiB)
    with pytest.raises(CorruptImage, match="ends too early"):
        await look(path)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("kind", ["raw", "qcow2"])
async def test_checksum(tmp_path: Path, kind: str, algorithm: str) -> None:
    """The checksum is of the file, zeros and tables and all; the body is whole when it is right."""
    path = images.make(kind, tmp_path)
    digest = hashlib.new(algorithm, path.read_bytes()).hexdigest()
    body = await sent(path, "raw+zstd", f"{algorithm}:{digest.upper()}")
    assert same(path, kind, "raw+zstd", body)


@pytest.mark.parametrize("wire", ["raw+zstd", "qcow2"])
async def test_wrong_checksum(tmp_path: Path, wire: Wire) -> None:
    """With a wrong checksum the body has no end, and nobody can take it for whole."""
    path = images.raw(tmp_path / "disk.raw")
    whole = await sent(path, wire)
    body = Compact(await found(path), wire, "sha256:" + "0" * 64, lambda _: None)
    parts: list[bytes] = []
    with pytest.raises(ChecksumMismatch, match="expected 0000"):
        await into(parts, body)
    assert len(b"".join(parts)) < len(whole)
    if wire == "raw+zstd":
        cut = subprocess.run(["zstd", "-dc"], input=b"".join(parts), capture_output=True)
        assert b"premature end" in cut.stderr


def _cut(path: Path) -> None:
    os.truncate(path, 3 * MiB)


def _grow(path: Path) -> None:
    os.truncate(path, 65 * MiB)


def _fill(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(40 * MiB)
        file.write(b"x" * MiB)


def _replace(path: Path) -> None:
    other = images.raw(path.with_name("other"), path.stat().st_size, 2 * MiB)
    other.rename(path)


@pytest.mark.parametrize("change", [_cut, _grow, _fill, _replace])
@pytest.mark.parametrize("wire", ["raw+zstd", "qcow2"])
@pytest.mark.parametrize("when", ["before", "amid", "at the end"])
async def test_file_changes(tmp_path: Path, wire: Wire, change: object, when: str) -> None:
    """A file that changes after it was looked at is named, and its body has no end."""
    assert callable(change)
    path = images.raw(tmp_path / "disk.raw", 64 * MiB, 16 * MiB)
    disk = await found(path)
    changed = False

    def told(done: int) -> None:
        nonlocal changed
        if not changed and done >= (disk.virtual_size if when == "at the end" else 8 * MiB):
            changed = True
            change(path)

    if when == "before":
        changed = True
        change(path)
    with pytest.raises(SourceError, match="has changed while it was sent"):
        await into([], Compact(disk, wire, None, told))
    assert changed


async def test_file_is_removed(tmp_path: Path) -> None:
    """A file that is gone when it is to be read is named."""
    path = images.raw(tmp_path / "disk.raw")
    body = Compact(await found(path), "raw+zstd", None, lambda _: None)
    path.unlink()
    with pytest.raises(CallerError, match="No such file"):
        await into([], body)


async def test_pace_of_the_checksum(tmp_path: Path) -> None:
    """Whoever waits for a share of the hash gets no less; more than all of it keeps nobody."""
    path = images.raw(tmp_path / "disk.raw", 64 * MiB)
    digest = hashlib.sha1(path.read_bytes()).hexdigest()
    check = Checking(path, f"sha1:{digest}")
    for share in (0.0, 0.25, 0.5, 1.0):
        await check.reach(share)
        assert check.done >= share * path.stat().st_size
    await check.passed()
    await check.reach(2.0)
    await check.stop()
