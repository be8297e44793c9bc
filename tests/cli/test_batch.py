"""Several files with one command, and checksums that the command computes."""

import asyncio
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from importer.units import MiB
from tests import images
from tests.cli.command import Ran, importer, start
from tests.cli.terminal import terminal
from tests.servers.gated import Gate, gated
from tests.servers.running import Client, config, running


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Client]:
    async with running(config(tmp_path / "data")) as client:
        yield client


def disks(folder: Path, *names: str) -> list[Path]:
    """Make a raw disk of each name."""
    return [images.raw(folder / name) for name in names]


def where(service: Client) -> tuple[str, ...]:
    return "--server", service.base, "--data", str(service.data)


async def upload(service: Client, *words: str | Path) -> Ran:
    """Run ``importer upload`` with *words*."""
    return await importer("upload", *map(str, words), *where(service))


async def test_several_files(service: Client, tmp_path: Path) -> None:
    """Each becomes an image named after its file; one line of the result for each."""
    paths = disks(tmp_path, "a.raw", "Big B.iso", "c.img", "d.raw")
    ran = await upload(service, *paths, "--parallel", "2")
    assert ran.code == 0, ran
    assert sorted(line.partition(":")[0] for line in ran.out.splitlines()) == [
        *("a", "big-b", "c", "d")
    ]
    assert await service.names() == dict.fromkeys(("a", "big-b", "c", "d"), "Ready")
    assert "c: Uploading" in ran.err


async def test_file_whose_name_is_no_text(service: Client, tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are possible in a file's name, and stop nothing."""
    path = images.raw(tmp_path / "disk.raw").rename(tmp_path / os.fsdecode(b"disk-\xff\x1b.raw"))
    ran = await upload(service, path)
    assert ran.code == 0, ran
    assert list(await service.names()) == ["disk"]


async def test_one_that_fails_stops_no_other(service: Client, tmp_path: Path) -> None:
    """Errors name the file, and the exit code is the worst."""
    good, other = disks(tmp_path, "good.raw", "other.raw")
    text = tmp_path / "letter.qcow2"
    text.write_bytes(b"QFI\xfb" + b"Dear all" * MiB)
    missing = tmp_path / "missing.raw"
    ran = await upload(service, missing, good, text, other)
    assert ran.code == 3, ran
    assert await service.names() == {"good": "Ready", "other": "Ready"}
    assert len(ran.out.splitlines()) == 2
    assert f"{missing}: error: {missing} cannot be read: No such file" in ran.err
    assert f"{text}: error: " in ran.err


async def test_json_of_several(service: Client, tmp_path: Path) -> None:
    """One object a line: an image, or a file and its error."""
    paths = disks(tmp_path, "a.raw", "b.raw")
    ran = await upload(service, *paths, tmp_path / "missing.raw", "--json")
    assert (ran.code, ran.err) == (2, "")
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert {one["name"] for one in told if "name" in one} == {"a", "b"}
    (failed,) = (one for one in told if "error" in one)
    assert failed["file"] == str(tmp_path / "missing.raw")
    assert failed["error"]["slug"] == "bad-request"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.raw", "b.raw", "--name", "x"], "for one file"),
        (["a.raw", "b.raw", "--checksum", "md5:" + "0" * 32], "for one file"),
        (["a.raw", "A.qcow2"], "would both be named a"),
        (["a.raw", "--chunk-size", "0"], "--chunk-size 0"),
        (["a.raw", "--parallel", "0"], "--parallel"),
        (["a.raw", "--checksum", "crc32"], "--checksum crc32"),
        ([], "FILE..."),
    ],
)
async def test_wrong_usage(tmp_path: Path, words: list[str], said: str) -> None:
    """What cannot be meant is refused before any service is asked."""
    images.raw(tmp_path / "a.raw")
    files = (f"{tmp_path}/{word}" if word.endswith((".raw", ".qcow2")) else word for word in words)
    ran = await importer("upload", *files)
    assert ran.code == 2, ran
    assert said in ran.err


async def test_interrupted_several(tmp_path: Path) -> None:
    """Ctrl-C stops all of them, and the same command goes on with each."""
    settings, gate = config(tmp_path / "data", jobs={"workers": 3}), Gate("amid write")
    paths = [images.raw(tmp_path / f"{name}.raw", 64 * MiB, 32 * MiB) for name in "ab"]
    async with running(settings, gated(settings, gate)) as service:
        words = ("upload", *map(str, paths), *where(service))
        process = await start(*words)
        await asyncio.gather(*(service.until(name, "Transferring") for name in "ab"))
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 130
        for name in "ab":
            assert f"`importer cancel {name}` gives it up" in err.decode()
        assert "Traceback" not in err.decode()
        gate.opened.set()
        ran = await importer(*words)
        assert ran.code == 0, ran
        for path in paths:
            assert f"{path.stem}: going on at" in ran.err
            assert (service.data / "images" / path.name).read_bytes() == path.read_bytes()


async def test_bars_of_several(service: Client, tmp_path: Path) -> None:
    """On a terminal each has a line of its own; results go to stdout alone."""
    paths = disks(tmp_path, "one.raw", "two.raw", "three.raw")
    async with terminal("upload", *map(str, paths), *where(service)) as ran:
        out, _ = await ran.process.communicate()
    assert ran.process.returncode == 0
    assert sorted(line.partition(b":")[0] for line in out.splitlines()) == [
        *(b"one", b"three", b"two")
    ]
    for path in paths:
        assert f"{path.stem}: Uploading" in ran.text
    assert "virtual size" not in ran.text


@pytest.mark.parametrize("options", [[], ["--as-is"], ["--format", "qcow2"]])
async def test_checksum_is_computed_first(
    service: Client, tmp_path: Path, options: list[str]
) -> None:
    """With the algorithm alone, the file's checksum is declared, whatever form travels."""
    path = images.raw(tmp_path / "disk.raw", 16 * MiB, 4 * MiB)
    ran = await upload(service, path, "--checksum", "sha512", *options)
    assert ran.code == 0, ran
    assert "Hashing" in ran.err
    image, digest = await service.image("disk"), hashlib.sha512(path.read_bytes()).hexdigest()
    assert image["spec"]["checksum"] == f"sha512:{digest}"
    assert image["status"]["checksums"]["sha512"] == digest


async def test_checksum_is_not_computed_twice(tmp_path: Path) -> None:
    """What was hashed before Ctrl-C is not hashed again."""
    settings, gate = config(tmp_path / "data"), Gate("amid write")
    path = images.raw(tmp_path / "disk.raw", 64 * MiB, 32 * MiB)
    async with running(settings, gated(settings, gate)) as service:
        words = ("upload", str(path), "--checksum", "sha256", *where(service))
        process = await start(*words)
        await gate.reached.wait()
        process.send_signal(signal.SIGINT)
        await process.communicate()
        gate.opened.set()
        ran = await importer(*words)
        assert ran.code == 0, ran
        assert "going on at" in ran.err
        assert "Hashing" not in ran.err
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert (await service.image("disk"))["status"]["checksums"]["sha256"] == digest
